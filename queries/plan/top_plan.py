"""Where ORDER BY … LIMIT of a block can be answered while rows are found, and what it is by."""

from dataclasses import replace

from ..engine.top_rows import Order, Top
from ..sql.block import Question
from ..sql.statement import contains_window, names_output
from ..sql.syntax import Tree
from .blocks import BlockPlan, ModelPlan
from .tiers import Choice

#: Beyond so many rows DuckDB sorts, which has a disk to do so.
MOST_ROWS = 1_000_000


def limit_of(question: Question) -> int | None:
    """Rows that LIMIT and OFFSET of a block of rows let pass at most; None where they say nothing of that."""
    for modifier in question.block.node["modifiers"]:
        if modifier["type"] == "LIMIT_MODIFIER" and modifier["limit_type"] == "ROW_COUNT":
            numbers = [_whole(modifier[key]) for key in ("limit", "offset")]
            return None if modifier["limit"] is None or None in numbers else sum(filter(None, numbers))
    return None


def _whole(node: Tree | None) -> int | None:
    """A constant of LIMIT or OFFSET; 0 where there is none."""
    if node is None:
        return 0
    literal = node.get("literal") or {}
    text = str(literal.get("text", ""))
    return int(text) if literal.get("kind") == "INTEGER" and text.isdigit() else None


def find_top(question: Question, plan: BlockPlan) -> Top | None:
    """What of a block's rows is wanted, if it can be found while they are; None where DuckDB has to sort.

    Parameters
    ----------
    question : of the block, as it was written
    plan : of it
    """
    node = question.block.node
    number = limit_of(question)
    kinds = [modifier["type"] for modifier in node["modifiers"]]
    if number is None or number > MOST_ROWS or kinds != ["ORDER_MODIFIER", "LIMIT_MODIFIER"]:
        return None
    # These look at rows that LIMIT leaves out, or leave out rows that are found.
    if node["qualify"] or question.left or any(contains_window(item) for item in node["select_list"]):
        return None
    orders = [_order(question, plan, one) for one in node["modifiers"][0]["orders"]]
    found = [order for order in orders if order is not None]
    return Top(tuple(found), max(number, 1)) if len(found) == len(orders) else None


def _order(question: Question, plan: BlockPlan, one: Tree) -> Order | None:
    names = [name.lower() for name in question.names]
    part = one["expression"]
    if names_output(part, names):
        at = _whole(part) or 0 if part["class"] == "CONSTANT" else None
        if at is None and part["class"] == "COLUMN_REF":
            at = names.index(part["column_names"][0].lower()) + 1
        if at is None or not 0 < at <= len(names):
            return None
        part = question.block.node["select_list"][at - 1]
    part = question.cells.value(part)
    if part["class"] != "COLUMN_REF" or len(part["column_names"]) != 1:
        return None
    column = part["column_names"][0].lower()
    descending = one["type"] == "DESCENDING"
    nulls_first = one["null_order"] == "NULLS FIRST"
    if column in ("weight", "reverse_weight", "layer", "head"):
        return Order(column, "never NULL", descending, nulls_first)
    for number, encoded in enumerate(plan.keys):
        # An ENUM is ordered as it is declared.
        if encoded.key.column == column and not encoded.key.type.startswith("ENUM"):
            return Order(f"__key{number}", encoded.code.kind, descending, nulls_first)
    return None


def from_arcs(plan: BlockPlan, top: Top) -> BlockPlan | None:
    """The same plan over arcs, where the largest weights are wanted of models whose codes would know them in bounds.

    What it finds is the answer, exactly, if that is as many rows as are wanted, all of weights that every model
    keeps as arcs.
    """
    by_weight = top.orders[0].column == "weight" and top.orders[0].descending
    if not by_weight or plan.exact or plan.need.reverse is not None:
        return None
    models = []
    for one in plan.models:
        if "arcs" not in one.model.document.keep:
            return None
        choice = Choice("arcs", True, "the largest weights are wanted, and arcs hold them")
        models.append(ModelPlan(one.model, choice, replace(one.scan, tier="arcs")))
    return replace(plan, models=tuple(models))
