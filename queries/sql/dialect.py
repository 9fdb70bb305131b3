"""What of DuckDB's SQL a clause may use, asked of DuckDB itself.

A clause means what DuckDB takes it to mean: its parser gives the tree that is split and says which functions are
called, its catalogue says what they are, and its binder gives the types.
"""

import atexit
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import duckdb

from ...catalog.connection import Limits, identifier, open_in_memory
from ...runtime import time_limit
from ...runtime.faults import machine_error
from .tree import QUANTITIES, Columns

# Consistent according to DuckDB's catalogue, and yet not a property of the data.
_DENIED = {
    "age",
    "error",
    "json_deserialize_sql",
    "json_serialize_plan",
    "json_serialize_sql",
    "parse_duckdb_log_message",
    "version",
    "write_log",
}
# Macros read the session, the catalogue and the clock more often than not: only these are let through.
_MACROS = {"date_add", "days_in_month", "fdiv", "fmod", "if", "nullif", "split_part"}
_MACRO_PREFIXES = ("array_", "list_", "md5_number_")

_REFUSED_CLASSES = {
    "SUBQUERY": "a subquery",
    "WINDOW": "a window function",
    "STAR": "*",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a positional reference",
    "LAMBDA": "a lambda function",
    "DEFAULT": "DEFAULT",
    # The order of codes would follow the bytes, not the collation.
    "COLLATE": "COLLATE",
}
# Operators of other languages.
_SPELT = {"&&": "AND", "=>": ">=", "!": "NOT", "===": "=", "=<": "<="}


class RefusalError(Exception):
    """A clause that cannot be answered: (problem, cure), for a message that quotes the clause."""


class FallbackError(Exception):
    """An aggregate that cells do not hold; DuckDB can answer it over arcs."""


@dataclass(frozen=True)
class Functions:
    """DuckDB's built-in functions: name to types, and the names that are allowed."""

    types: Mapping[str, frozenset[str]]
    allowed: frozenset[str]


_lock = threading.RLock()

#: Bytes for parsing and typing, and for functions of the weight.
_MEMORY = 1 << 30


def _memory() -> duckdb.DuckDBPyConnection:
    connection = open_in_memory(Limits(_MEMORY, disk=0), threads=1)
    connection.execute("SET enable_external_access = false")
    return connection


@lru_cache(maxsize=1)
def _parser() -> duckdb.DuckDBPyConnection:
    return _memory()


@contextmanager
def locked_parser() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB without data or access to any, to parse with; one thread at a time."""
    with _lock:
        if time_limit.is_left_behind(_parser()):
            _parser.cache_clear()
        yield _parser()


@lru_cache(maxsize=1)
def functions() -> Functions:
    """DuckDB's built-in functions, read once per process."""
    with _lock:
        rows = (
            _parser()
            .execute(
                "SELECT lower(function_name), function_type,"
                " bool_and(coalesce(stability, 'CONSISTENT') = 'CONSISTENT'"
                " AND NOT coalesce(has_side_effects, FALSE))"
                " FROM duckdb_functions() GROUP BY ALL"
            )
            .fetchall()
        )
    types: dict[str, frozenset[str]] = {}
    for name, kind, _ in rows:
        types[name] = types.get(name, frozenset()) | {kind}
    allowed = {
        name
        for name, kind, consistent in rows
        if (kind == "scalar" and consistent and not name.startswith(("__", "current_")))
        or (kind == "macro" and (name in _MACROS or name.startswith(_MACRO_PREFIXES)))
    }
    return Functions(types, frozenset(allowed - _DENIED))


def serialise(sql: str) -> Any:
    """What DuckDB's parser makes of SQL."""
    return json.loads(_serialise(sql))


@lru_cache(maxsize=1 << 12)
def _serialise(sql: str) -> str:
    with locked_parser() as parser:
        ((text,),) = parser.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchall()
    return str(text)


def read(sql: str) -> Any:
    """DuckDB's syntax tree of one expression.

    Parameters
    ----------
    sql : str
        The expression.

    Returns
    -------
    dict
        The node as `json_serialize_sql` writes it.

    Raises
    ------
    RefusalError
        It does not parse.
    """
    # The line break ends a trailing comment, which would otherwise swallow the parenthesis.
    tree = serialise(f"SELECT ({sql}\n)")
    if tree["error"]:
        raise RefusalError(f"DuckDB cannot parse it ({tree['error_message']})", "write one SQL expression")
    statements = tree["statements"]
    if len(statements) != 1 or len(statements[0]["node"].get("select_list", ())) != 1:
        raise RefusalError("it is not one expression", "write one SQL expression")
    found = statements[0]["node"]["select_list"][0]
    if found.get("subquery_type") != "SCALAR":
        # It stands without the parentheses, too: `a) AND (b` and `a, b` are no expressions.
        bare = serialise(f"SELECT {sql}\n")
        if bare["error"] or len(bare["statements"][0]["node"].get("select_list", ())) != 1:
            raise RefusalError("it is not one expression", "write one SQL expression, e.g. contact")
    return found


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every expression in a tree of DuckDB's parser, each before those below it."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "class" in one:
                yield one
            one = one.values()
        waiting += [child for child in reversed(one) if child and isinstance(child, (dict, list))]


def check_clause(tree: Any) -> None:
    """Refuse what is not a scalar expression over its columns.

    Parameters
    ----------
    tree : dict
        From `read`.

    Raises
    ------
    RefusalError
        A subquery, aggregate, window or table function, `*`, parameter, lambda, collation, or a function
        that is unknown, reads outside data, or does not always answer the same.
    """
    for node in walk(tree):
        if node["class"] in _REFUSED_CLASSES:
            raise RefusalError(
                f"it uses {_REFUSED_CLASSES[node['class']]}",
                "use scalar functions and operators over source.<column>, target.<column>, protein.<column>",
            )
        if node["class"] == "FUNCTION":
            check_function(node)
            if node["function_name"] == "factorial" and _stands_behind(node):
                raise RefusalError(
                    "DuckDB takes ! behind a value for a factorial", "write <> for unequal, or call factorial()"
                )


def _stands_behind(node: Mapping[str, Any]) -> bool:
    """Whether an operator stands behind its operand."""
    operand = node["arguments"][0]["expression"]
    return bool(node["query_location"] > operand["query_location"])


def check_function(node: Mapping[str, Any]) -> None:
    """Refuse a call of what is no scalar function of its arguments alone.

    Parameters
    ----------
    node : dict
        Of class FUNCTION.

    Raises
    ------
    RefusalError
        It is unknown, an aggregate or table function, reads outside data, or does not always answer the same.
    """
    known = functions()
    name = node["function_name"].lower()
    if name in _SPELT:
        operand = [one["expression"]["class"] for one in node["arguments"]]
        # Lists may have && between them, and no column is a list.
        if name != "&&" or {"COMPARISON", "CONJUNCTION", "CONSTANT", "COLUMN_REF"} & set(operand):
            raise RefusalError(f"{name} is not SQL", f"write {_SPELT[name]}")
    if node.get("schema") or node.get("catalog"):
        raise RefusalError(f"it names the schema of {name}()", f"call {name}() without it")
    if name in known.allowed:
        return
    types = known.types.get(name, frozenset())
    if types & {"aggregate", "window"} and "scalar" not in types:
        raise RefusalError(
            f"{name}() is an aggregate or window function",
            "a clause is asked of one pair at a time, so use scalar functions",
        )
    if types & {"table", "table_macro", "pragma"} or name == "unnest":
        raise RefusalError(f"{name}() is a table function", "use scalar functions of the columns")
    if types:
        raise RefusalError(
            f"{name}() may read outside data or answer differently each time",
            "use functions of the columns alone",
        )
    raise RefusalError(f"there is no function {name}()", "use a scalar function of DuckDB")


@lru_cache(maxsize=8)
def _binder(columns: Columns) -> duckdb.DuckDBPyConnection:
    connection = _memory()
    kinds = {"boolean": "BOOLEAN", "number": "DOUBLE"}
    pair = (("separation", "INTEGER"), *((name, kinds[kind]) for name, kind in QUANTITIES.items()))
    short = tuple((name.removesuffix("_cb"), kind) for name, kind in pair if name.endswith("_cb"))
    tables = {
        "residues": columns.residues,
        "proteins": columns.proteins,
        "listed": columns.pairs,
        "pair": pair,
        "entries": (*_ENTRY, *pair, *short),
    }
    for table, listed in tables.items():
        # Of pairs nothing may be known but which they are, and a table needs a column.
        definitions = [f"{identifier(name)} {kind}" for name, kind in listed] or ["nothing INTEGER"]
        connection.execute(f"CREATE TABLE {table} ({', '.join(definitions)})")
    return connection


#: Columns of `attention` that name no property.
_ENTRY = (
    ("model", "VARCHAR"), ("protein", "VARCHAR"), ("layer", "INTEGER"), ("head", "INTEGER"), ("source", "INTEGER"),
    ("target", "INTEGER"), ("weight", "FLOAT"), ("reverse_weight", "FLOAT"),
)  # fmt: skip


@atexit.register
def _close() -> None:
    """DuckDB's binding reports every connection that outlives the interpreter, at length, on stderr."""
    _parser.cache_clear()
    _binder.cache_clear()


def _before_fork() -> None:
    """A forked child can neither use nor destroy DuckDB's connections: it inherits none of these, and a free lock."""
    _lock.acquire()
    _close()


os.register_at_fork(before=_before_fork, after_in_parent=_lock.release, after_in_child=_lock.release)


def types_of(listed: str, columns: Columns) -> list[str]:
    """DuckDB's types of expressions over source, target, protein, listed and pair.

    Parameters
    ----------
    listed : str
        Expressions over `source`, `target`, `protein` and `listed` columns, distances and contacts of `pair`, as they
        stand after SELECT.
    columns : Columns
        Of the catalog.

    Returns
    -------
    list of str
        One type each, "NULL" for an untyped NULL.

    Raises
    ------
    RefusalError
        DuckDB does not accept one of them.
    """
    return list(_types(listed, "residues AS source, residues AS target, proteins AS protein, listed, pair", columns))


def attention_types(sql: Sequence[str], columns: Columns) -> list[str]:
    """DuckDB's types of expressions of a block: bare columns are qualified by `attention`; raises as `types_of`."""
    tables = "entries AS attention, residues AS source, residues AS target, proteins AS protein, listed AS pair"
    return list(_types(", ".join(f"{one} AS c{number}" for number, one in enumerate(sql)), tables, columns))


@lru_cache(maxsize=1 << 12)
def _types(listed: str, tables: str, columns: Columns) -> tuple[str, ...]:
    try:
        with _lock:
            if time_limit.is_left_behind(_binder(columns)):
                _binder.cache_clear()
            binder = _binder(columns)
            describe = f"DESCRIBE SELECT {listed} FROM {tables}"
            rows = time_limit.run(binder, lambda: binder.execute(describe).fetchall())
    except duckdb.Error as error:
        raise machine_error(error, "answering the query") or RefusalError(
            f"DuckDB does not accept it ({reason(error)})", "correct it"
        ) from error
    return tuple(str(row[1]).strip('"') for row in rows)


def reason(error: duckdb.Error) -> str:
    """DuckDB's message as part of one sentence: its first line, without the class and the full stop."""
    line = str(error).strip().split("\n")[0]
    head, colon, tail = line.partition(" Error: ")
    return (tail if colon and " " not in head.strip() else line).strip().rstrip(".")
