"""A small data folder in the layout of TAPE and of the paper's code, with made-up proteins."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import lmdb
import numpy as np

LENGTHS = (58, 43, 61, 37, 50, 46, 55)
FILES = {
    "proteinnet": "proteinnet/proteinnet_train.lmdb",
    "binding_site": "binding_sites/binding_site_train.lmdb",
    "protein_modification": "protein_modifications/protein_modification_train.lmdb",
    "secondary_structure": "secondary_structure/secondary_structure_train.lmdb",
}


def records(name: str, lengths: tuple[int, ...] = LENGTHS) -> list[dict[str, Any]]:
    """Records of a data set as TAPE's and the paper's files hold them; the last sequence is that of the first."""
    rng = np.random.default_rng([11, *name.encode()])
    made = [_record(name, index, length, rng) for index, length in enumerate(lengths)]
    made.append({**_record(name, len(lengths), lengths[0], rng), "primary": made[0]["primary"]})
    return made


def _record(name: str, index: int, length: int, rng: np.random.Generator) -> dict[str, Any]:
    sequence = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), length))
    record: dict[str, Any] = {"id": f"{index}abc.A", "primary": sequence, "protein_length": length}
    if name == "proteinnet":
        steps = rng.normal(size=(length, 3))
        walk = np.cumsum(3.8 * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)
        tertiary = (walk - 0.4 * walk.mean(axis=0)) * 0.8
        return {**record, "id": f"{index}ABC_1_A".encode(), "tertiary": tertiary.astype(np.float32),
                "valid_mask": rng.random(length) < 0.9}  # fmt: skip
    if name == "secondary_structure":
        ss8 = rng.integers(0, 8, length)
        ss3 = np.array([0, 0, 0, 1, 1, 2, 2, 2])[ss8]
        ones = np.ones(length, np.int64)
        return {**record, "ss3": ss3, "ss8": ss8, "disorder": ones, "valid_mask": ones.astype(np.float32)}
    field = "sites" if name == "binding_site" else "modifications"
    positions = np.arange(5, 5 + length)
    some = np.sort(rng.choice(positions, length // 6, replace=False))
    return {**record, "positions": positions, field: some.tolist()}


def write(folder: Path, names: tuple[str, ...] = tuple(FILES)) -> Path:
    """Write some of the data sets below a folder."""
    for name in names:
        path = folder / FILES[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_records(path, records(name))
    return folder


def write_records(path: Path, made: list[dict[str, Any]]) -> None:
    """Write a data set's file."""
    content = {"num_examples": len(made), **{str(index): record for index, record in enumerate(made)}}
    with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, value in content.items():
            transaction.put(key.encode(), pickle.dumps(value, 4))


def labels(record: dict[str, Any], name: str) -> np.ndarray[Any, Any]:
    """Bool [i, j], whether a pair has the property that the paper measures on the data set, by its definitions."""
    length = len(record["primary"])
    if name == "proteinnet":
        ca = record["tertiary"].astype(np.float64)
        near = np.linalg.norm(ca[:, None] - ca[None], axis=-1) < 8
        return near & eligible(record, name)
    sites = record["sites" if name == "binding_site" else "modifications"]
    return np.broadcast_to(np.isin(record["positions"], sites), (length, length))


def eligible(record: dict[str, Any], name: str) -> np.ndarray[Any, Any]:
    """Bool [i, j], the pairs over which the paper's background is: of residues each stands in as many."""
    length = len(record["primary"])
    if name != "proteinnet":
        return np.ones((length, length), bool)
    places, known = np.arange(length), record["valid_mask"]
    return (np.abs(places[:, None] - places[None]) >= 6) & known[:, None] & known[None]
