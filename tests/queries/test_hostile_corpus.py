"""Drawn hostile questions are answered or refused in one sentence, and read nothing but the store.

`ATTNSTORE_EXAMPLES=3000 pytest tests/queries/test_hostile_corpus.py` draws that many.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import attnstore
from attnstore.errors import AttnstoreError, QueryError
from tests.synthetic import Protein, random_proteins, write_store

from .brute_force import FROM, expand
from .hostile_corpus import Draw, condition, corpus

EXAMPLES = int(os.environ.get("ATTNSTORE_EXAMPLES", 72))
SECRET = "the-content-of-a-file-beside-the-store"


@pytest.fixture(scope="module")
def proteins() -> list[Protein]:
    return random_proteins(11, [12, 20, 7, 15])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, proteins: list[Protein]) -> attnstore.Store:
    """A store with properties of every kind and level, and a file beside it that no question may read."""
    folder = tmp_path_factory.mktemp("hostile")
    write_store(folder / "store", proteins, name="first")
    (folder / "secret.csv").write_text(f"a,b\n1,{SECRET}\n")
    rng = np.random.default_rng(0)
    residues = pd.DataFrame(
        [(protein.id, pos) for protein in proteins for pos in range(len(protein.sequence))], columns=["id", "pos"]
    )
    number = len(residues)
    residues["score"] = rng.integers(-5, 5, number)
    residues["hydropathy"] = rng.normal(size=number)
    residues["ss8"] = rng.choice(list("HEGC"), number)
    families = pd.DataFrame(
        {"id": [protein.id for protein in proteins], "family": ["globin", "kinase", None, "globin"]}
    )
    pairs = pd.DataFrame({"id": [proteins[0].id] * 2, "source": [1, 2], "target": [9, 8], "coupling": [0.5, 0.1]})
    opened = attnstore.open(folder / "store")
    for frame in (residues, families, pairs):
        opened = opened.annotate(frame)
    return opened


@pytest.mark.filterwarnings("ignore")
def test_every_question_is_answered_or_refused_in_one_sentence(
    store: attnstore.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = store.path.parent
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    wrong, answered = [], 0
    for question in corpus(seed=3, number=EXAMPLES):
        try:
            shown = str(question.ask(store, str(folder)))
            answered += 1
        except AttnstoreError as error:
            shown = str(error)
            if "\n" in shown or len(shown) > 2000:
                wrong.append((question, shown))
        except BaseException as error:
            wrong.append((question, repr(error)))
            if isinstance(error, KeyboardInterrupt):
                raise
        if SECRET in shown:
            wrong.append((question, "it read a file"))
    assert wrong == []
    assert answered > EXAMPLES / 8
    assert list(tmp_path.iterdir()) == []
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_what_is_answered_is_what_every_entry_says(store: attnstore.Store, proteins: list[Protein]) -> None:
    brute = expand(store.catalog_path, {"first": proteins})
    draw = Draw(5)
    draw.plain = True
    compared = 0
    for _ in range(24):
        clause = condition(draw)
        try:
            frame = store.query(f"SELECT layer, head, count(*) AS n FROM attention WHERE {clause} GROUP BY ALL")
        except QueryError:
            continue
        found = {(layer, head): n for layer, head, n in frame.itertuples(index=False)}
        rows = brute.execute(f"SELECT layer, head, count(*) FROM {FROM} WHERE {clause} GROUP BY ALL").fetchall()
        assert found == {(layer, head): n for layer, head, n in rows}, clause
        compared += 1
    assert compared > 8
