"""Whether the B-factors of a model are its confidence, pLDDT: by declarations of the file, never by the values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .. import text
from .mmcif_categories import ABSENT, Cif

# Programs that write pLDDT as the B-factor, by their names in files.
_PROGRAMS = re.compile(
    r"alphafold|colabfold|esmfold|openfold|omegafold|rosettafold|boltz|chai-?[12]\b|protenix|helixfold|plddt",
    re.IGNORECASE,
)
# File names that AlphaFold, its database, ColabFold and OpenFold write.
_FILES = re.compile(
    r"af-[a-z0-9-]+-f\d+-model_v\d+.*|ranked_\d+|(un)?relaxed_model_\d.*|.*_(un)?relaxed_(rank|model)_\d.*"
    r"|.*_model_\d\w*_(un)?relaxed", re.IGNORECASE
)  # fmt: skip
# Records in which a PDB file names its program.
_NAMING = ("HEADER", "TITLE", "COMPND", "AUTHOR", "REMARK")
# CIF items in which an mmCIF file names it.
_ITEMS = ("_struct.title", "_software.name", "_struct.pdbx_descriptor", "_ma_model_list.model_name")
_PREDICTED = re.compile(r"theoretical model|predicted|computational|in silico", re.IGNORECASE)


def pdb_declares(path: Path, content: Sequence[str], *, predicted: bool = False) -> bool:
    """Say whether the B-factors of a PDB file are pLDDT, according to the file or, with `predicted`, to its user.

    They are if no experiment is declared (EXPDTA other than a theoretical model, a unit cell, REMARK 3), and if a
    record or the file's name names a program that writes pLDDT there, or the file has a PARENT record, as ESMFold and
    OpenFold write. They are not in a file that Rosetta has scored, or of CASP (PFRMAT), where they are errors in Å.
    """
    declared = predicted or _FILES.fullmatch(text.stem(path)) is not None
    for line in content:
        record = line[:6].rstrip()
        if record == "EXPDTA" and not _PREDICTED.search(line):
            return False
        if record == "PFRMAT" or (record == "REMARK" and line[7:10] == "  3") or "POSE_ENERGIES_TABLE" in line:
            return False
        if record == "CRYST1" and _has_cell(line[6:33]):
            return False
        declared = declared or record == "PARENT" or (record in _NAMING and _PROGRAMS.search(line) is not None)
    return declared


def _has_cell(lengths: str) -> bool:
    """Say whether the three lengths are those of a crystal's cell, and not of a placeholder."""
    try:
        return min(map(float, lengths.split()), default=0.0) > 2.0
    except ValueError:
        return False


def cif_declares(path: Path, cif: Cif, *, predicted: bool = False) -> bool:
    """Say whether the B-factors of an mmCIF file are pLDDT, according to the file or, with `predicted`, to its user.

    They are if a local pLDDT is declared (``ma_qa_metric``); or if ``exptl`` has no method but a theoretical one, and
    the title, the software or the file's name names a program that writes pLDDT there.
    """
    if any(value not in ABSENT and not _PREDICTED.search(value) for value in cif.get("_exptl.method", [])):
        return False
    if predicted or _metrics(cif):
        return True
    named = any(_PROGRAMS.search(value) for item in _ITEMS for value in cif.get(item, []))
    return named or _FILES.fullmatch(text.stem(path)) is not None


def _metrics(cif: Cif) -> set[str]:
    """Return the ids of the metrics that are a pLDDT per residue."""
    columns = [cif.get(f"_ma_qa_metric.{name}", []) for name in ("id", "mode", "name", "type")]
    ids, modes, names, types = (column or ["?"] * len(columns[0]) for column in columns)
    return {
        one
        for one, mode, name, kind in zip(ids, modes, names, types, strict=False)
        if mode.lower() == "local" and "plddt" in f"{name} {kind}".lower()
    }


def local_confidence(cif: Cif) -> Mapping[tuple[str, int], float]:
    """Return the listed pLDDT of residues of the first model by label_asym_id and label_seq_id."""
    wanted = _metrics(cif)
    columns = ("metric_id", "label_asym_id", "label_seq_id", "metric_value", "model_id")
    rows: Iterable[tuple[str, ...]] = zip(
        *(cif.get(f"_ma_qa_metric_local.{name}", []) for name in columns[:4]), strict=False
    )
    models = cif.get("_ma_qa_metric_local.model_id", [])
    found: dict[tuple[str, int], float] = {}
    for index, (metric, chain, place, value) in enumerate(rows):
        if metric not in wanted or (index < len(models) and models[index] != models[0]):
            continue
        try:
            found[chain, int(place)] = float(value)
        except ValueError:
            continue
    return found
