"""SQL over attention: a statement to plans, plans to cells or rows, those to the answer."""

import contextlib
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from ..catalog import catalog_errors
from ..errors import AttnstoreError, QueryError
from ..forked import outlives_fork
from ..layout import ingest_with, lacking
from ..sql import duckdb_errors, open_tables
from .execution.answer import cells_of, create, rows_of
from .execution.cells import Tier
from .execution.vectors import Directory, directory
from .language.block import Question, take_apart
from .language.dialect import RefusalError
from .language.expression import quoted
from .language.fallback import over_arcs
from .language.statement import ATTENTION, Statement, read_statement
from .language.syntax import render_statement
from .planning.blocks import BlockPlan, plan_block, taking_part, undecided_conditions
from .planning.explain import explained
from .planning.tiers import least_weight, needs
from .provenance import provenance
from .query_result import METADATA, Result, whole_numbers

if TYPE_CHECKING:
    from distributed import Client

    from ..store import Store


_LEAST_MEMORY = 64 << 20


@dataclass(frozen=True, eq=False)
class Session:
    """A statement on its way: where it is asked, and how.

    Attributes
    ----------
    store, statement, connection : the connection is locked in, and holds what blocks were answered with
    known : of the catalog
    questions : one a block
    tier, memory_limit, scheduler, progress : as asked for
    failures : what went wrong while DuckDB was reading rows
    """

    store: "Store"
    statement: Statement
    connection: duckdb.DuckDBPyConnection
    known: Directory
    questions: tuple[Question, ...]
    tier: Tier | None
    memory_limit: int
    scheduler: "str | Client | None"
    progress: bool
    failures: list[AttnstoreError] = field(default_factory=list)


def query(
    store: "Store",
    sql: str,
    *,
    tier: Tier | None = None,
    memory_limit: int | str | None = None,
    scheduler: "str | Client | None" = None,
    progress: bool = False,
) -> Result:
    """Answer one SELECT of DuckDB's SQL over the virtual table `attention` and the store's other tables.

    `attention` has a row for every model, protein, layer, head, source and target, with the columns `weight`,
    `reverse_weight`, `separation`, `distance`, `distance_ca`, `contact`, `contact_ca`, `source.…`, `target.…`,
    `protein.…` and `pair.…`; ``docs/queries.md`` is the reference.

    Parameters
    ----------
    store : Store
    sql : exactly one SELECT
    tier : 'pairs', 'marginals', 'arcs' or 'codes', to force one on every block
    memory_limit : bytes, or e.g. '4GB', that cells, rows and DuckDB may take; None for half of the machine's memory
    scheduler : None for threads, or the address or `distributed.Client` of a Dask cluster
    progress : draw a progress bar on standard error

    Returns
    -------
    Result
        A pandas frame. Where weights come from codes, columns that follow from sums or extremes of weights have
        bounds beside them at the end, `<name>_min` and `<name>_max`, within which the exact value lies.

    Raises
    ------
    QueryError
        It cannot be answered; the message quotes the part and names the cure.
    StoreError
        What is read is damaged.
    """
    with _session(store, sql, tier, memory_limit, scheduler, progress) as session:
        answered = _answer_blocks(session, stream=False)
        with _told_errors(session):
            table = whole_numbers(_run(session).to_arrow_table())
        return Result.of(table, _attributes(session, answered))


def stream(
    store: "Store",
    sql: str,
    *,
    tier: Tier | None = None,
    memory_limit: int | str | None = None,
    scheduler: "str | Client | None" = None,
    progress: bool = False,
) -> pa.RecordBatchReader:
    """The same answer in batches: of rows of `attention`, however many, no more are found than are read.

    Parameters as those of `query`; what was asked is in the metadata of the schema, as JSON under `attnstore`.
    """
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(_session(store, sql, tier, memory_limit, scheduler, progress))
        answered = _answer_blocks(session, stream=True)
        with _told_errors(session):
            reader = _run(session).to_arrow_reader()
        attributes = json.dumps(_attributes(session, answered))
        schema = reader.schema.with_metadata({METADATA: attributes})
        # From here on the reader closes what it reads from.
        return pa.RecordBatchReader.from_batches(schema, _until_closed(session, reader, schema, stack.pop_all()))


def _until_closed(
    session: Session, reader: pa.RecordBatchReader, schema: pa.Schema, stack: contextlib.ExitStack
) -> Iterator[pa.RecordBatch]:
    with stack, _told_errors(session):
        for batch in reader:
            yield batch.replace_schema_metadata(schema.metadata)


def explain(store: "Store", sql: str, *, tier: Tier | None = None, memory_limit: int | str | None = None) -> str:
    """How a statement would be answered, in words, without answering it; parameters as those of `query`."""
    with _session(store, sql, tier, memory_limit, None, False) as session:
        told = [
            _told(session, number, _plan(session, question, run=False))
            for number, question in enumerate(session.questions)
        ]
        outer = "the rest, by DuckDB: everything outside of the blocks, HAVING, ORDER BY, LIMIT"
        return "\n".join([*told, outer] if told else ["no block asks of attention: all of it by DuckDB"])


@contextlib.contextmanager
def _session(
    store: "Store",
    sql: str,
    tier: Tier | None,
    memory_limit: int | str | None,
    scheduler: "str | Client | None",
    progress: bool,
) -> Iterator[Session]:
    limit = parse_memory(memory_limit)
    try:
        statement = read_statement(sql)
    except RecursionError as error:
        raise QueryError("the query is nested too deeply: use IN (…) for long lists, and fewer subqueries.") from error
    # Below that DuckDB does not even open a catalog.
    memory = f"{max(limit, _LEAST_MEMORY)}B"
    connection = outlives_fork(duckdb.connect(":memory:", config={"memory_limit": memory}))
    try:
        with catalog_errors(store.path / str(store.document.catalog)):
            wanted = statement.tables
            known = directory(store.catalog_path)
            questions = tuple(_with_steps(take_apart(statement, block, known.columns)) for block in statement.blocks)
            kept = any("arcs" in model.document.keep for model in store.models.values())
            if kept and any(question.fallback for question in questions):
                wanted.add("arcs")
            open_tables(connection, store, wanted)
        yield Session(store, statement, connection, known, questions, tier, limit, scheduler, progress)
    finally:
        connection.close()


def parse_memory(limit: int | str | None) -> int:
    """Bytes from a number or from text such as '4GB'; None is half of the machine's memory.

    Raises
    ------
    QueryError
        It is neither.
    """
    if limit is None:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    text = str(limit).strip().upper().removesuffix("B").removesuffix("I")
    factor = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}.get(text[-1:], 1)
    try:
        size = int(float(text.rstrip("KMGT")) * factor)
    except ValueError:
        size = 0
    if size <= 0:
        raise QueryError(f"memory limit {limit!r} is not a size: write e.g. 4GB.")
    return size


def _plan(session: Session, question: Question, *, run: bool) -> BlockPlan | None:
    """How a block is answered; None where DuckDB does, over arcs."""
    if question.fallback is not None:
        _check_fallback(session, question, run=run)
        return None
    return plan_block(session.store, session.connection, session.statement, question, tier=session.tier, run=run)


def _told(session: Session, number: int, plan: BlockPlan | None) -> str:
    memory = plan.working_memory if plan else 0
    return explained(
        session.statement, number, plan, session.questions[number].fallback or "", (memory, session.memory_limit)
    )


def _answer_blocks(session: Session, *, stream: bool) -> "list[Answered]":
    """Answer every block, and put what it was answered with into its place in the statement."""
    return [_answer(session, number, question, stream) for number, question in enumerate(session.questions)]


@dataclass(frozen=True, eq=False)
class Answered:
    """What is told of an answered block: its plan in words, models, and approximate columns."""

    plan: str
    models: tuple[str, ...]
    approximate: tuple[str, ...]


def _answer(session: Session, number: int, question: Question, stream: bool) -> Answered:
    block, name = question.block, f"__block{number}"
    plan = _plan(session, question, run=True)
    told = _told(session, number, plan)
    if plan is None:
        try:
            node = over_arcs(question, session.known.columns)
        except RefusalError as refusal:
            problem, cure = refusal.args
            raise QueryError(f"the query cannot be answered: {question.fallback}, and {problem}; {cure}.") from refusal
        block.node.update(node)
        return Answered(told, tuple(session.store.models), ())
    if question.rows:
        streamed = stream and block.place == "select"
        with _told_errors(session):
            reader = rows_of(plan, session.known, session.failures)
            create(session.connection, name, reader, plan, stream=streamed)
    else:
        need = plan.working_memory
        if need > session.memory_limit:
            raise QueryError(
                f"the query may need {need / 1e9:.3g} GB for its groups, and the limit is "
                f"{session.memory_limit / 1e9:.3g} GB: group by fewer or coarser properties, or allow "
                f"memory_limit='{math.ceil(need / 1e9)}GB'."
            )
        options = {"scheduler": session.scheduler, "progress": session.progress}
        cells = cells_of(plan, session.known, session.memory_limit, **options)
        create(session.connection, name, cells, plan, stream=False)
    bounds = not plan.exact and block.place != "value"
    approximate = () if plan.exact else question.approximate()
    block.node.update(question.rewritten(name, bounds))
    models = tuple(one.model.name for one in plan.models)
    return Answered(told, models, approximate)


def _with_steps(question: Question) -> Question:
    """The same question; left to DuckDB over arcs if they answer, and the engine finds no steps in the weight."""
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
    """Raise QueryError unless all weights asked for are in the arcs."""
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


def _run(session: Session) -> duckdb.DuckDBPyRelation:
    sql = render_statement(session.statement.tree)
    if ATTENTION in session.statement.tables:
        raise QueryError(
            f"{quoted(session.statement.sql)} cannot be answered: attention stands where it is not understood; "
            "put it into a subquery or CTE of its own."
        )
    return session.connection.sql(sql)


@contextlib.contextmanager
def _told_errors(session: Session) -> Iterator[None]:
    """DuckDB's errors as one sentence; ours, where they passed through DuckDB, as they were."""
    try:
        with duckdb_errors():
            yield
    except QueryError as error:
        if session.failures:
            raise session.failures[0] from None
        raise QueryError(_in_their_words(session, str(error))) from error


def _in_their_words(session: Session, message: str) -> str:
    """DuckDB's message with the parts of the statement that columns of our own stand for."""
    for question in session.questions:
        named = {key.column: key.expression.text for key in question.cells.keys.values()}
        named |= {column: session.statement.source(tree) for column, tree in question.cells.steps.values()}
        for column, text in named.items():
            message = re.sub(rf'"{column}"|\b{column}\b', text.replace("\\", r"\\"), message)
    return message


def _attributes(session: Session, answered: "list[Answered]") -> dict[str, object]:
    plan = "\n".join(one.plan for one in answered)
    models = list(dict.fromkeys(name for one in answered for name in one.models))
    approximate = [name for one in answered for name in one.approximate]
    asked = {"sql": session.statement.sql, "plan": plan, "approximate": approximate}
    return {**asked, **provenance(session.store, models)}
