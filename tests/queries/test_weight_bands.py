"""Functions of the weight, cut into bands."""

from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnstore.format.codebook import DEFAULT
from attnstore.queries.sql.dialect import RefusalError
from attnstore.queries.sql.syntax import expression
from attnstore.queries.sql.weight_bands import cut, values

STEPPED = [
    "weight >= 0.3",
    "weight > 0.3",
    "weight <= 0.3",
    "0.3 < weight",
    "weight = 0.3",
    "weight <> 0.05",
    "weight BETWEEN 0.1 AND 0.3",
    "weight NOT BETWEEN 0.1 AND 0.3",
    "weight IN (0.1, 0.2)",
    "NOT weight >= 0.5 OR weight < 0.001",
    "floor(weight * 10)",
    "ceil(weight * 7)",
    "floor(weight / 0.05)",
    "round(weight, 1)",
    "CAST(weight * 10 AS INTEGER)",
    "CASE WHEN weight >= 0.3 THEN 'high' WHEN weight >= 0.05 THEN 'low' END",
    "coalesce(weight > 0.2, TRUE)",
    "weight * 2 >= 0.6",
    "-weight < -0.25",
    "floor(log10(weight + 0.0001))",
    "floor(sqrt(weight) * 10)",
    "weight >= 2",
    "weight >= 0",
    "NULL AND weight > 0.1",
]


def neighbours(weights):
    """The weights themselves and those next to them."""
    around = [np.nextafter(weights, np.float32(side)) for side in (-1, 2)]
    points = np.concatenate([weights, *around])
    return np.unique(points[(points >= 0) & (points <= 1)])


@pytest.mark.parametrize("text", STEPPED)
def test_a_function_is_constant_within_each_band(text):
    function = expression(text)
    bands = cut([function])
    rng = np.random.default_rng(0)
    weights = np.concatenate(
        [
            DEFAULT.edges,
            rng.random(20_000, np.float32),
            bands.lower[bands.lower <= 1],
            np.float32([0.05, 0.1, 0.2, 0.3]),
        ]
    )
    weights = neighbours(weights.astype(np.float32))
    con = duckdb.connect()
    con.execute("CREATE TABLE t (weight FLOAT)")
    con.register("incoming", pa.table({"weight": weights}))
    con.execute("INSERT INTO t FROM incoming")
    expected = [row[0] for row in con.execute(f"SELECT {text} FROM t").fetchall()]
    of_band = values(function, bands.lower)
    found = [of_band[band] for band in np.searchsorted(bands.lower, weights, side="right") - 1]
    assert found == expected


@pytest.mark.parametrize("text", [text for text in STEPPED if " OR " not in text])
def test_no_band_is_cut_without_need(text):
    function = expression(text)
    of_band = values(function, cut([function]).lower)
    assert all(one != other for one, other in pairwise(of_band))


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=5), st.sampled_from([">=", ">", "<", "<=", "="]))
@settings(max_examples=50, deadline=None)
def test_any_constants_cut_where_float32_does(constants, sign):
    function = expression(" OR ".join(f"weight {sign} {constant!r}::FLOAT" for constant in constants))
    bands = cut([function])
    points = neighbours(np.array(constants, np.float32))
    of_band = values(function, bands.lower)
    compare = {">=": np.greater_equal, ">": np.greater, "<": np.less, "<=": np.less_equal, "=": np.equal}[sign]
    expected = np.any([compare(points, np.float32(constant)) for constant in constants], axis=0)
    found = [of_band[band] for band in np.searchsorted(bands.lower, points, side="right") - 1]
    assert found == expected.tolist()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("weight", "more than 1024 values"),
        ("weight * 2", "more than 1024 values"),
        ("floor(weight * 100000)", "more than 1024 values"),
        ("CAST(weight * 1000 AS INTEGER) % 2", "not made of steps"),
        ("sin(weight) > 0.1", "not made of steps"),
        ("weight * weight > 0.1", "not made of steps"),
        ("weight >= 'a'", "DuckDB does not accept it"),
    ],
)
def test_what_is_not_made_of_steps_is_refused(text, said):
    with pytest.raises(RefusalError, match=said):
        cut([expression(text)])


def test_codes_tell_bands_apart_at_edges_only():
    at_edge = cut([expression("weight >= 0.012")]).of_codes(DEFAULT)
    assert (at_edge >= 0).all()
    assert at_edge[DEFAULT.code_of(0.012)] == 1
    between = cut([expression("weight > 0.012")]).of_codes(DEFAULT)
    assert np.flatnonzero(between < 0).tolist() == [DEFAULT.code_of(0.012)]
