"""One task a segment, combined as a tree: on threads, or on a Dask cluster."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import QueryError
from ...runtime import time_limit
from ...runtime.cluster import cluster_errors, open_client

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")

#: How many results one combining task takes.
_FAN_IN = 8


def execute(
    tasks: Sequence[Callable[[], T]],
    combine: Callable[[T, T], T],
    *,
    scheduler: "str | Client | None" = None,
    progress: bool = False,
) -> T:
    """Run tasks and combine their results, always in the same order: the same numbers wherever they ran.

    Parameters
    ----------
    tasks : at least one; for a cluster they must pickle
    combine : two results to one; associative
    scheduler : None for threads of this process, the address of a Dask scheduler, or a `distributed.Client`
    progress : draw a progress bar on standard error

    Raises
    ------
    QueryError
        If the scheduler cannot be reached.
    """
    if scheduler is None:
        return _on_threads(tasks, combine, progress)
    with open_client(scheduler, QueryError) if isinstance(scheduler, str) else nullcontext(scheduler) as client:
        address = scheduler if isinstance(scheduler, str) else client.scheduler.address
        with cluster_errors(address, QueryError, "start it again if it is gone, and ask again"):
            return _on_cluster(client, tasks, combine, progress)


def _tree(parts: list[Any], join: Callable[..., Any]) -> Any:
    while len(parts) > 1:
        parts = [join(*parts[first : first + _FAN_IN]) for first in range(0, len(parts), _FAN_IN)]
    return parts[0]


def _on_threads(tasks: Sequence[Callable[[], T]], combine: Callable[[T, T], T], progress: bool) -> T:
    from dask.callbacks import Callback
    from dask.system import CPU_COUNT
    from dask.threaded import get
    from threadpoolctl import threadpool_limits

    from ...runtime.libraries import bar

    # A graph of our own: dask.compute would import distributed, where it is installed, for a third of a second.
    graph: dict[Any, Any] = {("task", number): (time_limit.bound(task),) for number, task in enumerate(tasks)}
    fold = _Fold(combine)

    def join(*keys: Any) -> Any:
        key = "combine", len(graph)
        graph[key] = (fold, *keys)
        return key

    root = _tree(list(graph), join)
    with bar(len(tasks), "segment", shown=progress, leave=False) as counted:

        def advance(key: Any, *_: Any) -> None:
            if key[0] == "task":
                counted.update()

        # Threads of this question alone. Dask's default pool outlives a question, and a forked child inherits it
        # without its threads: the child's first question would wait forever.
        pool = ThreadPoolExecutor(CPU_COUNT, "attnstore")
        try:
            # A task has a core: matrix products that each start threads for all cores get in each other's way.
            with Callback(posttask=advance), threadpool_limits(1, user_api="blas"):
                return get(graph, root, pool=pool)  # type: ignore[no-any-return]
        finally:
            # After Ctrl-C, or where a task failed, the others under way end by themselves: nobody waits for them.
            pool.shutdown(wait=False, cancel_futures=True)


class _Fold:
    """A fold by a function of two: picklable, and named for Dask."""

    def __init__(self, combine: Callable[[Any, Any], Any]) -> None:
        self._combine = combine

    def __call__(self, *parts: Any) -> Any:
        return reduce(self._combine, parts)


def _on_cluster(client: "Client", tasks: Sequence[Callable[[], T]], combine: Callable[[T, T], T], progress: bool) -> T:
    from distributed import as_completed

    from ...runtime.libraries import bar

    limit = time_limit.current()
    parts = [client.submit(task, pure=False) for task in tasks]
    fold = _Fold(combine)
    root = _tree(list(parts), lambda *futures: client.submit(fold, *futures, pure=False))
    try:
        with bar(len(tasks), "segment", shown=progress, leave=False) as counted:
            for future in as_completed(parts, loop=client.loop, timeout=limit.left if limit else None):
                counted.update()
                if future.status == "error":
                    break
        return root.result(limit.left if limit else None)  # type: ignore[no-any-return]
    except TimeoutError as late:
        client.cancel([*parts, root])
        raise (limit.error() if limit and limit.left == 0 else late) from late
    except BaseException:
        with suppress(Exception):  # the scheduler may be gone
            client.cancel([*parts, root])
        raise
