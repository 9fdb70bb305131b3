"""Labels of a probe: a condition on residues or on pairs, and its known values in each protein."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...arguments import CONTACT_SEPARATION
from ..engine.pairs import AllPairs, evaluate, truth
from ..engine.vectors import ProteinVectors
from ..sql.columns import BARE, QUANTITY_NAMES
from ..sql.condition import parse
from ..sql.dialect import RefusalError, read
from ..sql.syntax import Tree, render, replace_children
from ..sql.tree import NULL, TRUE, Columns, Expression, one_end

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Condition:
    """A parsed condition.

    Attributes
    ----------
    text : as it was written
    expression : Expression
    of_pairs : whether it depends on both residues of a pair rather than on one
    """

    text: str
    expression: Expression
    of_pairs: bool


@dataclass(frozen=True, eq=False)
class Examples:
    """The residues, or unordered pairs six or more apart, of one protein for which the condition is known.

    Attributes
    ----------
    first : int32 [examples], the residue, or the first residue of the pair
    second : int32 [examples], the second residue of the pair; None for residues
    label : bool [examples]
    """

    first: Array
    second: Array | None
    label: Array

    def take(self, rows: Array) -> "Examples":
        """Some of them."""
        return Examples(self.first[rows], None if self.second is None else self.second[rows], self.label[rows])


def read_condition(text: str, columns: Columns) -> Condition:
    """Read a condition in the language of `align`, in which a column of residues may have no `source.` or `target.`.

    Parameters
    ----------
    text : such as ``ss4 = 'helix'``, ``binding_site`` or ``contact``
    columns : of the catalog

    Raises
    ------
    QueryError
        If it cannot be read, or names a column that does not exist.
    """
    expression = parse(_with_ends(text, columns), clause="condition", columns=columns)
    return Condition(text, expression, one_end([expression]) is None)


def _with_ends(text: str, columns: Columns) -> str:
    """The text with `target.` before each bare column of residues; unchanged if it cannot be parsed or has none."""
    residues = {name.lower() for name in columns.of("target")}
    named = False

    def qualified(node: Tree) -> Tree:
        nonlocal named
        if node["class"] != "COLUMN_REF":
            return replace_children(node, qualified)
        names = node["column_names"]
        if len(names) > 1 or names[0].lower() not in residues - {*QUANTITY_NAMES, *BARE}:
            return node
        named = True
        return {**node, "column_names": ["target", *names]}

    try:
        tree = qualified(read(text))
    except (RefusalError, RecursionError):
        return text  # it is refused later, with the usual message
    return render(tree) if named else text


def label_examples(condition: Condition, vectors: ProteinVectors) -> Examples:
    """The examples of one protein: residues in their order, pairs by the first residue and then the second.

    A pair's label is the condition's value with the first residue as source and the second as target.
    """
    root = condition.expression.root
    if not condition.of_pairs:
        codes = np.broadcast_to(evaluate(root, AllPairs(vectors)).ravel(), vectors.length)
        known = np.flatnonzero(codes != NULL).astype(np.int32)
        return Examples(known, None, codes[known] == TRUE)
    first, second = np.triu_indices(vectors.length, CONTACT_SEPARATION)
    codes = truth(condition.expression, vectors)[second, first]
    known = codes != NULL
    return Examples(first[known].astype(np.int32), second[known].astype(np.int32), codes[known] == TRUE)
