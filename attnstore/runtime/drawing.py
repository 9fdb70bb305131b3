"""Importing matplotlib, whatever the environment says of a backend: figures are drawn to files and need none."""

import contextlib
import logging
import os
import sys


def load_matplotlib() -> None:
    """Import matplotlib, also where ``MPLBACKEND`` names a backend that is not installed here.

    A notebook's kernel sets it to a module of its own environment, and matplotlib then refuses to be imported. Its
    warnings that a home or cache folder cannot be written to are left out: it goes on without.
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
