"""A block's question put to a store: which heads and proteins take part, and what is read of which model."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ...catalog_sql import duckdb_errors
from ...errors import QueryError
from ...runtime import time_limit
from ..engine.cells import MeasureCode, Scan, Tier, columns_of
from ..engine.vectors import Directory, SegmentVectors, Vectors, evaluate_terms
from ..sql.block import Question
from ..sql.columns import has_subquery
from ..sql.condition import quoted
from ..sql.dialect import RefusalError
from ..sql.literals import warn_of_case
from ..sql.statement import Statement, expressions_of
from ..sql.syntax import Tree, render, replace_children, select
from .cell_keys import Encoded, encode, group_proteins, is_of_protein
from .tiers import Choice, Needs, choose, expressions, most_cells, needs, wording

if TYPE_CHECKING:
    from ...format.segment import Segment
    from ...opened import Model, Store

#: While parts are put together a cell or row is held so many times.
_COPIES = 3


@dataclass(frozen=True, eq=False)
class ModelPlan:
    """How one model's part of a block is answered.

    Attributes
    ----------
    model : Model
    choice : the tier
    scan : what tasks are given
    """

    model: "Model"
    choice: Choice
    scan: Scan


@dataclass(frozen=True, eq=False)
class BlockPlan:
    """How a block is answered.

    Attributes
    ----------
    question : Question
    need : of weights
    vectors : evaluated terms of the whole catalog
    keys : of the pairs, in the order of the scan's
    protein_keys : of the protein
    protein_group : int64 [proteins of the catalog], −1 for those that take no part
    group_codes : int64 [groups, protein keys]
    models : one for each model that takes part
    undecided : conditions that only running the statement decides
    """

    question: Question
    need: Needs
    vectors: Vectors
    keys: tuple[Encoded, ...]
    protein_keys: tuple[Encoded, ...]
    protein_group: npt.NDArray[np.int64]
    group_codes: npt.NDArray[np.int64]
    models: tuple[ModelPlan, ...]
    undecided: tuple[Tree, ...]

    @property
    def exact(self) -> bool:
        """Whether every model's part is exact."""
        return all(plan.choice.exact for plan in self.models)

    @cached_property
    def working_memory(self) -> int:
        """Bytes that the cells of the block take at most; of rows, which are streamed, none."""
        if self.question.rows:
            return 0
        total = 0
        for one in self.models:
            lengths = np.concatenate([segment.proteins.stored for segment in one.model.segments])
            cells = most_cells(one.scan, lengths, by_protein=len(self.group_codes) > 1)
            total += cells * 8 * (len(one.scan.shape) + len(columns_of(one.scan))) * _COPIES
        return total


def plan_block(
    store: "Store",
    connection: duckdb.DuckDBPyConnection,
    statement: Statement,
    question: Question,
    *,
    tier: Tier | None,
    run: bool,
) -> BlockPlan:
    """Plan a block.

    Parameters
    ----------
    store : Store
    connection : over the store's tables, locked in, with the blocks before this one answered
    statement : that the block is of
    question : the block
    tier : the one to use, None to choose
    run : whether the statement is being run: then subqueries that name other blocks can be evaluated

    Raises
    ------
    QueryError
        It cannot be answered, or is ambiguous.
    """
    need = _needs(statement, question)
    undecided = () if run else undecided_conditions(statement, question)
    heads = taking_part(store, connection, question, undecided)
    warn_of_case(connection, expressions_of(question.block.node), question.cells.columns)
    vectors = evaluate_terms(connection, expressions(question))
    encoded, vectors = encode(question.cells.keys, vectors)
    # A row knows its protein anyway; a cell has its protein only if that is asked.
    of_protein = () if question.rows else tuple(one for one in encoded if is_of_protein(one.code))
    of_pairs = tuple(one for one in encoded if one not in of_protein)
    proteins = _proteins(connection, question, undecided, len(vectors.offsets) - 1)
    group, codes = group_proteins(list(of_protein), vectors, proteins)
    plans = []
    for name, mask in heads.items():
        model = store.models[name]
        choice = choose(need, model, tier, wording(_said(statement, question), model, need))
        plans.append(ModelPlan(model, choice, _scan(question, need, model, choice, mask, of_pairs, len(codes))))
    if len(plans) > 1 and not question.names_model:
        raise QueryError(
            f"the query is about {len(plans)} models ({', '.join(heads)}) and does not distinguish them: "
            "add model = '…' to WHERE, or group by model."
        )
    return BlockPlan(
        question, need, vectors, of_pairs, of_protein, group, codes, tuple(plans), undecided
    )  # fmt: skip


def _needs(statement: Statement, question: Question) -> Needs:
    try:
        return needs(question)
    except RefusalError as refusal:
        problem, cure = refusal.args
        raise QueryError(f"{_said(statement, question)} cannot be answered: {problem}; {cure}.") from refusal


def _said(statement: Statement, question: Question) -> str:
    """The conditions on weights, and the bins of them, in the user's words."""
    parts = [*question.weights, *(tree for _, tree in question.cells.steps.values())]
    return " and ".join(dict.fromkeys(quoted(statement.source(part)) for part in parts)) or "the query"


def undecided_conditions(statement: Statement, question: Question) -> tuple[Tree, ...]:
    """Conditions on heads and proteins that name other blocks: only running the statement decides them."""
    conditions = (part for part in (*question.heads, *question.proteins) if has_subquery(part))
    return tuple(part for part in conditions if statement.asks_attention(part, question.block))


def taking_part(
    store: "Store", connection: duckdb.DuckDBPyConnection, question: Question, undecided: tuple[Tree, ...]
) -> dict[str, npt.NDArray[np.bool_]]:
    """Heads that take part, bool [layers, heads], of every model that has any.

    Parameters
    ----------
    store, connection, question : as in :func:`plan_block`
    undecided : conditions to pass over
    """
    committed = {name: model for name, model in store.models.items() if model.manifest.segments}
    if not committed:
        raise QueryError(
            f"{store.path} holds no attention yet: "
            "`attnstore.ingest.ingest(store.path, [INPUT], model=MODEL)` adds some."
        )
    shapes = {name: (model.document.layers, model.document.heads) for name, model in committed.items()}
    rows = [(name, *place) for name, shape in shapes.items() for place in np.ndindex(shape)]
    model, layer, head = zip(*rows, strict=True)
    columns = {
        "number": pa.array(range(len(rows))), "model": pa.array(model), "layer": pa.array(layer, pa.int32()),
        "head": pa.array(head, pa.int32()),
    }  # fmt: skip
    connection.register("__heads", pa.table(columns))
    passing = np.ones(len(rows), bool)
    for condition in question.heads:
        if condition not in undecided:
            passing &= _passing(connection, "number", "__heads AS attention", condition, question, len(passing))
    if not passing.any():
        shown = " AND ".join(render(condition) for condition in question.heads)
        held = "; ".join(f"{name}: layers 0–{a - 1}, heads 0–{b - 1}" for name, (a, b) in shapes.items())
        warnings.warn(f"no head satisfies {quoted(shown)}: the store holds {held}.", stacklevel=4)
    found = {}
    begin = 0
    for name, shape in shapes.items():
        mask = passing[begin : begin + shape[0] * shape[1]].reshape(shape)
        begin += mask.size
        if mask.any():
            found[name] = mask
    return found


def _proteins(
    connection: duckdb.DuckDBPyConnection, question: Question, undecided: tuple[Tree, ...], count: int
) -> npt.NDArray[np.bool_]:
    """Proteins that take part, bool [proteins of the catalog]."""
    passing = np.ones(count, bool)
    for condition in question.proteins:
        if condition not in undecided:
            number = "protein.protein_index"
            passing &= _passing(connection, number, "proteins AS protein", _of_id(condition), question, count)
    return passing


def _of_id(node: Tree) -> Tree:
    """The same condition with the bare protein as its id."""
    if node["class"] == "COLUMN_REF" and [name.lower() for name in node["column_names"]] == ["protein"]:
        return {**node, "column_names": ["protein", "id"]}
    return replace_children(node, _of_id)


def _passing(
    connection: duckdb.DuckDBPyConnection, number: str, source: str, condition: Tree, question: Question, count: int
) -> npt.NDArray[np.bool_]:
    """Which of the rows of a table, by number, satisfy a condition."""
    passing = np.zeros(count, bool)
    with duckdb_errors():
        sql = select(number, source, condition, question.block.scope)
        rows = time_limit.run(connection, lambda: connection.execute(sql).fetchall())
    passing[[number for (number,) in rows]] = True
    return passing


def _scan(
    question: Question,
    need: Needs,
    model: "Model",
    choice: Choice,
    heads: npt.NDArray[np.bool_],
    keys: tuple[Encoded, ...],
    protein_groups: int,
) -> Scan:
    cells = question.cells
    scan = Scan(
        tier=choice.tier,
        codebook=model.codebook,
        heads=heads,
        where=tuple(condition.root for condition in question.pairs),
        keys=tuple(one.code for one in keys),
        measures=tuple(MeasureCode(one.column, one.expression.root, one.weighted) for one in cells.measures.values()),
        bands=need.bands,
        taken=need.taken,
        reverse=need.reverse,
        sums=frozenset(cells.sums),
        extremes=frozenset(cells.extremes),
        protein_groups=max(protein_groups, 1),
        end=need.end,
    )
    if not question.rows and int(np.prod(scan.shape, dtype=object)) >= 1 << 62:
        raise QueryError("the query groups by more combinations of values than can be counted: group by fewer at once.")
    return scan


def of_segment(plan: BlockPlan, segment: "Segment", catalog: Directory) -> tuple[SegmentVectors, npt.NDArray[np.int64]]:
    """Vectors and groups of a segment's proteins; StoreError where the catalog does not hold them."""
    places = catalog.places(segment)
    return plan.vectors.select(places, segment.proteins.stored), plan.protein_group[places]
