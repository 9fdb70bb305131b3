"""Keys of cells as whole numbers, and back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..engine.cells import KeyCode
from ..engine.groups import FREE_SIZE, key_values
from ..engine.vectors import Vectors
from ..sql.rewrite import CellKey
from ..sql.tree import NULL, TRUE, Leaf, Term

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Encoded:
    """A key, and what its codes stand for.

    Attributes
    ----------
    key : Key
    code : how tasks compute its codes
    values : of the codes from 1; None of a truth value and of a number computed from both ends
    """

    key: CellKey
    code: KeyCode
    values: pa.Array | None

    def decode(self, codes: Array) -> pa.Array:
        """Values of codes: truth values, float64 or strings, NULL where they are unknown."""
        if self.code.kind == "boolean":
            return pa.array(codes == TRUE, mask=codes == NULL)
        if self.values is None:
            numbers = key_values(codes)
            return pa.array(numbers, mask=np.isnan(numbers))
        return self.values.take(pa.array(codes - 1, mask=codes == 0))


def encode(keys: Mapping[str, CellKey], vectors: Vectors) -> tuple[list[Encoded], Vectors]:
    """Number the values of every key.

    Parameters
    ----------
    keys : of a question
    vectors : evaluated for them

    Returns
    -------
    encoded, vectors
        The vectors hold the codes, too: a key of one end is looked up by them.
    """
    found, values = [], dict(vectors.values)
    for key in keys.values():
        root = key.expression.root
        if root.kind == "boolean":
            found.append(Encoded(key, KeyCode(root, 3), None))
        elif isinstance(root, Leaf):
            codes, distinct = _numbered(vectors.values[root.term], vectors.dictionary)
            # As codes of strings, of which −1 is NULL, whatever they stand for.
            term = Term(root.term.table, f"code of {root.kind} {root.term.sql}", "string")
            values[term] = codes
            found.append(Encoded(key, KeyCode(Leaf(root.end, term), len(distinct) + 1), distinct))
        elif root.kind == "string":
            found.append(Encoded(key, KeyCode(root, len(vectors.dictionary) + 1), vectors.dictionary))
        else:
            found.append(Encoded(key, KeyCode(root, FREE_SIZE), None))
    return found, replace(vectors, values=values)


def _numbered(values: Array, dictionary: pa.Array) -> tuple[Array, pa.Array]:
    """Codes from 0, −1 for NULL, and the values that they stand for."""
    missing = values < 0 if values.dtype.kind == "i" else np.isnan(values)
    codes = np.full(len(values), -1, np.int32)
    distinct, codes[~missing] = np.unique(values[~missing], return_inverse=True)
    return codes, dictionary.take(pa.array(distinct)) if values.dtype.kind == "i" else pa.array(distinct)


def is_of_protein(code: KeyCode) -> bool:
    """Whether a key is the same for all pairs of a protein."""
    return isinstance(code.node, Leaf) and code.node.end in ("protein", "constant")


def group_proteins(encoded: list[Encoded], vectors: Vectors, taking_part: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """Groups of proteins that agree in all keys of the protein.

    Parameters
    ----------
    encoded : those keys
    vectors : from `encode`
    taking_part : bool [proteins of the catalog]

    Returns
    -------
    group, codes
        int64 [proteins], −1 for those that take no part; and int64 [groups, keys].
    """
    columns = []
    for one in encoded:
        assert isinstance(one.code.node, Leaf)
        values = vectors.values[one.code.node.term].astype(np.int64)
        columns.append(np.broadcast_to(values + (one.code.kind == "string"), len(taking_part)))
    group = np.full(len(taking_part), -1, np.int64)
    if not columns:
        group[taking_part] = 0
        return group, np.zeros((1, 0), np.int64)
    rows = np.stack(columns, axis=1)[taking_part]
    codes, inverse = np.unique(rows, axis=0, return_inverse=True)
    group[taking_part] = inverse.ravel()
    return group, codes
