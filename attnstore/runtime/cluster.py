"""A client of a Dask cluster, or an error that says why there is none."""

import contextlib
import logging
import socket
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import AttnstoreError, first_line

if TYPE_CHECKING:
    from distributed import Client

#: Seconds to wait for a scheduler to start.
PATIENCE = 10.0


@contextlib.contextmanager
def open_client(scheduler: str, error: type[AttnstoreError]) -> "Iterator[Client]":
    """A client of the scheduler at an address, closed at the end.

    Parameters
    ----------
    scheduler : as 'tcp://host:8786'
    error : class of the error if it cannot be reached, or Dask's distributed is not installed
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as missing:
        raise error(f"a Dask cluster needs {missing.name}: pip install 'attnstore[cluster]'.") from missing
    # cluster_errors raises an error if the scheduler is gone, so it need not be logged as well.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        _knock(scheduler)
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as reason:
        raise error(f"the scheduler {scheduler} cannot be reached: {first_line(reason)}.") from reason
    with client:
        yield client


@contextlib.contextmanager
def cluster_errors(scheduler: str, error: type[AttnstoreError], then: str) -> Iterator[None]:
    """Translate Dask's errors about a lost scheduler or lost workers into one sentence.

    Parameters
    ----------
    scheduler : its address
    error : class of the error raised
    then : what to do, at the end of the sentence
    """
    import asyncio
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.comm import CommClosedError

    try:
        yield
    except KilledWorker as lost:
        raise error(
            f"the workers of the Dask scheduler at {scheduler} died repeatedly in the same task, perhaps for lack "
            f"of memory: {then}."
        ) from lost
    # CommClosedError is an OSError, but not an error of the disk.
    except (CancelledError, asyncio.CancelledError, CommClosedError, TimeoutError) as lost:
        raise error(f"the connection to the Dask scheduler at {scheduler} was lost: {then}.") from lost


def _knock(scheduler: str) -> None:
    """Check that a process listens there: a client that fails to connect stays alive, and can make the next hang."""
    from distributed.comm.addressing import parse_address, parse_host_port
    from distributed.comm.registry import get_backend

    scheme, location = parse_address(scheduler)
    get_backend(scheme)
    if scheme not in ("tcp", "tls", "ws", "wss"):
        return
    place, deadline = parse_host_port(location), time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(place, timeout=PATIENCE).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
