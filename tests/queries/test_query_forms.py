"""Forms of DuckDB's SQL that a user brings along: each is answered as every entry says, or refused for what it is."""

import pytest

from attnstore.errors import AttnstoreError, QueryError
from tests.synthetic import random_proteins, write_store

from .brute_force import FROM, Sample, add_properties, sample

ROW = ["model", "protein", "layer", "head", "source", "target", "weight"]
#: Each with the same in DuckDB's words where they are others.
FORMS = [
    ("SELECT separation AS s, s * 2 AS t, count(*) AS n FROM attention WHERE t > 12 GROUP BY ALL ORDER BY ALL",
     "SELECT separation AS s, separation * 2 AS t, count(*) AS n FROM {} WHERE separation > 6 GROUP BY ALL ORDER BY 1"),
    (("SELECT layer AS l, l + head AS m, m * 2 AS k, count(*) AS n FROM attention WHERE k > 2 AND contact "
     "GROUP BY ALL ORDER BY ALL"),
     ("SELECT layer AS l, layer + head AS m, (layer + head) * 2 AS k, count(*) AS n FROM {} "
     "WHERE (layer + head) * 2 > 2 AND contact GROUP BY ALL ORDER BY ALL")),
    (("SELECT source.aa AS a, a || target.aa AS b, count(*) AS n FROM attention WHERE b = 'CC' OR b IN ('AC', 'DE') "
     "GROUP BY ALL ORDER BY ALL"),
     ("SELECT source.aa AS a, source.aa || target.aa AS b, count(*) AS n FROM {} "
     "WHERE source.aa || target.aa IN ('CC', 'AC', 'DE') GROUP BY ALL ORDER BY ALL")),
    ("SELECT count(*) AS n FROM attention WHERE target.aa = ANY(['C', 'D'])", None),
    ("SELECT count(*) AS n FROM attention WHERE target.aa = ANY(ARRAY['C', source.aa])",
     "SELECT count(*) AS n FROM {} WHERE target.aa IN ('C', source.aa)"),
    ("SELECT count(*) AS n FROM attention WHERE target.ss8 <> ALL(['H', NULL])",
     "SELECT count(*) AS n FROM {} WHERE target.ss8 NOT IN ('H', NULL)"),
    ("SELECT count(*) AS n FROM attention WHERE separation > ALL([3, 5]) AND layer = SOME([0, 7])",
     "SELECT count(*) AS n FROM {} WHERE separation > 5 AND layer = 0"),
    ("SELECT separation IN [6, 7] AS x, count(*) AS n FROM attention GROUP BY ALL ORDER BY ALL", None),
    (("SELECT * FROM (SELECT layer, head, count(contact) AS c FROM attention WHERE separation > 2 GROUP BY ALL) "
     "PIVOT (first(c) FOR layer IN (0, 1)) ORDER BY head"), None),
    (("PIVOT (SELECT layer, head, count(*) AS c FROM attention WHERE contact GROUP BY ALL) ON layer IN (0, 1) "
     "USING sum(c) GROUP BY head ORDER BY head"), None),
    (("UNPIVOT (SELECT layer, count(contact) AS c, max(separation) AS s FROM attention GROUP BY ALL) ON c, s "
     "INTO NAME n VALUE v ORDER BY ALL"), None),
    (("SELECT layer, head, count(*) AS n FROM attention WHERE target.polar GROUP BY ALL "
     "QUALIFY row_number() OVER (PARTITION BY layer ORDER BY n DESC, head) = 1 ORDER BY ALL"),
     ("SELECT layer, head, count(*) AS n FROM {} WHERE target.polar GROUP BY layer, head "
     "QUALIFY row_number() OVER (PARTITION BY layer ORDER BY count(*) DESC, head) = 1 ORDER BY ALL")),
    ("FROM attention SELECT layer, count(*) AS n WHERE contact GROUP BY ALL ORDER BY ALL",
     "FROM {} SELECT layer, count(*) AS n WHERE contact GROUP BY ALL ORDER BY ALL"),
    (("SELECT v.l, n FROM (VALUES (0), (1), (2)) AS v(l) "
     "LEFT JOIN (SELECT layer, count(*) AS n FROM attention GROUP BY ALL) AS a ON a.layer = v.l ORDER BY ALL"), None),
    (("SELECT a.layer, d FROM (SELECT layer, count(*) AS n FROM attention GROUP BY ALL) AS a, "
     "LATERAL (SELECT a.n * 2 AS d) ORDER BY ALL"), None),
    ("SELECT COLUMNS('layer|head'), count(*) AS n FROM attention GROUP BY ALL ORDER BY ALL",
     "SELECT layer, head, count(*) AS n FROM {} GROUP BY ALL ORDER BY ALL"),
    ("SELECT max(COLUMNS(['source', 'target'])) FROM attention",
     "SELECT max(attention.source) AS source, max(attention.target) AS target FROM {}"),
]  # fmt: skip
STARS = [
    ("SELECT * FROM attention", ROW),
    ("SELECT attention.* FROM attention", ROW),
    ("SELECT a.* FROM attention AS a", ROW),
    ("SELECT * EXCLUDE (model, weight) FROM attention", ROW[1:-1]),
    ("SELECT * REPLACE (layer + 1 AS layer) FROM attention", ROW),
    ("SELECT * RENAME (source AS i, target AS j) FROM attention", [*ROW[:4], "i", "j", "weight"]),
    ("SELECT COLUMNS(lambda c: c LIKE '%e%r') FROM attention", ["layer"]),
    ("SELECT * LIKE 's%' FROM attention", ["source"]),
    ("SELECT * EXCLUDE (model), separation, source.aa AS aa FROM attention", [*ROW[1:], "separation", "aa"]),
]
REFUSED = [
    ("SELECT t AS s, s AS t FROM attention WHERE s > 3", ["there is no t"]),
    ("SELECT avg(contact) AS c, c * 100 AS p FROM attention WHERE p > 3", ["put the condition on them into HAVING"]),
    ("SELECT a AS a FROM attention WHERE a > 1", ["there is no a"]),
    (f"SELECT layer AS a0, {', '.join(f'a{n} + a{n} AS a{n + 1}' for n in range(40))} FROM attention WHERE a40 > 1",
     ["more than 10,000 operations"]),
    ("SELECT count(*) FROM attention WHERE target.aa = ANY(str_split('C,D', ','))", ["list_contains", "target.aa IN"]),
    ("SELECT * EXCLUDE (contact) FROM attention", ["* stands for model, protein", "contact"]),
    ("SELECT source.* FROM attention", ["name the columns, e.g. source.aa"]),
    ("SELECT count(*) FROM attention WHERE COLUMNS('layer') = 0", ["works in the select list alone"]),
    ("SELECT * FROM proteins AS p, LATERAL (SELECT count(*) FROM attention WHERE protein = p.id)", ["JOIN proteins"]),
    ("SELECT count(attention) FROM attention", ["attention is the table itself"]),
    ("SELECT count(*) FROM attention WHERE weight => 0.3", ["write >="]),
    ("SELECT count(*) FROM attention WHERE contact && separation > 9", ["write AND"]),
    # Text without quotes, in other quotes, and in those of a word processor
    ("SELECT count(*) FROM attention WHERE target.aa = C", ["write target.aa = 'C'"]),
    ("SELECT count(*) FROM attention WHERE target.aa = c", ["write target.aa = 'C'"]),
    ('SELECT count(*) FROM attention WHERE target.ss8 IN ("H", E)', ["write target.ss8 IN ('H', 'E')"]),
    ("SELECT count(*) FROM attention WHERE ‘C’ = target.aa", ["write 'C' = target.aa"]),
    ("SELECT count(*) FROM attention WHERE protein = p0", ["write protein = 'p0'"]),
    ("SELECT count(*) FROM attention WHERE model <> other", ["write model <> 'other'"]),
    ("SELECT target.fold LIKE hel, count(*) FROM attention GROUP BY 1", ["write target.fold LIKE 'hel'"]),
]  # fmt: skip


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    path = tmp_path_factory.mktemp("forms") / "store"
    proteins = random_proteins(3, [9, 14])
    write_store(path, proteins, name="first")
    add_properties(path)
    return sample(path, {"first": proteins})


@pytest.mark.parametrize(("ours", "plain"), FORMS, ids=[ours[:50] for ours, _ in FORMS])
def test_each_form_is_answered_as_every_entry_says(forms: Sample, ours: str, plain: str | None) -> None:
    expected = forms.answer((plain or ours.replace("FROM attention", "FROM {}")).format(FROM))
    found = forms.store.query(ours).to_arrow()
    assert found.column_names == expected.column_names
    assert found.to_pylist() == expected.to_pylist()
    assert found.num_rows > 0


@pytest.mark.parametrize(("statement", "names"), STARS)
def test_a_star_stands_for_the_columns_of_every_row(forms: Sample, statement: str, names: list[str]) -> None:
    found = forms.store.query(
        f"{statement} WHERE weight >= 0.3 ORDER BY layer, head, source, target LIMIT 5"
    ).to_arrow()
    assert found.column_names == names
    rows = forms.answer(
        f"SELECT {', '.join(f'attention.{name}' for name in ROW)} FROM {FROM} "
        "WHERE weight >= 0.3::FLOAT ORDER BY layer, head, attention.source, attention.target LIMIT 5"
    )
    for name in {*names} & {*ROW} - {"layer" if "REPLACE" in statement else ""}:
        assert found[name].to_pylist() == rows[name].to_pylist()
    if "REPLACE" in statement:
        assert found["layer"].to_pylist() == [layer + 1 for layer in rows["layer"].to_pylist()]


@pytest.mark.parametrize(("statement", "said"), REFUSED, ids=[statement[:60] for statement, _ in REFUSED])
def test_what_is_not_answered_says_what_to_write(forms: Sample, statement: str, said: list[str]) -> None:
    with pytest.raises(QueryError) as caught:
        forms.store.query(statement)
    assert [part for part in said if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("predicate", "cure"),
    [
        ("target.aa = C", "target.aa = 'C'"),
        ('source.ss8 <> "H" AND contact', "source.ss8 <> 'H'"),
        ("protein.family IN (globin, kinase)", "protein.family IN ('globin', 'kinase')"),
        ("target.aa", "target.aa = 'C'"),
        ("separation", "separation >= 6"),
        ("distance_ca", "distance_ca < 8"),
        ("target.fold", "target.fold IS NOT NULL"),
        ("target.score", "target.score IS NOT NULL"),
    ],
)
def test_the_cure_of_a_condition_is_a_condition(forms: Sample, predicate: str, cure: str) -> None:
    with pytest.raises(QueryError) as caught:
        forms.store.align(predicate)
    assert str(caught.value).endswith(f" {cure}.")
    forms.store.align(cure, replicates=0)  # it works as it is printed


def test_the_cure_of_a_pivot_and_of_a_join_work_as_they_are_printed(forms: Sample) -> None:
    for statement in (
        "SELECT * FROM attention PIVOT (count(*) FOR layer IN (0, 1))",
        "SELECT count(*) FROM attention JOIN proteins ON TRUE",
        "SELECT * FROM proteins AS p, LATERAL (SELECT count(*) FROM attention WHERE protein = p.id)",
        "DESCRIBE attention",
    ):
        with pytest.raises(QueryError) as caught:
            forms.store.query(statement)
        for cure in str(caught.value).split("`")[1::2]:
            if cure.startswith("SELECT"):
                forms.store.query(cure.replace("…", "*"))


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("protein = 'P0'", "no protein has the id 'P0': did you mean 'p0'?"),
        ("target.aa IN ('c', 'D')", "no residue has the aa 'c': did you mean 'C'?"),
        ("'HELIX' = source.fold", "no residue has the fold 'HELIX': did you mean 'helix'?"),
    ],
)
def test_text_that_is_there_in_another_case_alone_is_named(forms: Sample, condition: str, said: str) -> None:
    with pytest.warns(UserWarning, match="did you mean") as warned:
        forms.store.query(f"SELECT count(*) FROM attention WHERE {condition}")
    assert [str(one.message) for one in warned] == [said]
    with pytest.warns(UserWarning, match="did you mean"):
        forms.store.align("contact", where=condition, replicates=0)


def test_text_that_is_there_or_nowhere_warns_of_nothing(forms: Sample, recwarn: pytest.WarningsRecorder) -> None:
    for condition in ("protein = 'p0'", "target.aa = 'C'", "source.fold = 'nothing'", "lower(source.fold) = 'helix'"):
        forms.store.query(f"SELECT count(*) FROM attention WHERE {condition}")
    assert list(recwarn) == []


def test_sql_names_query_for_the_table_that_it_lacks(forms: Sample) -> None:
    with pytest.raises(AttnstoreError, match=r"ask with `store\.query\('SELECT count\(\*\) FROM attention'\)`\.$"):
        forms.store.sql("SELECT count(*) FROM attention")
    assert forms.store.sql("WITH attention AS (SELECT 1 AS a) SELECT a FROM attention").fetchall() == [(1,)]
    for statement, said in (
        ("SELECT * FROM proteins WHERE id = p0", "text stands in single quotes, as 'p0'"),
        ("SELECT * FROM protein", "there is no table protein: there are .*proteins"),
        ("PIVOT heads ON layer USING first(special)", r"ON layer IN \(0, 1\)"),
        ("SELECT source.aa FROM arcs", "table attention, which `query` answers"),
    ):
        with pytest.raises(QueryError, match=said):
            forms.store.sql(statement)
