"""Functions compiled by numba: without the GIL, and cached on disk if there is a writable folder."""

from collections.abc import Callable
from typing import Any

Function = Callable[..., Any]


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Decorator: ``numba.njit(nogil=True, …)``; without a writable cache, every process compiles the function."""

    def decorate(function: Function) -> Function:
        import numba

        try:
            result: Function = numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # "no locator available": numba finds no directory to write to
            result = numba.njit(nogil=True, **options)(function)
        return result

    return decorate
