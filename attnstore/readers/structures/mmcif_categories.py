"""What the categories of an mmCIF file around its atoms say (wwPDB dictionary mmcif_pdbx.dic)."""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from ...errors import SourceError
from .chemistry import is_amino_acid
from .entry import (
    UNREADABLE,
    Assembly,
    Bond,
    End,
    Features,
    Key,
    Modification,
    Modified,
    Operator,
    Site,
    Span,
    modification_listed,
    operator,
    unreadable,
)

#: The categories of the file: column name to values.
Cif = Mapping[str, list[str]]
#: The author's names of each residue that has atoms, by label_asym_id and label_seq_id.
Labelled = Mapping[tuple[str, str], Key]

ABSENT = frozenset({".", "?", ""})

# What PDB files list as LINK.
_LINKS = frozenset({"covale", "covale_base", "covale_phosphate", "covale_sugar", "metalc"})
# Polyproline II, which is no helix by hydrogen bonds, and which DSSP does not count as one either.
_POLYPROLINE = "HELX_LH_PP_P"
_POLYPROLINE_CLASS = "10"
# These say how a residue is modified. Of all other categories it is modified by itself, or something is attached to it.
_KINDS: Mapping[str, Modification] = {
    "disulfide": "disulfide",
    "disulfide bridge": "disulfide",
    "metal coordination": "metal",
    "crosslinker": "cross-link",
    "isopeptide bond": "cross-link",
    "non-standard linkage": "cross-link",
    "carbohydrate": "glycan",
    "lipid/lipid-like": "lipid",
}
_NUMBER = re.compile(r"([+-]?\d{1,18})([A-Za-z]?)")
# More copies than any capsid or fibre has.
_COPIES = 10_000

_Row = Mapping[str, str]
_T = TypeVar("_T")


def read_categories(path: Path, cif: Cif, labelled: Labelled) -> Features:
    """Read the features of an entry.

    A residue goes by the author's names where the row has them, else by label_asym_id and label_seq_id.

    Raises
    ------
    SourceError
        A category is cut short, or a row of it cannot be read.
    """

    def each(category: str, of: Callable[[_Row, Labelled], _T | None]) -> list[_T]:
        found = []
        for number, row in enumerate(_rows(path, cif, category), start=1):
            try:
                one = of(row, labelled)
            except ValueError as error:
                raise SourceError(
                    f"{path}: row {number} of {category} is not valid ({error}); correct or fetch it again."
                ) from error
            if one is not None:
                found.append(one)
        return found

    curated = each("pdbx_modification_feature", _curated)
    return Features(
        spans=each("struct_conf", _helix_or_turn) + each("struct_sheet_range", _strand),
        sites=_sites(dict(each("struct_site", _evidence)), each("struct_site_gen", _site_residue)),
        bonds=each("struct_conn", _bond),
        modified=each("pdbx_struct_mod_residue", _modified),
        curated=list(itertools.chain.from_iterable(curated)) if curated else None,
        assemblies=_assemblies(path, cif, dict(each("pdbx_struct_oper_list", _operator))),
    )


def _rows(path: Path, cif: Cif, category: str) -> Iterator[_Row]:
    """Yield a category's rows, "?" where it has no such column."""
    prefix = f"_{category}."
    columns = {name.removeprefix(prefix): values for name, values in cif.items() if name.startswith(prefix)}
    if len({len(values) for values in columns.values()}) > 1:
        raise SourceError(f"{path} is cut short in its {category} rows; fetch it again.")
    for values in zip(*columns.values(), strict=True):
        yield defaultdict(lambda: "?", zip(columns, values, strict=True))


def _key(row: _Row, labelled: Labelled, prefix: str, code: str) -> Key | None:
    """Return a row's residue, None where it names none or one without atoms.

    `prefix` is what stands before "auth_asym_id" and its like, `code` the column of the insertion code. A number that
    cannot be read is an error of an amino acid alone.
    """
    chain, number = row[f"{prefix}auth_asym_id"], row[f"{prefix}auth_seq_id"]
    if chain in ABSENT or number in ABSENT:
        return labelled.get((row[f"{prefix}label_asym_id"], row[f"{prefix}label_seq_id"]))
    digits, letter = number_and_code(number)
    name = _name(row, prefix)
    if digits >= UNREADABLE and (name in ABSENT or is_amino_acid(name, {})):
        raise ValueError(f"{number[:20]!r} is not a residue number")
    return chain, digits, letter if row[code] in ABSENT else row[code]


def number_and_code(value: str) -> tuple[int, str | None]:
    """Return the number and the insertion code in an auth_seq_id, "82A" among them.

    It is from `UNREADABLE` on where the text holds no number, as a ligand's may.
    """
    match = _NUMBER.fullmatch(value)
    return (int(match[1]), match[2] or None) if match else (unreadable(value), None)


def _name(row: _Row, prefix: str) -> str:
    name = row[f"{prefix}label_comp_id"]
    return row[f"{prefix}auth_comp_id"] if name in ABSENT else name


def _helix_or_turn(row: _Row, labelled: Labelled) -> Span | None:
    kind = row["conf_type_id"]
    if kind == _POLYPROLINE or row["pdbx_PDB_helix_class"] == _POLYPROLINE_CLASS:
        return None
    for start, name in (("HELX", "helix"), ("STRN", "strand"), ("TURN", "turn")):
        if kind.startswith(start):
            return _span(name, row, labelled)  # type: ignore[arg-type]
    return None


def _strand(row: _Row, labelled: Labelled) -> Span | None:
    return _span("strand", row, labelled)


def _span(kind: Literal["helix", "strand", "turn"], row: _Row, labelled: Labelled) -> Span | None:
    first = _key(row, labelled, "beg_", "pdbx_beg_PDB_ins_code")
    last = _key(row, labelled, "end_", "pdbx_end_PDB_ins_code")
    return Span(kind, first, last) if first and last else None


def _evidence(row: _Row, _: Labelled) -> tuple[str, str]:
    return row["id"], "" if row["pdbx_evidence_code"] in ABSENT else row["pdbx_evidence_code"].upper()


def _site_residue(row: _Row, labelled: Labelled) -> tuple[str, Key] | None:
    key = _key(row, labelled, "", "pdbx_auth_ins_code")
    return None if key is None else (row["site_id"], key)


def _sites(evidence: Mapping[str, str], residues: list[tuple[str, Key]]) -> list[Site]:
    found: dict[str, list[Key]] = defaultdict(list)
    for name, key in residues:
        found[name].append(key)
    return [Site(evidence.get(name) or None, tuple(keys)) for name, keys in found.items()]


def _bond(row: _Row, labelled: Labelled) -> Bond | None:
    kind = row["conn_type_id"].lower()
    ends = [_end(row, labelled, partner) for partner in ("ptnr1", "ptnr2")]
    one, other = ends
    if one is None or other is None or kind not in _LINKS | {"disulf"}:
        return None
    symmetry = {row["ptnr1_symmetry"], row["ptnr2_symmetry"]} - ABSENT
    return Bond((one, other), kind == "disulf", len(symmetry) > 1)


def _end(row: _Row, labelled: Labelled, partner: str) -> End | None:
    key = _key(row, labelled, f"{partner}_", f"pdbx_{partner}_PDB_ins_code")
    return None if key is None else End(key, _name(row, f"{partner}_"), row[f"{partner}_label_atom_id"])


def _modified(row: _Row, labelled: Labelled) -> Modified | None:
    key = _key(row, labelled, "", "PDB_ins_code")
    return None if key is None else modification_listed(
        key, _name(row, ""), row["parent_comp_id"], row["details"]
    )  # fmt: skip


def _curated(row: _Row, labelled: Labelled) -> list[Modified]:
    itself = _key(row, labelled, "", "PDB_ins_code")
    partner = _key(row, labelled, "modified_residue_", "modified_residue_PDB_ins_code")
    kind = _KINDS.get(row["category"].lower())
    if partner is None:
        return [] if itself is None else [Modified(itself, _name(row, ""), kind or "modified")]
    kind = kind or "attachment"
    found = [Modified(partner, _name(row, "modified_residue_"), kind)]
    if itself is not None and kind in {"disulfide", "cross-link"}:
        found.append(Modified(itself, _name(row, ""), kind))
    return found


def _operator(row: _Row, _: Labelled) -> tuple[str, Operator]:
    matrix = np.eye(4)
    for axis in range(3):
        names = [f"matrix[{axis + 1}][{column}]" for column in (1, 2, 3)] + [f"vector[{axis + 1}]"]
        matrix[axis] = [float(row[name]) for name in names]
    operator(matrix)
    return row["id"], matrix


def _assemblies(path: Path, cif: Cif, operators: Mapping[str, Operator]) -> list[Assembly]:
    found: dict[str, dict[str, list[Operator]]] = {}
    for row in _rows(path, cif, "pdbx_struct_assembly_gen"):
        expression = row["oper_expression"]
        try:
            copies = _copies(expression, operators)
        except ValueError as error:
            raise SourceError(
                f"{path}: the operators {expression[:40]!r} of pdbx_struct_assembly_gen cannot be applied ({error}); "
                f"fetch the file again."
            ) from error
        assembly = found.setdefault(row["assembly_id"], {})
        for name in row["asym_id_list"].split(","):
            assembly.setdefault(name.strip(), []).extend(copies)
    return list(found.values())


def _copies(expression: str, operators: Mapping[str, Operator]) -> list[Operator]:
    """Return the operators of an expression such as "1,2", "(1-60)" or "(X0)(1-60)", which is a product."""
    factors = [_names(part) for part in re.findall(r"[^()]+", expression.replace(" ", ""))]
    if not factors or not all(factors) or math.prod(map(len, factors)) > _COPIES:
        raise ValueError("no copies, or too many")
    for name in itertools.chain.from_iterable(factors):
        if name not in operators:
            raise ValueError(f"{name[:20]!r} is not in pdbx_struct_oper_list")
    choices = [[operators[name] for name in names] for names in factors]
    # The rightmost factor is applied first.
    return [operator(reduce(np.matmul, chosen)[:3]) for chosen in itertools.product(*choices)]


def _names(part: str) -> list[str]:
    names: list[str] = []
    for term in part.split(","):
        limits = re.fullmatch(r"(\d{1,6})-(\d{1,6})", term)
        names += map(str, range(int(limits[1]), int(limits[2]) + 1)) if limits else [term]
    return names
