"""Hostile questions, drawn by a seed: each must be answered, or refused by an AttnstoreError of one sentence.

A question is put together from parts that break parsers, binders and engines: functions that read files, words of
the system's tables, values of every type, text with quotes and NULs, nesting, comments, semicolons, windows and
aggregates where none may stand. Which of them makes sense is left to chance.
"""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from attnstore.api import Store

#: Values and columns.
_VALUES = (
    "weight", "reverse_weight", "separation", "distance", "distance_ca", "contact", "contact_ca", "source.aa",
    "target.aa", "source.pos", "target.ss8", "source.score", "target.hydropathy", "protein", "protein.length",
    "protein.family", "source", "target", "layer", "head", "model", "pair.coupling", "source.nothing", "nothing",
    "attention", "rowid", "C", '"C"', "'C'", "''", "'it''s'", "$$C$$", "E'\\n'", "X'00FF'", "'日本 🧬'", "'\x00'",
    "‘C’",
    "`C`", "0", "-1", "1e400", "-0.0", "0.3", "30%", "1_000", "0x1F", "9223372036854775808", "'NaN'::FLOAT",
    "'inf'::DOUBLE", "NULL", "TRUE", "DATE '2020-02-30'", "DATE '2020-02-29'", "TIMESTAMP 'now'", "INTERVAL 3 DAYS",
    "[1, 2]", "[source.aa, target.aa]", "[]", "{'a': source.aa}", "{'a': 1}.a", "MAP {'a': layer}", "(1, 2)",
    "(source.aa, target.aa)", "row(layer)", "ARRAY[1, 2]", "'1'::JSON", "uuid()", "random()", "now()", "current_date",
    "?", "$1", "$theta", "#1", "*", "COLUMNS(*)", "COLUMNS('.*')", "lambda x: x + 1", "x -> x + 1", "DEFAULT",
)  # fmt: skip
#: Values that mostly fit together, so that some questions get as far as the engine.
_OF_PAIRS = (
    "separation", "distance", "contact", "source.pos", "target.pos", "target.hydropathy", "source.score",
    "protein.length", "abs(source.score)", "1", "6", "2.5", "NULL",
)  # fmt: skip
_PLAIN = (*_OF_PAIRS, "weight", "layer", "head", "0.3")
#: Of a value and another.
_SCALARS = (
    "{a} + {b}", "{a} % {b}", "{a} // {b}", "{a} / 0", "{a} ** {b}", "{a} || {b}", "-{a}", "~{a}", "{a} << {b}",
    "{a} ^ {b}", "{a}[{b}]", "{a}[1:2]", "{a}.b.c", "abs({a})", "sqrt({a})", "ln({a})", "lower({a})", "upper({a})",
    "repeat({a}, 3)", "repeat('x', {a}::BIGINT * 1000000)", "substr({a}, {b})", "regexp_matches({a}, '(')",
    "regexp_matches({a}, '(a*)*b')", "{a} LIKE {b}", "{a} SIMILAR TO {b}", "{a} GLOB '[*'", "{a}::INTEGER",
    "CAST({a} AS DATE)", "TRY_CAST({a} AS BOOLEAN)", "{a}::NOTHING", "{a}::DECIMAL(38, 37)", "{a}::VARCHAR[]",
    "CASE WHEN {a} THEN {b} END", "CASE {a} WHEN {b} THEN 1 ELSE 'x' END", "coalesce({a}, {b})", "nullif({a}, {b})",
    "greatest({a}, {b})", "if({a}, {b}, NULL)", "list_filter([{a}], lambda x: x = {b})",
    "list_transform({a}, x -> x)", "struct_pack(a := {a})", "unnest([{a}])", "unnest({a})", "generate_series(1, {a})",
    "strptime({a}, '%')", "format('{{}}', {a})", "printf('%s%n', {a})", "chr({a})", "hash({a})", "md5({a})",
    "from_json({a}, {b})", "json_extract({a}, '$..*')", "getenv('HOME')", "current_setting('threads')",
    "set_config('a', 'b')", "nextval('s')", "error('x')", "sleep_ms(10)", "write_log({a})", "query('SELECT 1')",
    "read_text('{secret}')", "pg_sleep(1)", "version()", "txid_current()", "current_query()", "main.abs({a})",
    "frobnicate({a})", "__internal_compress({a})", "nothing.{a}", "{a} COLLATE nocase", "{a} AT TIME ZONE 'UTC'",
    "TRY({a})", "enum_range(NULL::{a})", "typeof({a})", "alias({a})", "(SELECT {a})",
    "(SELECT max(id) FROM proteins)", "(SELECT content FROM read_text('{secret}'))",
    "(SELECT count(*) FROM attention)", "(FROM glob('/*') LIMIT 1)",
)  # fmt: skip
_AGGREGATES = (
    "count(*)", "count({a})", "count(DISTINCT {a})", "sum({a})", "avg({a})", "weighted_avg({a})", "min({a})",
    "median({a})", "mode({a})", "quantile_cont({a}, {b})", "list({a} ORDER BY {b})", "string_agg({a}, {b})",
    "arg_max({a}, weight)", "histogram({a})", "any_value({a})", "bool_and({a})", "corr({a}, {b})",
    "approx_quantile({a}, 2)", "count(*) FILTER (WHERE {a})", "sum({a}) OVER (PARTITION BY {b})",
    "row_number() OVER (ORDER BY {a})", "lag({a}) OVER ()", "avg(sum({a}))", "count(COLUMNS(*))",
    "rank() WITHIN GROUP (ORDER BY {a})", "sum({a}, {b})", "grouping({a})", "first({a} IGNORE NULLS)",
    "reservoir_quantile({a}, 0.5)", "max_by({a}, {b}, 3)",
)  # fmt: skip
_CONDITIONS = (
    "{a} = {b}", "{a} > {b}", "{a} <> {b}", "{a} == {b}", "{a} => {b}", "{a} && {b}", "{a} IN ({b}, {b})",
    "{a} IN {b}", "{a} = ANY([{b}])", "{a} <> ALL([{b}, NULL])", "{a} = ANY({b})", "{a} IN (SELECT {b})",
    "{a} IN (SELECT id FROM proteins)", "{a} BETWEEN {b} AND {a}", "{a} BETWEEN SYMMETRIC {b} AND 1", "NOT {a}",
    "{a}", "{a} IS NULL", "{a} IS NOT DISTINCT FROM {b}", "{a} IS TRUE", "{a} AND {b}", "{a} OR NOT {b}",
    "EXISTS (SELECT 1)", "EXISTS (SELECT 1 FROM attention WHERE weight > 0.3)", "{a} > (SELECT avg({b}) FROM arcs)",
    "{a} = {b} = {a}", "{a} > count(*)", "{a} > avg({b}) OVER ()", "({a}, {b}) IN ((1, 2))",
    "{a} = {b}; DROP TABLE proteins", "{a} --", "{a} /* {b}", "({a} = {b}", "{a} = {b})", "'{a}", '"{a}',
    "{a} ORDER BY {b}", "{a} LIMIT 1", "{a}, {b}", "", "{a} UNION SELECT {b}", "{a} WHERE {b}", "{a} \\ {b}", "@{a}",
    "{a}!", "!{a}", "{a} ≥ {b}", "{a} ISNULL",
)  # fmt: skip
_TABLES = (
    "attention", "attention AS a", "ATTENTION", "main.attention", "attention TABLESAMPLE 10%",
    "attention AT (VERSION => 1)", "attention, proteins", "attention JOIN proteins USING (protein)",
    "attention NATURAL JOIN residues", "arcs", "heads", "proteins", "residues", "pairs", "models", "skipped",
    "properties", "property_sources", "members", "nothing", "duckdb_settings()", "duckdb_secrets()",
    "pragma_database_list", "information_schema.tables", "sqlite_master", "pg_catalog.pg_class",
    "catalog.main.proteins", "duckdb_temporary_files()", "range(5)", "range(-1)", "repeat(1, 2)",
    "read_csv('{secret}')", "read_csv_auto('/etc/*')", "read_json('{secret}')", "read_parquet('{secret}')",
    "read_text('{secret}')", "read_blob('/dev/zero')", "glob('/*')", "'{secret}'", "'https://example.org/x.csv'",
    "sniff_csv('{secret}')", "query('SELECT 1')", "query_table('proteins')", "read_duckdb('{secret}')", "(SELECT 1)",
    "(VALUES (1), ('x'))", "(SELECT * FROM attention LIMIT 3)", "(FROM attention SELECT layer, weight)",
    "(PIVOT attention ON layer USING count(*))", "(PIVOT heads ON layer IN (0, 1) USING count(*))",
    "(UNPIVOT heads ON special)", "(DESCRIBE attention)", "(SUMMARIZE proteins)", "(SHOW TABLES)", "test_all_types()",
    "proteins p, LATERAL (SELECT count(*) FROM attention WHERE protein = p.id)", "json_each('[1]')", "secret_frame",
)  # fmt: skip
_TAILS = (
    "GROUP BY ALL", "GROUP BY {a}", "GROUP BY 1", "GROUP BY 99", "GROUP BY CUBE ({a}, {b})",
    "GROUP BY GROUPING SETS ((), ({a}))", "GROUP BY ALL HAVING {c}",
    "GROUP BY ALL QUALIFY row_number() OVER (ORDER BY {a}) = 1", "QUALIFY {c}", "ORDER BY {a}", "ORDER BY ALL",
    "ORDER BY 99", "LIMIT 0", "LIMIT -1", "LIMIT {a}", "LIMIT 3 OFFSET {a}", "LIMIT 50%", "USING SAMPLE 3",
    "WINDOW w AS (ORDER BY {a})", "UNION ALL SELECT {a}", "EXCEPT FROM proteins", "FOR UPDATE", ";", ";;", "-- {a}",
    "/* {a} */", "",
)  # fmt: skip
_STATEMENTS = (
    "PRAGMA {a}", "SET threads = 1", "RESET ALL", "INSTALL httpfs", "LOAD '{secret}'", "ATTACH '{secret}'",
    "DETACH catalog", "USE catalog", "COPY (SELECT 1) TO '{out}'", "COPY proteins FROM '{secret}'",
    "EXPORT DATABASE '{out}'", "IMPORT DATABASE '{out}'", "CREATE TABLE t AS SELECT 1", "CREATE TEMP MACRO f() AS 1",
    "CREATE SECRET (TYPE s3)", "INSERT INTO proteins VALUES (1)", "UPDATE proteins SET id = {a}",
    "DELETE FROM residues", "DROP TABLE proteins", "ALTER TABLE proteins RENAME TO x", "CALL pragma_version()",
    "CALL checkpoint()", "VACUUM", "BEGIN", "EXPLAIN SELECT 1", "EXPLAIN ANALYZE SELECT 1", "PREPARE p AS SELECT 1",
    "EXECUTE p", "SHOW attention", "DESCRIBE SELECT {a}", "SUMMARIZE attention", "VALUES ({a}, {b})",
    "TABLE attention", "FROM {t}", "FROM {t} WHERE {c}", "SELECT", "", "\x00", "SELECT 1\x00", "SELECT 1; SELECT 2",
    "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 9) FROM r",
    "WITH attention AS (SELECT 1) FROM attention", "WITH c AS (SELECT {a} FROM attention) FROM c",
    "SELECT {x} FROM {t} {e}", "WITH c AS MATERIALIZED (SELECT {x} FROM attention {e}) SELECT * FROM c, c AS d",
    "MERGE INTO proteins USING arcs ON TRUE",
)  # fmt: skip
_ITEMS = (
    "{a}", "*", "* EXCLUDE ({a})", "* REPLACE ({a} AS weight)", "* RENAME (layer AS {b})", "COLUMNS('l.*')",
    "COLUMNS({a})", "attention.*", "source.*", "{a} AS x, x + 1 AS y, y AS {b}", "{a} AS {b}", '{a} AS "a ""b"" ☃"',
    "DISTINCT {a}", "DISTINCT ON ({a}) {b}", "{g}", "{g} AS n, {a}", "{a}, {g}", "{s}", "{s} AS s, {g}",
)  # fmt: skip
#: Of each of these, what is mostly answered.
_ANSWERED = {
    _SCALARS: (
        "{a} + {b}", "{a} || {b}", "-{a}", "abs({a})", "ln({a})", "lower({a})", "{a} LIKE {b}", "{a}::VARCHAR",
        "TRY_CAST({a} AS BOOLEAN)", "coalesce({a}, {b})", "nullif({a}, {b})", "greatest({a}, {b})", "hash({a})",
        "CASE WHEN {a} > {b} THEN {b} END", "list_contains([{b}], {a})", "[{a}]", "typeof({a})",
    ),
    _AGGREGATES: (
        "count(*)", "count({a})", "sum({a})", "avg({a})", "weighted_avg({a})", "min({a})", "count(DISTINCT {a})",
        "count(*) FILTER (WHERE {a} > {b})", "any_value({a})", "avg(contact)",
    ),
    _CONDITIONS: (
        "{a} = {b}", "{a} > {b}", "{a} <> {b}", "{a} IN ({b}, {b})", "{a} = ANY([{b}])", "{a} <> ALL([{b}, NULL])",
        "{a} BETWEEN {b} AND {a}", "{a} IS NULL", "{a} IS NOT DISTINCT FROM {b}", "{a} >= {b} AND contact",
        "NOT ({a} > {b} OR separation > 9)", "contact IS TRUE", "source.aa = target.aa", "({a}, {b}) IN ((1, 2))",
    ),
    _TABLES: ("attention", "attention AS a"),
    _TAILS: (
        "GROUP BY ALL", "GROUP BY ALL ORDER BY ALL", "ORDER BY ALL LIMIT 3", "LIMIT 5", "GROUP BY ALL LIMIT 3", "",
    ),
    _ITEMS: (
        "{a}, {g}", "{g} AS n, {a}", "layer, head, {g}", "{a} AS x, {g}", "{s} AS s, {g}", "{g}", "*",
        "COLUMNS('l.*'), {g}",
        "{a} AS x, {b} AS y", "* EXCLUDE (model)",
    ),
}  # fmt: skip
#: What is deep, long or wide.
_LARGE: tuple[Callable[[], str], ...] = (
    lambda: "(" * 3000 + "contact" + ")" * 3000,
    lambda: "NOT " * 3000 + "contact",
    lambda: "-" * 2000 + "1 = separation",
    lambda: " AND ".join(["contact"] * 3000),
    lambda: " OR ".join(f"separation = {n}" for n in range(3000)),
    lambda: f"source.pos IN ({', '.join(map(str, range(5_000)))})",
    lambda: "protein IN (" + ", ".join(f"'p{n}'" for n in range(5_000)) + ")",
    lambda: "abs(" * 1500 + "separation" + ")" * 1500 + " > 1",
    lambda: "CASE WHEN contact THEN " * 500 + "TRUE" + " END" * 500,
    lambda: f"source.aa = '{'A' * 300_000}'",
    lambda: f"{'x' * 100_000} = 1",
    lambda: "[" * 1000 + "]" * 1000 + " IS NULL",
    lambda: "'" * 9999,
    lambda: "/*" * 2000 + "contact",
    lambda: "\t\n\v\f\u00a0\u200b\ufeffcontact",
    lambda: "contact" + "::BOOLEAN" * 1000,
)


@dataclass(frozen=True)
class Hostile:
    """A hostile question: how it is asked, and of what."""

    asked: str
    text: str

    def ask(self, store: Store, folder: str) -> Any:
        """Put it to a store; what it is answered with is read to its end."""
        text = self.text.replace("{secret}", f"{folder}/secret.csv").replace("{out}", f"{folder}/out")
        return _ASK[self.asked](store, text)


#: How a question is asked; each answer is evaluated here, since some are evaluated late.
_ASK: dict[str, Callable[[Store, str], Any]] = {
    "query": lambda store, text: store.query(text).df(),
    "explain": lambda store, text: store.explain(text),
    "stream": lambda store, text: store.stream(text).read_all(),
    "sql": lambda store, text: store.sql(text).to_arrow_table(),
    "align": lambda store, text: store.align(text, replicates=0).to_table(),
    "where": lambda store, text: store.align("contact", where=text, replicates=0).to_table(),
    "weighted": lambda store, text: store.align(text, weighted=True, replicates=0).to_table(),
    "probe": lambda store, text: store.probe(text, sources=("attention",), replicates=1, examples=32),
    "select": lambda store, text: store.contact_precision(select=text, replicates=1),
    "cluster_by": lambda store, text: store.align("contact", cluster_by=text, replicates=1),
    "protein": lambda store, text: store.attention(text),
    "property": lambda store, text: store.report(os.devnull, properties=[text]),
}


def corpus(seed: int, number: int) -> Iterator[Hostile]:
    """That many hostile questions, the same for a seed: every way of asking in turn."""
    draw = Draw(seed)
    for count in range(number):
        # Every other question is made of what is mostly answered.
        draw.plain = bool(count // len(_ASK) % 2)
        asked = list(_ASK)[count % len(_ASK)]
        draw.whole = asked in ("query", "explain", "stream", "sql")
        yield Hostile(asked, _statement(draw) if draw.whole else condition(draw))


class Draw(random.Random):
    """A generator of random numbers that knows what a question is to be.

    Attributes
    ----------
    plain : whether it is one that is mostly answered
    whole : whether it is a statement, rather than a condition
    """

    plain = False
    whole = False

    def template(self, among: tuple[str, ...]) -> str:
        return self.choice(_ANSWERED[among] if self.plain else among)


def _filled(draw: Draw, template: str, depth: int = 0) -> str:
    """A template with something for each of its letters."""
    made = template.replace("{{}}", "\x01")
    templates = {"{g}": _AGGREGATES, "{s}": _SCALARS, "{x}": _ITEMS, "{e}": _TAILS, "{t}": _TABLES}
    for letter, choices in templates.items():
        while letter in made:
            made = made.replace(letter, _filled(draw, draw.template(choices), depth + 1), 1)
    while "{c}" in made:
        made = made.replace("{c}", condition(draw, depth + 1), 1)
    for letter in ("{a}", "{b}"):
        while letter in made:
            made = made.replace(letter, _value(draw, depth), 1)
    return made.replace("\x01", "{}")


def _value(draw: Draw, depth: int) -> str:
    if depth < 3 and draw.random() < 0.3:
        return _filled(draw, draw.template(_SCALARS), depth + 1)
    if draw.plain:
        return draw.choice(_PLAIN if draw.whole else _OF_PAIRS)
    return draw.choice(_PLAIN) if draw.random() < 0.5 else draw.choice(_VALUES)


def condition(draw: Draw, depth: int = 0) -> str:
    if not depth and not draw.plain and draw.random() < 0.1:
        return draw.choice(_LARGE)()
    return _filled(draw, draw.template(_CONDITIONS), depth + 1)


def _statement(draw: Draw) -> str:
    if not draw.plain and draw.random() < 0.25:
        return _filled(draw, draw.choice(_STATEMENTS))
    items, tail = _filled(draw, draw.template(_ITEMS)), _filled(draw, draw.template(_TAILS))
    table = "attention" if draw.random() < 0.6 else _filled(draw, draw.template(_TABLES))
    where = f" WHERE {condition(draw)}" if draw.random() < 0.6 else ""
    return f"SELECT {items} FROM {table}{where} {tail}"
