"""SQL over attention: from a statement to plans, to cells or rows, to the result."""

import contextlib
import json
import math
import re
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..catalog.connection import Limits, closed_at_exit, open_in_memory
from ..catalog.reader import catalog_errors
from ..catalog_sql import duckdb_errors, open_tables
from ..errors import AttnstoreError, QueryError
from ..format.documents import ingest_with, lacking
from ..runtime import time_limit
from .answer import RowStream, cells_of, create, top_of
from .engine.cells import Tier
from .engine.top_rows import Top
from .engine.vectors import Directory, directory
from .forecasts import PlannedBlock, forecast_blocks, refuse_large
from .plan.blocks import BlockPlan, plan_block, taking_part, undecided_conditions
from .plan.explain import explained, in_all
from .plan.tiers import least_weight, needs
from .plan.top_plan import find_top, from_arcs
from .provenance import provenance
from .query_result import METADATA, Result, whole_numbers
from .sql.block import Question, over_arcs, take_apart
from .sql.columns import ATTENTION
from .sql.condition import quoted
from .sql.dialect import RefusalError
from .sql.statement import Statement, read_statement, table_names, with_blocks
from .sql.syntax import Tree, columns_in, render_statement

if TYPE_CHECKING:
    from distributed import Client

    from ..opened import Store


@dataclass(frozen=True, eq=False)
class Session:
    """A statement being answered: its store, and its options.

    Attributes
    ----------
    store, statement, connection : the connection is locked, and has the results of blocks
    known : of the catalog
    questions : one per block
    tier, limits, scheduler, progress : options
    failures : errors that occurred while DuckDB was reading rows
    """

    store: "Store"
    statement: Statement
    connection: duckdb.DuckDBPyConnection
    known: Directory
    questions: tuple[Question, ...]
    tier: Tier | None
    limits: Limits
    scheduler: "str | Client | None"
    progress: bool
    failures: list[AttnstoreError] = field(default_factory=list)


def query(
    store: "Store",
    sql: str,
    *,
    tier: Tier | None = None,
    memory_limit: int | str | None = None,
    disk_limit: int | str | None = None,
    timeout: float | None = None,
    scheduler: "str | Client | None" = None,
    progress: bool = False,
) -> Result:
    """Answer one SELECT over the virtual table `attention` and the store's other tables; see
    :meth:`attnstore.Store.query`.
    """
    limits = Limits.of(memory_limit, disk_limit)
    with time_limit.time_limit(timeout), _session(store, sql, tier, limits, scheduler, progress) as session:
        answered, sql = _answer_blocks(session, kept=True)
        with _told_errors(session):
            relation = _relation(session, sql)
            table = time_limit.run(session.connection, relation.to_arrow_table)
        return Result.of(whole_numbers(table), _attributes(session, answered))


def stream(
    store: "Store",
    sql: str,
    *,
    tier: Tier | None = None,
    memory_limit: int | str | None = None,
    disk_limit: int | str | None = None,
    timeout: float | None = None,
    scheduler: "str | Client | None" = None,
    progress: bool = False,
) -> pa.RecordBatchReader:
    """Answer in batches; see :meth:`attnstore.Store.stream`."""
    limits = Limits.of(memory_limit, disk_limit)
    with time_limit.time_limit(timeout), contextlib.ExitStack() as stack:
        session = stack.enter_context(_session(store, sql, tier, limits, scheduler, progress))
        answered, sql = _answer_blocks(session, kept=False)
        with _told_errors(session):
            relation = _relation(session, sql)
            reader = time_limit.run(session.connection, relation.to_arrow_reader)
        attributes = json.dumps(_attributes(session, answered))
        schema = reader.schema.with_metadata({METADATA: attributes})
        # From here on the reader closes its connection.
        batches = closed_at_exit(_until_closed(session, reader, schema, stack.pop_all()))
        return pa.RecordBatchReader.from_batches(schema, batches)


def _until_closed(
    session: Session, reader: pa.RecordBatchReader, schema: pa.Schema, stack: contextlib.ExitStack
) -> Generator[pa.RecordBatch, None, None]:
    limit = time_limit.current()
    with stack:
        while True:
            # Between two batches the time belongs to the reader, and continues.
            with time_limit.resumed(limit), _told_errors(session), _through_arrow():
                batch = time_limit.run(session.connection, lambda: next(reader, None))
            if batch is None:
                return
            yield batch.replace_schema_metadata(schema.metadata)


def explain(
    store: "Store",
    sql: str,
    *,
    tier: Tier | None = None,
    memory_limit: int | str | None = None,
    disk_limit: int | str | None = None,
    timeout: float | None = None,
) -> str:
    """Explain how a statement would be answered; see :meth:`attnstore.Store.explain`."""
    limits = Limits.of(memory_limit, disk_limit)
    with time_limit.time_limit(timeout) as limit, _session(store, sql, tier, limits, None, False) as session:
        if not session.questions:
            return "no block asks of attention: all of it by DuckDB"
        answered, sql = _answers(session, run=False)
        with _told_errors(session):
            _relation(session, sql)
            blocks = [one.block for one in answered if one.block is not None]
            begun = time.perf_counter() - limit.begun
            forecasts = forecast_blocks(session.connection, sql, blocks, session.known, limits)
        outer = "the rest, by DuckDB: everything outside of the blocks, HAVING, ORDER BY, LIMIT"
        return "\n".join([*(one.plan for one in answered), outer, in_all(forecasts, begun)])


@contextlib.contextmanager
def _session(
    store: "Store",
    sql: str,
    tier: Tier | None,
    limits: Limits,
    scheduler: "str | Client | None",
    progress: bool,
) -> Iterator[Session]:
    try:
        statement = read_statement(sql)
    except RecursionError as error:
        raise QueryError("the query is nested too deeply: use IN (…) for long lists, and fewer subqueries.") from error
    with time_limit.closing(open_in_memory(limits)) as connection:
        with catalog_errors(store.path / str(store.document.catalog)):
            wanted = table_names(statement.tree)
            known = directory(store.catalog_path)
            questions = tuple(_with_steps(take_apart(statement, block, known.columns)) for block in statement.blocks)
            kept = any("arcs" in model.document.keep for model in store.models.values())
            if kept and any(question.fallback for question in questions):
                wanted.add("arcs")
            if any(question.rows and question.block.place != "select" for question in questions):
                # DuckDB does not know how many rows a block has, assumes that it is small, and would hold all of it in
                # memory.
                # In the order of the statement, the left side of a join is read row by row.
                connection.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
            open_tables(connection, store, wanted)
        yield Session(store, statement, connection, known, questions, tier, limits, scheduler, progress)


def _plan(session: Session, question: Question, *, run: bool) -> BlockPlan | None:
    """How a block is answered; None if DuckDB answers it, over arcs."""
    if question.fallback is not None:
        _check_fallback(session, question, run=run)
        return None
    return plan_block(session.store, session.connection, session.statement, question, tier=session.tier, run=run)


def _told(session: Session, number: int, plan: BlockPlan | None) -> str:
    """A plan in words; those of the statement, not of what other blocks were answered with."""
    question = session.questions[number]
    memory = plan.working_memory if plan else 0
    written = replace(plan, question=question) if plan else None
    return explained(session.statement, number, written, question.fallback or "", (memory, session.limits.memory))


def _answer_blocks(session: Session, kept: bool) -> "tuple[list[BlockAnswer], str]":
    """Answer every block; also the SQL of the statement over what they were answered with."""
    answered, sql = _answers(session, run=True)
    streamed = [one.block for one in answered if one.block is not None and one.block.plan.question.rows]
    with _told_errors(session):
        _relation(session, sql)
        blocks = [block for block in streamed if block.top is None]
        refuse_large(session.connection, sql, blocks, session.known, session.limits, kept)
    return answered, sql


def _answers(session: Session, *, run: bool) -> "tuple[list[BlockAnswer], str]":
    """Answer every block, each over those before it; also the SQL of the statement over their answers."""
    answered: list[BlockAnswer] = []
    nodes: dict[int, Tree] = {}
    for number, question in enumerate(session.questions):
        # Conditions that name other blocks wait for their answers: without them they are undecided.
        over = question.with_blocks(nodes) if run else question
        answered.append(_answer(session, number, over, run=run))
        nodes[question.block.number] = with_blocks(answered[-1].node, nodes)
    tree = with_blocks(session.statement.tree, nodes)
    if ATTENTION in table_names(tree):
        raise QueryError(
            f"{quoted(session.statement.sql)} cannot be answered: attention stands where it is not understood; "
            "put it into a subquery or CTE of its own."
        )
    return answered, render_statement(tree)


@dataclass(frozen=True, eq=False)
class BlockAnswer:
    """The record of an answered block: its plan in words, models, and approximate columns; and its result."""

    plan: str
    models: tuple[str, ...]
    approximate: tuple[str, ...]
    block: PlannedBlock | None
    node: Tree


def _answer(session: Session, number: int, question: Question, *, run: bool) -> BlockAnswer:
    """Answer a block by a relation; where it is not to run, by one of its columns without rows."""
    block, name = question.block, f"__block{number}"
    plan = _plan(session, question, run=run)
    told = _told(session, number, plan)
    if plan is None:
        try:
            node = over_arcs(question, session.known.columns)
        except RefusalError as refusal:
            problem, cure = refusal.args
            raise QueryError(f"the query cannot be answered: {question.fallback}, and {problem}; {cure}.") from refusal
        return BlockAnswer(told, tuple(session.store.models), (), None, node)
    top = find_top(question, plan) if question.rows else None
    table: pa.Table | None = None
    with _told_errors(session):
        if top is not None:
            plan, table = _first_rows(session, plan, top, run)
            told = _told(session, number, plan)
        elif not question.rows:
            table = _cells(session, plan if run else replace(plan, models=()))
        incoming = RowStream(plan, session.known, session.failures) if table is None else table
        create(session.connection, name, incoming, plan)
    bounds = not plan.exact and block.place != "value"
    approximate = () if plan.exact else question.approximate()
    node = question.rewrite(name, bounds=bounds, ranked=top is not None and table is not None)
    models = tuple(one.model.name for one in plan.models)
    shown = frozenset(column for item in node["select_list"] for (column,) in columns_in(item))
    return BlockAnswer(told, models, approximate, PlannedBlock(plan, top, shown), node)


def _cells(session: Session, plan: BlockPlan) -> pa.Table:
    need, limit = plan.working_memory, session.limits.memory
    if need > limit:
        raise QueryError(
            f"the query may need {need / 1e9:.3g} GB for its groups, and the limit is {limit / 1e9:.3g} GB: group by "
            f"fewer or coarser properties, or allow memory_limit='{math.ceil(need / 1e9)}GB'."
        )
    return cells_of(plan, session.known, limit, scheduler=session.scheduler, progress=session.progress)


def _first_rows(session: Session, plan: BlockPlan, top: Top, run: bool) -> tuple[BlockPlan, pa.Table | None]:
    """The rows that ORDER BY and LIMIT ask for, and the plan that found them."""
    options: dict[str, Any] = {"scheduler": session.scheduler, "progress": session.progress}
    exact = from_arcs(plan, top) if session.tier is None else None
    if not run:
        return exact or plan, None
    if exact is not None:
        table = top_of(exact, session.known, top, **options)
        floor = max((one.model.document.arc_floor for one in exact.models), default=0.0)
        if len(table) == top.number and pc.min(table["weight"]).as_py() >= np.float32(floor):
            return exact, table
    return plan, top_of(plan, session.known, top, **options)


def _with_steps(question: Question) -> Question:
    """The same question; left to DuckDB over arcs if they answer it and the engine finds no steps in the weight."""
    if question.fallback is not None:
        return question
    try:
        needs(question)
    except RefusalError as refusal:
        with contextlib.suppress(RefusalError):
            if least_weight(question) > 0:
                return replace(question, fallback=f"of the weight it asks what has no steps: {refusal.args[0]}")
    return question


def _check_fallback(session: Session, question: Question, *, run: bool) -> None:
    """Raise QueryError unless all requested weights are in the arcs."""
    if session.tier not in (None, "arcs"):
        raise QueryError(f"the tier {session.tier} cannot answer this: {question.fallback}.")
    undecided = () if run else undecided_conditions(session.statement, question)
    heads = taking_part(session.store, session.connection, question, undecided)
    documents = [session.store.models[name].document for name in heads]
    otherwise = "use count, sum, avg, min, max or weighted_avg"
    for document in documents:
        if "arcs" not in document.keep:
            why = f"DuckDB answers over arcs, but {lacking(document.name, document.keep, 'arcs')}"
            cure = f"{ingest_with(document.keep, 'arcs')}, or {otherwise}"
            raise QueryError(f"the query cannot be answered: {question.fallback}, and {why}: {cure}.")
    floor = max((document.arc_floor for document in documents), default=0.0)
    try:
        least = least_weight(question)
    except RefusalError:
        least = np.float32(0)
    if least < floor:
        raise QueryError(
            f"the query cannot be answered: {question.fallback}, and DuckDB answers over arcs, which begin at "
            f"{floor:g}: add weight >= {floor:g} or more to WHERE, or {otherwise}."
        )


def _relation(session: Session, sql: str) -> duckdb.DuckDBPyRelation:
    connection = session.connection
    return time_limit.run(connection, lambda: connection.sql(sql))


@contextlib.contextmanager
def _told_errors(session: Session) -> Iterator[None]:
    """Translate DuckDB's errors into one sentence; attnstore's errors that passed through DuckDB stay as they are."""
    try:
        with duckdb_errors(option=True):
            yield
    except QueryError as error:
        if session.failures:
            raise session.failures[0] from None
        raise QueryError(_in_their_words(session, str(error))) from error


@contextlib.contextmanager
def _through_arrow() -> Iterator[None]:
    """Restore DuckDB's errors that come through an Arrow stream, which passes on only their text."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        kind = duckdb.OutOfMemoryException if "Out of Memory Error" in str(error) else duckdb.Error
        raise kind(str(error)) from error


def _in_their_words(session: Session, message: str) -> str:
    """DuckDB's message, with attnstore's own columns replaced by the parts of the statement."""
    for question in session.questions:
        named = {key.column: key.expression.text for key in question.cells.keys.values()}
        named |= {column: session.statement.source(tree) for column, tree in question.cells.steps.values()}
        for column, text in named.items():
            message = re.sub(rf'"{column}"|\b{column}\b', text.replace("\\", r"\\"), message)
    return message


def _attributes(session: Session, answered: "list[BlockAnswer]") -> dict[str, object]:
    plan = "\n".join(one.plan for one in answered)
    models = list(dict.fromkeys(name for one in answered for name in one.models))
    approximate = [name for one in answered for name in one.approximate]
    asked = {"sql": session.statement.sql, "plan": plan, "approximate": approximate}
    return {**asked, **provenance(session.store, models)}
