"""Where segments are computed: in this process, in several processes of this machine, or on a Dask cluster."""

import atexit
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, InvalidStateError, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import ModelError, StoreError
from ..runtime.cluster import cluster_errors, open_client
from ..runtime.machine import cores
from .model.language_model import choose_device
from .task import SEGMENTS_AT_ONCE


@dataclass(frozen=True, eq=False)
class Workers:
    """Where tasks run.

    Attributes
    ----------
    submit : function from a function and its arguments to a future
    processes : number of forward passes at the same time
    slots : number of tasks to have in progress
    device : 'cpu', 'cuda', 'cuda:1', … of the workers, also if the user gave 'auto'
    threads : of each; None for all
    remote : whether tasks run in other processes
    """

    submit: Callable[..., Future[Any]]
    processes: int
    slots: int
    device: str
    threads: int | None
    remote: bool


@contextlib.contextmanager
def start_workers(count: int | None, scheduler: str | None, device: str) -> Iterator[Workers]:
    """Find workers for the tasks of an ingest.

    Parameters
    ----------
    count : number of processes on this machine, each with its share of the cores or its own GPU; None for this process
        only
    scheduler : address of a Dask scheduler, whose workers share the store's file system
    device : 'auto' is the GPU if every worker has one

    Raises
    ------
    StoreError
        If Dask is not installed, or the scheduler cannot be reached or has no workers.
    ModelError
        If `device` does not exist.
    """
    if count is not None and scheduler is not None:
        raise StoreError(f"workers={count} and scheduler=… exclude each other: a scheduler has its own workers.")
    if device != "auto":
        try:
            torch.device(device)
        except RuntimeError:
            raise ModelError(f"device {device!r} is not known: give auto, cpu, cuda or cuda:1, cuda:2, …") from None
    if scheduler is None and (count is None or count == 1):
        with _threads(device) as workers:
            yield workers
        return
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise StoreError(f"several workers need {error.name}: pip install 'attnstore[cluster]'.") from error
    # Dask logs every connection at lower levels; problems are warnings.
    logging.getLogger("distributed").setLevel(logging.WARNING)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_cancelled_quietly())
        if scheduler is None:
            assert count is not None
            cluster = stack.enter_context(_local_cluster(count, device))
            client = stack.enter_context(Client(cluster))
            client.wait_for_workers(count)
            client.run(_settle)
            threads = max(1, cores() // count)
        else:
            client = stack.enter_context(open_client(scheduler, StoreError))
            threads = None
        nthreads = client.nthreads()
        if not nthreads:
            raise StoreError(f"the Dask scheduler at {scheduler} has no workers: start some.")
        address = scheduler or client.scheduler.address
        then = "what is committed is kept; start it again if it is gone, and run the same command to resume"
        stack.enter_context(cluster_errors(address, StoreError, then))
        if device == "auto":
            device = "cuda" if all(client.run(torch.cuda.is_available).values()) else "cpu"
        executor = stack.enter_context(client.get_executor(pure=False))
        yield Workers(
            submit=executor.submit,
            processes=len(nthreads),
            slots=2 * SEGMENTS_AT_ONCE * len(nthreads),
            device=device,
            threads=threads,
            remote=True,
        )


@contextlib.contextmanager
def _threads(device: str) -> Iterator[Workers]:
    with ThreadPoolExecutor(SEGMENTS_AT_ONCE, "segment") as pool:
        if device == "auto":
            device = str(choose_device(device))
        # At most as many tasks as threads: a task that has not begun need not be cancelled.
        yield Workers(pool.submit, processes=1, slots=SEGMENTS_AT_ONCE, device=device, threads=None, remote=False)


@contextlib.contextmanager
def _cancelled_quietly() -> Iterator[None]:
    """Suppress the traceback of a task that was cancelled, while the block runs.

    Dask's executor waits for each task in a callback of its event loop, which raises if its task is cancelled or its
    future already has a result; Tornado logs what a callback raises.
    """

    def is_wanted(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, (CancelledError, InvalidStateError))

    log = logging.getLogger("tornado.application")
    log.addFilter(is_wanted)
    try:
        yield
    finally:
        log.removeFilter(is_wanted)


def _settle() -> None:
    """In a worker's process: leave Ctrl-C and its messages to the committing process, and end at once.

    A worker logs the tasks that it drops, and the loss of its scheduler; errors of a task come back with the task. An
    interpreter with torch takes seconds to shut down, longer than Dask waits before it kills the process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    atexit.register(os._exit, 0)


def _local_cluster(count: int, device: str) -> Any:
    from distributed import LocalCluster

    # A worker's memory is bounded by its segments; Dask's own limit would kill a worker that the system allows.
    options: dict[str, Any] = {
        "n_workers": count, "threads_per_worker": SEGMENTS_AT_ONCE, "memory_limit": 0,
        # Any free port: the default is 8787, which another ingest may use.
        "dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False},
    }  # fmt: skip
    if device.startswith("cpu") or not torch.cuda.is_available():
        return LocalCluster(**options)
    try:
        from dask_cuda import LocalCUDACluster
    except ModuleNotFoundError:
        return LocalCluster(**options)
    return LocalCUDACluster(**options)
