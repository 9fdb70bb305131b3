"""attnstore: the attention of protein language models, ingested once and queried afterwards."""

import importlib
from typing import TYPE_CHECKING, Any

from .errors import AttnstoreError, MachineError, ModelError, QueryError, SourceError, StoreError
from .version import __version__ as __version__

if TYPE_CHECKING:
    from .api import Store
    from .api import open_store as open

__all__ = ["AttnstoreError", "MachineError", "ModelError", "QueryError", "SourceError", "Store", "StoreError", "open"]


def __getattr__(name: str) -> Any:
    """What needs NumPy is imported when it is used: the command heeds Ctrl-C before that."""
    if name in ("Store", "open"):
        store = importlib.import_module(".api", __name__)
        return store.open_store if name == "open" else store.Store
    if not name.startswith("_"):  # a module, as `layout`
        module = f"{__name__}.{name}"
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
