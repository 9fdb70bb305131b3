"""The command `attnstore`, and ``python -m attnstore``: after Ctrl-C one line, while libraries are loading, too."""

import atexit
import contextlib
import os
import signal
import sys
from types import FrameType
from typing import NoReturn


def main() -> NoReturn:
    """Run the command; after Ctrl-C or a time limit do not wait for threads that are still computing."""
    pressed: list[int] = []

    def heed(number: int, _: FrameType | None) -> None:
        pressed.append(number)
        raise KeyboardInterrupt

    # One that is ignored stays so: a shell without job control has it ignored by what it runs in the background.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, heed)
    try:
        from .cli import main as run

        run()
    except SystemExit as stop:
        if stop.code == 130 or _duckdb_at_work():
            _leave(stop.code)
        raise
    except BaseException as error:
        # A library may turn the interruption into an error of its own.
        if not pressed and not isinstance(error, KeyboardInterrupt):
            raise
        with contextlib.suppress(OSError):
            print("interrupted.", file=sys.stderr)
        _leave(130)


def _duckdb_at_work() -> bool:
    """Whether DuckDB is still at work on what it was interrupted in."""
    limits = sys.modules.get("attnstore.runtime.time_limit")  # not loaded for this alone: it takes DuckDB along
    return limits is not None and bool(limits.any_left_behind())


def _leave(status: int | str | None) -> NoReturn:
    """End at once: the interpreter would wait for every thread's task, a second or more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    atexit._run_exitfuncs()  # temporary folders are removed, connections closed
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))


if __name__ == "__main__":
    main()
