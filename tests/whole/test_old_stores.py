"""Stores that releases wrote stay readable: each is kept as it was, with the answers it gave.

`python -m tests.whole.test_old_stores` adds the store of the version at hand, before it is released.
"""

import io
import json
import os
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest

import attnstore

STORES = Path(__file__).parents[1] / "data" / "stores"
QUESTIONS = {
    "arcs": "SELECT layer, head, count(*) AS n, avg(contact) AS share FROM attention WHERE weight >= 0.3 "
            "GROUP BY ALL ORDER BY ALL",
    "codes": "SELECT layer, sum(weight) AS total FROM attention WHERE separation >= 6 GROUP BY ALL ORDER BY ALL",
    "marginals": "SELECT layer, head, weighted_avg(target.aa = 'L') AS share FROM attention GROUP BY ALL ORDER BY ALL",
    "proteins": "SELECT protein.id, count(*) AS n FROM attention WHERE weight >= 0.05 GROUP BY ALL ORDER BY ALL",
}  # fmt: skip


def answers(path: Path) -> dict[str, object]:
    """What a store says, as JSON."""
    store = attnstore.open(path)
    asked = {name: json.loads(store.query(sql).to_json(orient="split")) for name, sql in QUESTIONS.items()}
    matrix = store.attention("1BBB_B", layer=1, head=2).values
    hidden = store.hidden("1CCC_A").values.astype(np.float64)
    return asked | {
        "info": {key: value for key, value in store.model().summary().items() if key != "bytes"},
        "proteins, residues": [store.document.proteins, store.document.residues],
        "coordinates": store.sql("SELECT round(sum(ca_x), 3), count(cb_z) FROM residues").fetchall(),
        "matrix": [[round(float(value), 6) for value in row] for row in matrix[:4]],
        "hidden": [list(hidden.shape), round(float(hidden.sum()), 3)],
    }


def unpacked(archive: Path, into: Path) -> Path:
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")
    return into / "store"


@pytest.mark.parametrize("archive", sorted(STORES.glob("*.tar.xz")), ids=lambda path: path.name)
def test_a_store_that_a_release_wrote_is_sound_and_gives_the_answers_it_gave(archive, tmp_path):
    store = unpacked(archive, tmp_path)
    assert attnstore.open(store).verify() == []
    expected = json.loads(archive.with_name(archive.name.replace(".tar.xz", ".json")).read_text())
    said = json.loads(json.dumps(answers(store)))
    assert said.keys() == expected.keys()
    for name, value in expected.items():
        if name in QUESTIONS:
            assert said[name]["columns"] == value["columns"]
            for row, wanted in zip(said[name]["data"], value["data"], strict=True):
                assert [pytest.approx(cell, rel=1e-6) if isinstance(cell, float) else cell for cell in wanted] == row
        elif name == "info":  # later versions say more
            assert said[name].items() >= value.items()
        else:
            assert said[name] == value, name


def test_the_version_at_hand_is_among_them():
    assert (STORES / f"{attnstore.__version__}.tar.xz").exists()


def add() -> None:
    """Write the store of this version, from relative paths: nobody needs to know where it was made."""
    from attnstore.ingest import ingest
    from tests.models import save_esm, write_chains

    STORES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        save_esm(Path("tiny_esm"))
        write_chains(Path("chains"), {"1AAA_A": 31, "1BBB_B": 24, "1CCC_A": 40})
        ingest("store", ["chains"], model="tiny_esm", device="cpu", segment_entries=20_000,
               keep=("codes", "arcs", "marginals", "hidden"))  # fmt: skip
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:xz") as tar:
            tar.add("store", filter=_anonymous)
        (STORES / f"{attnstore.__version__}.tar.xz").write_bytes(packed.getvalue())
        said = json.dumps(answers(Path("store")), indent=1)
        (STORES / f"{attnstore.__version__}.json").write_text(said + "\n")


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry


if __name__ == "__main__":
    add()
