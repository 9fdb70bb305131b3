"""Time limits: a question ends at its limit, or at Ctrl-C, within about a second.

DuckDB runs in a separate thread while the calling thread waits. DuckDB checks for an interruption only between batches
of rows, and a function such as `levenshtein` of long strings can take hours within one batch; the wait ends
nevertheless. attnstore's own loops call `check` between blocks.
"""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from ..errors import QueryError

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")
P = ParamSpec("P")

#: Seconds that DuckDB has to stop after an interruption before the wait ends without it.
_PATIENCE = 0.5


@dataclass(eq=False)
class TimeLimit:
    """The time limit of a question.

    Attributes
    ----------
    seconds : time allowed; None for no limit
    begun : start, of `time.monotonic`
    stopped : whether it was interrupted
    """

    seconds: float | None
    begun: float = field(default_factory=time.monotonic)
    stopped: bool = False

    @property
    def left(self) -> float | None:
        """Seconds left, at least 0; None without a limit."""
        return None if self.seconds is None else max(self.begun + self.seconds - time.monotonic(), 0.0)

    def error(self) -> QueryError:
        """Error to raise when the time is over."""
        return QueryError(
            f"the question was not answered within {self.seconds:g} s: ask for less (an aggregate, a WHERE, a LIMIT), "
            f"or raise timeout, as in timeout={10 * (self.seconds or 1):g}."
        )

    def check(self) -> None:
        """Raise QueryError if the time is over or the question was interrupted."""
        if self.left == 0:
            raise self.error()
        if self.stopped:
            raise QueryError("the question was interrupted.")


_current: ContextVar[TimeLimit | None] = ContextVar("time_limit", default=None)
#: Connections on which DuckDB still runs: closing one would wait for it.
_busy: "set[duckdb.DuckDBPyConnection]" = set()


os.register_at_fork(after_in_child=_busy.clear)


@contextlib.contextmanager
def time_limit(seconds: float | None) -> Iterator[TimeLimit]:
    """Limit the block to a number of seconds; within another limit, to the rest of that one if it is shorter.

    Raises
    ------
    QueryError
        From `run` and `check` in the block, when the time is over; or at once if `seconds` is not a positive number.
    """
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0):
        raise QueryError(f"timeout={seconds!r} is not a number of seconds: write e.g. timeout=60.")
    outer = _current.get()
    limit = TimeLimit(seconds)
    if outer is not None and outer.left is not None and (limit.left is None or outer.left < limit.left):
        limit = outer
    token = _current.set(limit)
    try:
        yield limit
    except BaseException as error:
        # A Ctrl-C in a short statement, which runs in this thread, reaches Python as this error of DuckDB.
        pressed = isinstance(error, RuntimeError) and str(error) == "Query interrupted"
        # Tasks in other threads end at their next block.
        limit.stopped = limit.stopped or pressed or not isinstance(error, Exception)
        if pressed:
            raise KeyboardInterrupt from error
        raise
    finally:
        with contextlib.suppress(ValueError):  # if a generator is closed in another context
            _current.reset(token)


@contextlib.contextmanager
def resumed(limit: TimeLimit | None) -> Iterator[None]:
    """Continue under the limit of a question that began earlier, for example one whose batches are read one by one."""
    token = _current.set(limit)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> TimeLimit | None:
    """The limit of the question in this context."""
    return _current.get()


def check() -> None:
    """Raise QueryError if the time of the current question is over; called between blocks of work."""
    limit = _current.get()
    if limit is not None:
        limit.check()


def bound(function: Callable[P, T]) -> Callable[P, T]:
    """Wrap a function so that it keeps the current limit when a thread of a pool calls it."""
    limit = _current.get()

    @functools.wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        with resumed(limit):
            check()
            return function(*args, **kwargs)

    return limited


def run(connection: "duckdb.DuckDBPyConnection", function: Callable[[], T]) -> T:
    """Call a function that runs DuckDB on a connection, within the time limit.

    Parameters
    ----------
    connection : connection that the function uses
    function : runs a statement, as ``lambda: connection.execute(sql).fetchall()``

    Raises
    ------
    QueryError
        At the end of the time limit.
    KeyboardInterrupt
        At Ctrl-C, as soon as DuckDB stops, and at most about half a second later.
    """
    limit = _current.get()
    if limit is not None:
        limit.check()
    outcome: Future[T] = Future()
    context = copy_context()

    def work() -> None:
        try:
            result = context.run(function)
        except BaseException as error:
            _busy.discard(connection)
            outcome.set_exception(error)
        else:
            _busy.discard(connection)
            outcome.set_result(result)

    try:
        _busy.add(connection)
        try:
            threading.Thread(target=work, name="attnstore-duckdb", daemon=True).start()
        except RuntimeError:  # no further thread: nothing runs on the connection
            _busy.discard(connection)
            outcome.cancel()
            raise
        if not wait([outcome], limit.left if limit else None).done:
            raise limit.error() if limit else AssertionError
    except BaseException:
        if limit is not None:
            limit.stopped = True
        connection.interrupt()
        wait([outcome], _PATIENCE)
        raise
    return outcome.result()


@contextlib.contextmanager
def closing(connection: "duckdb.DuckDBPyConnection") -> "Iterator[duckdb.DuckDBPyConnection]":
    """Close a connection at the end, unless DuckDB still runs an interrupted statement on it."""
    try:
        yield connection
    finally:
        if not is_left_behind(connection):
            connection.close()


def is_left_behind(connection: "duckdb.DuckDBPyConnection") -> bool:
    """Whether DuckDB still runs an interrupted statement on a connection: any other use would wait for it."""
    return connection in _busy


def any_left_behind() -> bool:
    """Whether there is such a connection: then only `os._exit` ends the process at once."""
    return bool(_busy)


def limited(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator for a function with the option `timeout`, in seconds, which limits everything the function does."""

    @functools.wraps(function)
    def answer(*args: P.args, **options: P.kwargs) -> T:
        seconds: float | None = options.get("timeout")  # type: ignore[assignment]
        with time_limit(seconds):
            return function(*args, **options)

    return answer
