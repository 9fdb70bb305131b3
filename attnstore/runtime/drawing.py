"""Import of matplotlib, independent of the backend that the environment names: figures are drawn to files."""

import contextlib
import logging
import os
import sys


def load_matplotlib() -> None:
    """Import matplotlib, also where ``MPLBACKEND`` names a backend that is not installed here.

    A notebook's kernel sets ``MPLBACKEND`` to a module of its own environment, and matplotlib then refuses to be
    imported. Its warnings about a home or cache folder that cannot be written to are suppressed: it works without.
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
            with contextlib.suppress(ValueError):  # its import would raise this
                matplotlib.rcParams["backend"] = backend
    finally:
        logger.setLevel(level)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
