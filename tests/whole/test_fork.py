"""A forked child (multiprocessing's `fork`, a DataLoader's worker, `os.fork`) answers as its parent does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")

# The parent asks first, which leaves threads, parsers and connections behind it; then its children ask.
SCRIPT = """
import hashlib, multiprocessing, os, pickle, sys
import pandas as pd
import attnstore

path, model = sys.argv[1:]
store = attnstore.open(path)

def asked(number=0):
    import numpy as np
    shares = store.align("target.aa = 'L'", replicates=8).share.values
    curve = store.align("separation >= 6", threshold=None, replicates=0).share.values
    answers = [
        store.query("SELECT layer, count(*) n FROM attention WHERE weight >= 0.3 GROUP BY 1 ORDER BY 1").to_csv(),
        store.stream("SELECT * FROM attention WHERE weight >= 0.3 ORDER BY ALL").read_all().to_pandas().to_csv(),
        shares.tobytes(), curve.tobytes(),
        store.attention("1AAA_A", layer=1, head=2).values.tobytes(),
        store.contacts("1AAA_A", method="head", layer=1, head=2).values.tobytes(),
        store.sql("SELECT count(*) n, max(weight) FROM arcs").df().to_csv(),
        store.residues().df().to_csv(),
        "".join(store.verify()),
    ]
    return [hashlib.sha256(a if isinstance(a, bytes) else a.encode()).hexdigest() for a in answers]

expected = asked()
held = store.residues()  # a relation that the children inherit
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(asked, range(2)) == [expected] * 2
print("pool", flush=True)
child = os.fork()
if child == 0:
    assert asked() == expected
    del held
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert asked() == expected
print("fork", flush=True)

from attnstore.ingest.model.language_model import load
digest = load(model, device="cpu").weights_sha256
child = os.fork()
if child == 0:
    assert load(model, device="cpu").weights_sha256 == digest
    os._exit(8)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 8
print("model", flush=True)
"""


def test_children_forked_after_questions_and_models_answer_as_their_parent(small_store: Path, tiny_esm: Path):
    # torch with several threads, whatever this test's own process has: OpenMP's do not survive a fork.
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, small_store, tiny_esm],
        capture_output=True, text=True, timeout=180, env=environment, check=False,
    )  # fmt: skip
    assert (done.stdout.split(), done.returncode) == (["pool", "fork", "model"], 0), done.stderr
    assert done.stderr == ""


def test_a_child_forked_while_another_thread_asks_is_not_locked_out(small_store: Path):
    script = """
import os, sys, threading, attnstore
from attnstore.queries.sql import dialect
store = attnstore.open(sys.argv[1])
inside, done = threading.Event(), threading.Event()
def parse():
    with dialect.locked_parser() as parser:
        inside.set()
        done.wait(0.5)
        parser.execute("SELECT 1").fetchall()
thread = threading.Thread(target=parse)
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    os._exit(int(store.query("SELECT count(*) n FROM attention WHERE weight >= 0.3").n[0]) < 1)
thread.join()
print(os.waitpid(child, 0)[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, small_store], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)


def test_a_relation_of_the_parent_asks_its_child_to_ask_again(small_store: Path):
    script = """
import os, pickle, sys, attnstore
from attnstore.errors import QueryError
store = attnstore.open(sys.argv[1])
rows = store.sql("SELECT count(*) AS n FROM arcs a, arcs b WHERE a.weight + b.weight > 2")
begun = iter(store.sql("SELECT * FROM range(50000)"))
next(begun)
child = os.fork()
if child == 0:
    for ask in (rows.fetchall, rows.df, rows.show, lambda: rows.filter("n > 1"), lambda: pickle.dumps(rows),
                lambda: list(begun)):
        try:
            ask()
            os._exit(1)
        except QueryError as error:
            assert "ask again in this process" in str(error)
    os._exit(store.sql("SELECT count(*) AS n FROM arcs a, arcs b WHERE a.weight + b.weight > 2").fetchall()[0][0])
print(os.waitpid(child, 0)[1], rows.fetchall())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, small_store], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == ("0 [(0,)]\n", "", 0)
