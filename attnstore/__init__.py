"""attnstore: the attention of protein language models, ingested once and queried afterwards.

Public are the names in `__all__` here and in the modules `ingest`, `testing` and `fetch`; all else may change.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .errors import AttnstoreError, MachineError, ModelError, QueryError, SourceError, StoreError
from .version import __version__ as __version__

if TYPE_CHECKING:
    from . import fetch, ingest, testing
    from .api import Store
    from .api import open_store as open
    from .catalog.relation import Relation
    from .ingest.repair import Repaired, repair
    from .integrity import Problem, verify
    from .opened import Model
    from .queries.alignment import Alignment
    from .queries.contacts.contact_result import ContactEvaluation, ContactMap
    from .queries.contacts.predictor import ContactPredictor
    from .queries.probe.probe_result import Probing
    from .queries.query_result import Result
    from .queries.report.report import Report
    from .queries.view.view import View
    from .queries.vig2021 import Reproduction, vig2021

__all__ = [
    "Alignment",
    "AttnstoreError",
    "ContactEvaluation",
    "ContactMap",
    "ContactPredictor",
    "MachineError",
    "Model",
    "ModelError",
    "Probing",
    "Problem",
    "QueryError",
    "Relation",
    "Repaired",
    "Report",
    "Reproduction",
    "Result",
    "SourceError",
    "Store",
    "StoreError",
    "View",
    "fetch",
    "ingest",
    "open",
    "repair",
    "testing",
    "verify",
    "vig2021",
]

#: Module, and name in it, of what is imported when it is used: `import attnstore` is quick and needs no torch, and the
#: command reacts to Ctrl-C before NumPy is loaded.
_HOMES = {
    "Alignment": ("queries.alignment", "Alignment"),
    "ContactEvaluation": ("queries.contacts.contact_result", "ContactEvaluation"),
    "ContactMap": ("queries.contacts.contact_result", "ContactMap"),
    "ContactPredictor": ("queries.contacts.predictor", "ContactPredictor"),
    "Model": ("opened", "Model"),
    "Probing": ("queries.probe.probe_result", "Probing"),
    "Problem": ("integrity", "Problem"),
    "Relation": ("catalog.relation", "Relation"),
    "Repaired": ("ingest.repair", "Repaired"),
    "Report": ("queries.report.report", "Report"),
    "Reproduction": ("queries.vig2021", "Reproduction"),
    "Result": ("queries.query_result", "Result"),
    "Store": ("api", "Store"),
    "View": ("queries.view.view", "View"),
    "open": ("api", "open_store"),
    "repair": ("ingest.repair", "repair"),
    "verify": ("integrity", "verify"),
    "vig2021": ("queries.vig2021", "vig2021"),
}


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of the package, when it is used."""
    if name in _HOMES:
        module, own = _HOMES[name]
        return getattr(importlib.import_module(f".{module}", __name__), own)
    if not name.startswith("_"):
        module = f"{__name__}.{name}"
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
