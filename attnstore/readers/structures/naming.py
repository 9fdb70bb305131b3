"""What an entry and its chains are called."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from .. import text
from ..record import Excluded, Options, Record
from .entry import Chain

# Ids that programs write into every file: python-modelcif's "model" (Boltz, Chai, OpenFold), the PDB's "XXXX", others'.
_CONSTANT = re.compile(
    r"|model([_.-]?\d+)?|x+|\d|unk|unknown|none|null|na|n/a|unnamed|untitled|structure|pred(iction|icted)?|protein|complex"
    r"|query|sample|output|result|entry|data|mmcif|cif|pdb",
    re.IGNORECASE,
)

_PDB_CODE = re.compile(r"[1-9][A-Za-z0-9]{3}")
# Folders at most that a name begins with.
_FOLDERS = 8


def entry_id(declared: str, path: Path) -> str:
    """Return the id that a file declares for its entry, as it stands there, else its name.

    An id that programs write into every file is none. A code of the PDB, which has no case, is in upper case.
    """
    if is_constant(declared):
        return text.stem(path)
    return declared.upper() if _PDB_CODE.fullmatch(declared) else declared


def distinct_names(declared: Mapping[Path, str]) -> dict[Path, str]:
    """Return what the entry of each of several files is called, where that is not what `entry_id` says.

    An id that several files declare gives way to their names: samples of one prediction, decoys of one entry. So does
    a file's name that several have to that of the folder before it. Files of one name that declare one id are one entry
    in two formats, or twice.

    Parameters
    ----------
    declared
        The id in each file, "" where it has none.
    """
    groups: dict[str, list[Path]] = defaultdict(list)
    for path, said in declared.items():
        groups[entry_id(said, path)].append(path)
    depth: dict[Path, int] = {}
    for paths in groups.values():
        stems = {text.stem(path) for path in paths}
        again = len(stems) == 1 and not any(map(is_constant, (*stems, *(declared[path] for path in paths))))
        if len(set(map(_place, paths))) > 1 and not again:
            depth.update({path: 2 if is_constant(text.stem(path)) else 1 for path in paths})
    names = {path: _called(path, parts) for path, parts in depth.items()}
    for _ in range(_FOLDERS):
        counts = Counter(names[path] for path in {_place(path): path for path in names}.values())
        alike = [path for path, name in names.items() if counts[name] > 1]
        names.update({path: _called(path, depth[path] + 1) for path in alike})
        depth.update({path: depth[path] + 1 for path in alike})
    return names


def rename_entry(
    path: Path, read: Callable[[Path, Options], Iterator[Record]], options: Options, entry: str | None
) -> Iterator[Record]:
    """Yield the records of a file under another entry id, if one is given, and with the ids of its name as aliases."""

    def renamed(name: str, own: str) -> str:
        return name if entry is None or not own else entry + name.removeprefix(own)

    def excluding(one: Excluded) -> None:
        options.excluding(replace(one, id=renamed(one.id, one.entry), entry=entry or one.entry))

    for record in read(path, replace(options, excluding=excluding)):
        if record.entry:
            tail = record.id.removeprefix(record.entry)
            aliases = tuple(_called(path, parts) + tail for parts in (2, 1))
            record = replace(record, id=renamed(record.id, record.entry), aliases=aliases)
        yield record


def _place(path: Path) -> tuple[Path, str]:
    """Return a file's folder and name: what one entry in two formats has in common."""
    return path.absolute().parent, text.stem(path)


def _called(path: Path, parts: int) -> str:
    """Return a file's name after those of the folders before it, so many parts in all."""
    return "_".join((*path.absolute().parts[1:-1], text.stem(path))[-parts:])


def is_constant(declared: str) -> bool:
    """Say whether an id is one that programs write into every file."""
    return _CONSTANT.fullmatch(declared.strip()) is not None or set(declared) <= set(" .?")


def chain_id(entry: str, chain: str) -> str:
    """Return "<entry>_<chain>", or the entry alone where the file names no chain."""
    return f"{entry}_{chain}" if chain.strip() else entry


def distinct_ids(entry: str, chains: Sequence[Chain]) -> list[Chain]:
    """Return the chains with ids that differ: of those with the same author's name, by their names in the entry."""
    counts = Counter(chain.id for chain in chains)
    return [
        replace(chain, id=chain_id(entry, chain.asym)) if counts[chain.id] > 1 and chain.asym.strip() else chain
        for chain in chains
    ]
