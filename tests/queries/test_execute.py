"""The same numbers on threads and on a cluster of processes, and errors that arrive as they were raised."""

import functools
import operator
import socket
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import attnstore
from attnstore.errors import QueryError, StoreError
from attnstore.format.codebook import parse_threshold
from attnstore.queries.engine.schedule import execute
from tests.queries.families import write_families
from tests.queries.test_clusters import FAMILIES, LENGTHS
from tests.synthetic import random_proteins

distributed = pytest.importorskip("distributed")

QUESTIONS = [
    {"threshold": 0.05},
    {"threshold": 0.05, "background": "protein", "cluster_by": "family", "average": "macro"},
    {"threshold": 0.05, "split": True, "seed": 3, "background": "separation"},
    {"weighted": True, "tier": "codes"},
    {"threshold": None, "background": "protein", "replicates": 20},
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("cluster") / "store"
    write_families(path, random_proteins(15, LENGTHS), FAMILIES)
    return attnstore.open(path)


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as started:
        yield started


@pytest.fixture(scope="module")
def client(cluster):
    with distributed.Client(cluster, set_as_default=False) as connected:
        yield connected


@pytest.mark.parametrize("options", QUESTIONS, ids=str)
def test_two_processes_give_the_very_same_numbers(store, client, options):
    here = store.align("contact", **options)
    xr.testing.assert_identical(store.align("contact", **options, scheduler=client), here)


def test_a_scheduler_may_be_named_by_its_address(store, cluster, client):
    here = store.align("contact", threshold=0.05)
    xr.testing.assert_identical(store.align("contact", threshold=0.05, scheduler=cluster.scheduler_address), here)
    # A client of the caller's stays open.
    assert client.submit(operator.add, 1, 1).result() == 2


@given(values=st.lists(st.text("abc", max_size=3), min_size=1, max_size=80))
@settings(deadline=None, max_examples=20)
def test_results_are_combined_in_their_order(values):
    tasks = [functools.partial(str, value) for value in values]
    assert execute(tasks, operator.add) == "".join(values)


def test_results_are_combined_in_their_order_on_a_cluster(client):
    tasks = [functools.partial(str, number) for number in range(70)]
    assert execute(tasks, operator.add, scheduler=client) == "".join(map(str, range(70)))


@pytest.mark.parametrize("where", ["threads", "cluster"])
@pytest.mark.parametrize(
    ("task", "kind", "message"),
    [
        (functools.partial(attnstore.open, "/nowhere"), StoreError, "/nowhere does not exist"),
        (functools.partial(parse_threshold, 7), QueryError, "threshold 7 is not a number from 0 to 1"),
    ],
)
def test_an_error_of_a_task_arrives_as_it_was_raised(client, where, task, kind, message):
    tasks = [functools.partial(str, 1), task, functools.partial(str, 2)]
    with pytest.raises(kind, match=f"^{message}") as caught:
        execute(tasks, operator.add, scheduler=client if where == "cluster" else None)
    assert type(caught.value) is kind


@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_damage_is_refused_wherever_it_is_met(client, tmp_path, where):
    path = tmp_path / "store"
    write_families(path, random_proteins(15, LENGTHS), FAMILIES)
    arcs = sorted(path.glob("attention/*/segments/*/arcs.parquet"))[-1]
    content = bytearray(arcs.read_bytes())
    content[40] ^= 1
    arcs.write_bytes(content)
    with pytest.raises(StoreError, match=r"is damaged: .*arcs\.parquet"):
        attnstore.open(path).align("contact", threshold=0.05, scheduler=client if where == "cluster" else None)


def test_a_scheduler_that_is_not_there_is_one_sentence(store, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr("attnstore.runtime.cluster.PATIENCE", 0.5)
    for wrong in (address, "nowhere", "http://example.invalid"):
        with pytest.raises(QueryError, match=f"^the scheduler {wrong} cannot be reached: .*$") as caught:
            store.align("contact", scheduler=wrong)
        assert "\n" not in str(caught.value)


def test_the_progress_bar_counts_segments_wherever_they_are_read(store, client, monkeypatch):
    from attnstore.runtime import libraries

    bars = []

    def recorded(*args, **options):
        bars.append(bar(*args, **options))
        return bars[-1]

    bar = libraries.bar
    monkeypatch.setattr(libraries, "bar", recorded)
    for scheduler in (None, client):
        store.align("contact", threshold=0.05, replicates=2, progress=True, scheduler=scheduler)
    assert [(each.n, each.total) for each in bars] == [(5, 5)] * 2


def test_asking_without_a_cluster_loads_nothing_of_it(store):
    code = (
        f"import attnstore, sys; attnstore.open({str(store.path)!r}).align('contact', replicates=2); "
        "sys.exit('distributed' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_task_is_small(store, client):
    """What travels is vectors of a segment's own residues, not the catalog's."""
    import pickle

    sizes = []
    real = type(client).submit
    assert len(store.model().document.edges.table[0])  # kept by this process from here on

    def submit(self, task, *args, **options):
        if isinstance(task, functools.partial):
            sizes.append(len(pickle.dumps(task)))
        return real(self, task, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(client), "submit", submit)
        result = store.align("contact", threshold=0.05, replicates=2, scheduler=client)
    residues = sum(LENGTHS)
    assert len(sizes) == 5
    assert np.isfinite(result["share"]).all()
    # A coordinate is 12 bytes a residue; a codebook's table, were it sent, 326 kB.
    assert max(sizes) < 20_000 + 12 * residues
