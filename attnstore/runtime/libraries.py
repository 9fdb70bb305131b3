"""numba, matplotlib and tqdm, imported when they are needed, and used the same way everywhere."""

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

Function = Callable[..., Any]


def jit(**options: Any) -> Callable[[Function], Function]:
    """Return a decorator: ``numba.njit(nogil=True, …)``, cached on disk.

    Where numba finds no folder that it can write to, functions are compiled again in each process.
    """

    def decorate(function: Function) -> Function:
        import numba

        try:
            result: Function = numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # "no locator available": numba finds no directory to write to
            result = numba.njit(nogil=True, **options)(function)
        return result

    return decorate


def load_matplotlib() -> None:
    """Import matplotlib, also where ``MPLBACKEND`` names a backend that is not installed here.

    A notebook's kernel sets it to a module of its own environment, and matplotlib then refuses to be imported. Figures
    are drawn to files and need no backend. Warnings that a home or cache folder cannot be written to are left out.
    """
    if "matplotlib.figure" in sys.modules:
        return
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib.figure

        if backend:
            with contextlib.suppress(ValueError):  # what its import would raise
                matplotlib.rcParams["backend"] = backend
    finally:
        logger.setLevel(level)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def bar(total: int, unit: str, *, shown: bool, **options: Any) -> "tqdm[Any]":
    """Return a progress bar on standard error that counts to `total`; it draws nothing unless `shown`."""
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, disable=not (shown and total), **options)
