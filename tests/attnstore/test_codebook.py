"""The codebook: thresholds on an edge are exact to the bit, whichever way they are written."""

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnstore.errors import QueryError
from attnstore.format.codebook import CELL_SHIFT, DEFAULT, FILL, TOP, Codebook, parse_threshold

TOP_BITS = int(TOP.view(np.uint32))
ONE_BITS = 0x3F800000
INFINITY_BITS = 0x7F800000
MANTISSAS = ("1.0", "1.2", "1.5", "1.8", "2.0", "2.5", "3.0", "4.0", "5.0", "6.0", "7.0", "8.0")
TEXTS = [
    *(f"{mantissa}e-4" for mantissa in MANTISSAS),
    *(f"{mantissa}e-3" for mantissa in MANTISSAS),
    *(f"0.{digits:03d}" for digits in range(10, 100)),
    *(f"0.{digits:02d}" for digits in range(10, 100)),
]


def floats(bits: object) -> np.ndarray:
    return np.asarray(bits, np.uint32).view(np.float32)


def neighbours(book: Codebook) -> np.ndarray:
    """Every edge with the floats just below and above it."""
    return np.concatenate(
        [np.nextafter(book.edges, np.float32(0)), book.edges, np.nextafter(book.edges, np.float32(2))]
    )


def by_table(book: Codebook, weights: np.ndarray) -> np.ndarray:
    base, next_edge = book.table
    cell = weights.view(np.uint32) >> CELL_SHIFT
    return base[cell] + (weights >= next_edge[cell])


def by_definition(book: Codebook, weights: np.ndarray) -> np.ndarray:
    return (book.edges[None, :] <= weights[:, None]).sum(axis=1)


@st.composite
def codebooks(draw: st.DrawFn) -> Codebook:
    # Subnormal edges and edges next to each other's cells included.
    bits = draw(
        st.lists(
            st.integers(1, ONE_BITS) | st.sampled_from(DEFAULT.edges.view(np.uint32).tolist()),
            min_size=1,
            max_size=60,
            unique_by=lambda pattern: pattern >> CELL_SHIFT,
        )
    )
    return Codebook(floats(sorted(bits)))


non_negative = st.lists(
    st.integers(0, INFINITY_BITS - 1)  # every finite float
    | st.integers(0, 0x007FFFFF)  # subnormal
    | st.integers(int(DEFAULT.edges[0].view(np.uint32)), TOP_BITS),
    min_size=1,
    max_size=200,
).map(floats)


@given(non_negative)
def test_the_table_codes_any_weight_as_the_search_does(weights: np.ndarray) -> None:
    assert np.array_equal(by_table(DEFAULT, weights), DEFAULT.codes(weights))


@given(codebooks(), non_negative)
def test_the_table_of_any_codebook_codes_weights_and_its_edges_neighbours_as_the_definition_says(
    book: Codebook, weights: np.ndarray
) -> None:
    weights = np.concatenate([weights, neighbours(book)])
    expected = by_definition(book, weights)
    assert np.array_equal(by_table(book, weights), expected)
    assert np.array_equal(book.codes(weights), expected)


def test_the_table_is_right_on_edges_and_one_ulp_off_and_at_the_ends_of_every_cell() -> None:
    starts = np.arange(INFINITY_BITS >> CELL_SHIFT, dtype=np.uint32) << CELL_SHIFT
    ends = floats(np.concatenate([starts, starts | ((1 << CELL_SHIFT) - 1)]))
    weights = np.concatenate([neighbours(DEFAULT), ends, floats([0, 1, TOP_BITS])])
    assert np.array_equal(by_table(DEFAULT, weights), DEFAULT.codes(weights))


@given(codebooks(), non_negative)
def test_comparing_codes_selects_what_comparing_weights_with_any_edge_does(book: Codebook, weights: np.ndarray) -> None:
    weights = np.concatenate([weights, neighbours(book)])
    codes = book.codes(weights)
    for edge in book.edges:
        code = book.code_of(float(edge))
        assert code is not None
        assert np.array_equal(codes >= code, weights >= edge)


@given(codebooks(), non_negative)
def test_every_weight_lies_within_the_bounds_of_its_code(book: Codebook, weights: np.ndarray) -> None:
    weights = np.concatenate([weights[weights <= TOP], neighbours(book), floats([0, TOP_BITS])])
    codes = book.codes(weights)
    assert (codes < book.size).all()
    assert (book.lower[codes] <= weights).all()
    assert ((weights < book.upper[codes]) | ((codes == book.size - 1) & (weights <= TOP))).all()


@given(codebooks(), st.floats(0, 1, width=32))
def test_only_edges_and_zero_have_a_code_to_compare_with(book: Codebook, threshold: float) -> None:
    expected = threshold == 0 or np.float32(threshold) in book.edges
    assert (book.code_of(threshold) is not None) == expected


def test_a_threshold_that_rounds_to_an_edge_or_to_zero_is_exact() -> None:
    assert DEFAULT.code_of(0.3) == DEFAULT.code_of(float(np.float32(0.3))) == TEXTS.index("0.30") + 1
    assert DEFAULT.code_of(0.3 + 1e-9) == DEFAULT.code_of(0.3)
    assert DEFAULT.code_of(1e-60) == DEFAULT.code_of(0.0) == DEFAULT.code_of(-0.0) == 0
    assert DEFAULT.code_of(0.3 + 1e-7) is None


def test_the_default_edges_are_the_decimals_they_are_said_to_be_in_numpy_and_in_duckdb() -> None:
    expected = DEFAULT.edges.view(np.uint32).tolist()
    assert len(TEXTS) == 204
    assert np.array([np.float32(text) for text in TEXTS]).view(np.uint32).tolist() == expected
    assert np.array([float(text) for text in TEXTS]).astype(np.float32).view(np.uint32).tolist() == expected
    literals = ", ".join(f"'{text}'::FLOAT" for text in TEXTS)
    with duckdb.connect() as connection:
        found = connection.execute(f"SELECT unnest([{literals}]) AS edge").fetchnumpy()["edge"]
        # A bare literal is a DECIMAL in DuckDB; a cast of it must not end elsewhere.
        bare = connection.execute(
            f"SELECT unnest([{', '.join(f'{text}::FLOAT' for text in TEXTS)}]) AS edge"
        ).fetchnumpy()["edge"]
    assert found.dtype == bare.dtype == np.float32
    assert found.view(np.uint32).tolist() == expected
    assert bare.view(np.uint32).tolist() == expected


@pytest.mark.parametrize("text", TEXTS)
def test_a_threshold_asked_for_by_its_decimals_is_its_edge(text: str) -> None:
    theta = parse_threshold(float(text))
    code = DEFAULT.code_of(theta)
    assert code is not None
    assert DEFAULT.edges[code - 1] == np.float32(theta)
    assert TEXTS[code - 1] == text


@given(codebooks())
def test_json_moves_no_edge(book: Codebook) -> None:
    patterns = book.to_json()
    assert all(len(pattern) == 8 and pattern == pattern.lower() for pattern in patterns)
    again = Codebook.from_json(patterns)
    assert again.edges.dtype == np.float32
    assert again.edges.tobytes() == book.edges.tobytes()


def test_json_holds_bit_patterns_most_significant_digit_first() -> None:
    assert Codebook(np.array([0.3, 0.5], np.float32)).to_json() == ["3e99999a", "3f000000"]


@pytest.mark.parametrize(
    "edges",
    [
        pytest.param([], id="none"),
        pytest.param([0.0, 0.5], id="zero"),
        pytest.param([-0.5, 0.5], id="negative"),
        pytest.param([0.5, 0.5], id="twice the same"),
        pytest.param([0.5, 0.25], id="decreasing"),
        pytest.param([np.nan], id="NaN alone"),
        pytest.param([0.25, np.nan], id="NaN last"),
        pytest.param([np.nan, 0.25], id="NaN first"),
        pytest.param([0.5, np.inf], id="infinite"),
        pytest.param([0.5, TOP], id="at the top"),
        pytest.param([0.5, np.nextafter(np.float32(1), np.float32(2))], id="just above one"),
        pytest.param([0.5, 1.5], id="above one"),
        pytest.param([0.5, np.nextafter(np.float32(0.5), np.float32(1))], id="in one cell"),
    ],
)
def test_edges_that_make_no_codebook_are_refused(edges: list[float]) -> None:
    with pytest.raises(ValueError, match="edges"):
        Codebook(np.array(edges, np.float32))


def test_the_least_float_and_one_may_be_edges() -> None:
    book = Codebook(floats([1, ONE_BITS]))
    assert book.codes(floats([0, 1, ONE_BITS - 1, ONE_BITS, TOP_BITS])).tolist() == [0, 1, 1, 2, 2]
    assert book.upper.tolist() == [*book.edges.tolist(), float(TOP)]


def test_more_edges_than_codes_below_the_fill_value_are_refused() -> None:
    # 256 cells a binade: the first of each cell, from 0.25 on.
    bits = int(np.float32(0.25).view(np.uint32)) + (np.arange(FILL) << CELL_SHIFT)
    assert Codebook(floats(bits[: FILL - 1])).size == FILL
    with pytest.raises(ValueError, match="254"):
        Codebook(floats(bits))


@pytest.mark.parametrize("edges", [np.array([0.5]), np.array([[0.5]], np.float32), np.array([1], np.int32)])
def test_edges_of_another_type_or_shape_are_refused(edges: np.ndarray) -> None:
    with pytest.raises(ValueError, match="float32"):
        Codebook(edges)


@pytest.mark.parametrize(
    "patterns", [[], ["7fc00000"], ["3f000000", "3e800000"], ["00000000"], ["bf000000"], ["3f800001"], ["3f800080"]]
)
def test_json_that_is_no_codebook_is_refused(patterns: list[str]) -> None:
    with pytest.raises(ValueError, match="edges"):
        Codebook.from_json(patterns)


@pytest.mark.parametrize(
    "pattern",
    ["zz", "", "3F000000", "3f00000", "03f000000", "0x3f0000", "+3f00000", " 3f00000", "3f000000\n", "3f_00000",
     "٣f000000", "3e99999a3f000000"],
)  # fmt: skip
def test_an_edge_in_json_is_eight_lower_case_hexadecimal_digits_and_nothing_else(pattern: str) -> None:
    assert Codebook.from_json(["3e800000", "3f000000"]).size == 3
    for patterns in ([pattern], ["3e800000", pattern]):
        with pytest.raises(ValueError, match="eight lower-case hexadecimal digits"):
            Codebook.from_json(patterns)


@pytest.mark.parametrize(
    ("threshold", "nearest"),
    [
        (0.0123, (0.012, 0.013)),
        (0.305, (0.3, 0.31)),
        (0.00011, (0.0001, 0.00012)),
        (0.00005, (0.0001, 0.0001)),
        (1.0, (0.99, 0.99)),
    ],
)
def test_the_nearest_edges_are_those_on_either_side_in_short_decimals(
    threshold: float, nearest: tuple[float, float]
) -> None:
    assert DEFAULT.nearest_edges(threshold) == nearest


@given(st.floats(0, 1))
def test_the_nearest_edges_can_be_asked_for_and_enclose_the_threshold(threshold: float) -> None:
    below, above = DEFAULT.nearest_edges(threshold)
    assert DEFAULT.code_of(below) is not None
    assert DEFAULT.code_of(above) is not None
    theta = np.float32(threshold)
    if DEFAULT.edges[0] < theta <= DEFAULT.edges[-1]:
        assert np.float32(below) < theta <= np.float32(above)
        assert not ((DEFAULT.edges > np.float32(below)) & (DEFAULT.edges < theta)).any()


@given(st.floats(0, 1))
def test_a_threshold_is_rounded_to_float32_once(threshold: float) -> None:
    theta = parse_threshold(threshold)
    assert type(theta) is float
    assert theta == float(np.float32(threshold)) == parse_threshold(theta)


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -float("inf"), -0.1, -1e-30, -1e-60, 1 + 1e-15, 1.001, 2, 1e300, -1e300, 10**400,
     -(10**400), "auto", "", "a half", None, [0.1, 0.2]],
)  # fmt: skip
def test_a_threshold_that_is_no_number_from_0_to_1_is_refused_with_its_value(value: object) -> None:
    with pytest.raises(QueryError, match="is not a number from 0 to 1") as caught:
        parse_threshold(value)  # type: ignore[arg-type]
    assert repr(value) in str(caught.value)
