"""Questions that end in time: at a limit, or at Ctrl-C, within about a second.

DuckDB runs in a thread of its own while the asking thread waits: so the wait can end although DuckDB looks at an
interruption only between batches of rows, which a function such as `levenshtein` of long strings can keep it from
for hours. Loops of our own call `check` between blocks.
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

#: Seconds that DuckDB has to heed an interruption before it is left behind.
_PATIENCE = 0.5


@dataclass(eq=False)
class TimeLimit:
    """A question's time.

    Attributes
    ----------
    seconds : that it may take; None for any
    begun : when it began, of `time.monotonic`
    stopped : whether it was interrupted
    """

    seconds: float | None
    begun: float = field(default_factory=time.monotonic)
    stopped: bool = False

    @property
    def left(self) -> float | None:
        """Seconds left, 0 where there are none; None for any number."""
        return None if self.seconds is None else max(self.begun + self.seconds - time.monotonic(), 0.0)

    def error(self) -> QueryError:
        """What is raised at the end of the time."""
        return QueryError(
            f"the question was not answered within {self.seconds:g} s: ask for less (an aggregate, a WHERE, a LIMIT), "
            f"or raise timeout, as in timeout={10 * (self.seconds or 1):g}."
        )

    def check(self) -> None:
        """Raise QueryError where the time is over or the question was interrupted."""
        if self.left == 0:
            raise self.error()
        if self.stopped:
            raise QueryError("the question was interrupted.")


_current: ContextVar[TimeLimit | None] = ContextVar("time_limit", default=None)
#: Connections that DuckDB is at work on: closing one would wait for it.
_busy: "set[duckdb.DuckDBPyConnection]" = set()


os.register_at_fork(after_in_child=_busy.clear)


@contextlib.contextmanager
def time_limit(seconds: float | None) -> Iterator[TimeLimit]:
    """Give what is asked inside a number of seconds; within another limit, what that has left if it is less.

    Raises
    ------
    QueryError
        From `run` and `check` inside, at the end of the time; or at once where `seconds` is no positive number.
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
        # DuckDB turns a Ctrl-C in a short statement, which no thread of its own runs, into this.
        pressed = isinstance(error, RuntimeError) and str(error) == "Query interrupted"
        # Tasks in other threads end at their next block.
        limit.stopped = limit.stopped or pressed or not isinstance(error, Exception)
        if pressed:
            raise KeyboardInterrupt from error
        raise
    finally:
        with contextlib.suppress(ValueError):  # a generator that is closed in another context
            _current.reset(token)


@contextlib.contextmanager
def resumed(limit: TimeLimit | None) -> Iterator[None]:
    """Under the limit of a question that was begun before, as one is whose batches are read one by one."""
    token = _current.set(limit)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> TimeLimit | None:
    """The limit of what is asked in this context."""
    return _current.get()


def check() -> None:
    """Raise QueryError where the time of the current question is over; to be called between blocks of work."""
    limit = _current.get()
    if limit is not None:
        limit.check()


def bound(function: Callable[P, T]) -> Callable[P, T]:
    """A function that keeps the current limit when a thread of a pool calls it."""
    limit = _current.get()

    @functools.wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> T:
        with resumed(limit):
            check()
            return function(*args, **kwargs)

    return limited


def run(connection: "duckdb.DuckDBPyConnection", function: Callable[[], T]) -> T:
    """Call a function that runs DuckDB on a connection, in time.

    Parameters
    ----------
    connection : that the function uses
    function : evaluates something, as ``lambda: connection.execute(sql).fetchall()``

    Raises
    ------
    QueryError
        At the end of the time limit.
    KeyboardInterrupt
        At Ctrl-C, as soon as DuckDB heeds it, and at most about half a second later.
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
    """Close a connection in the end, unless it is still at work on what it was interrupted in."""
    try:
        yield connection
    finally:
        if not is_left_behind(connection):
            connection.close()


def is_left_behind(connection: "duckdb.DuckDBPyConnection") -> bool:
    """Whether a connection is still at work on what it was interrupted in: whatever else uses it would wait."""
    return connection in _busy


def any_left_behind() -> bool:
    """Whether any is: then a process ends at once by `os._exit` alone."""
    return bool(_busy)


def limited(function: Callable[P, T]) -> Callable[P, T]:
    """For a question with the option `timeout`, in seconds: it holds for all that the function does."""

    @functools.wraps(function)
    def answer(*args: P.args, **options: P.kwargs) -> T:
        seconds: float | None = options.get("timeout")  # type: ignore[assignment]
        with time_limit(seconds):
            return function(*args, **options)

    return answer
