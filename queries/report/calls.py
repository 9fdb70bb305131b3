"""Questions to the engine, each with the lines that reproduce it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..align import align
from ..plan.align_plan import THRESHOLD
from ..query import query
from ..statistics.measure import MIN_PROTEINS

if TYPE_CHECKING:
    from distributed import Client

    from ...opened import Store
    from ..alignment import Alignment
    from ..query_result import Result


@dataclass(frozen=True)
class Settings:
    """How everything in a report is measured; all as :meth:`attnstore.Store.align` has them.

    Attributes
    ----------
    threshold, cluster_by, min_arcs, min_proteins, replicates, seed : of every question; `min_proteins` does not apply
        to the paper's form
    paper : also ask in the paper's form
    scheduler : where tasks run
    """

    threshold: float = THRESHOLD
    cluster_by: str = "protein"
    min_arcs: int = 100
    min_proteins: int = MIN_PROTEINS
    replicates: int = 1000
    seed: int = 0
    paper: bool = False
    scheduler: "str | Client | None" = None

    @property
    def options(self) -> dict[str, Any]:
        """The options of `align`, without those that have their default values."""
        default = Settings()
        names = ("cluster_by", "min_arcs", "min_proteins", "replicates", "seed")
        changed = {name: getattr(self, name) for name in names if getattr(self, name) != getattr(default, name)}
        return {"threshold": self.threshold, **changed}


@dataclass(frozen=True)
class Call:
    """A question to the engine that can be reproduced.

    Attributes
    ----------
    store : str
        Path.
    method : {'align', 'query'}
        Of the store.
    question : str
        Predicate or SQL.
    options : mapping of str to object
        By name.
    """

    store: str
    method: Literal["align", "query"]
    question: str
    options: Mapping[str, Any]

    @property
    def python(self) -> str:
        """The line in Python, after `import attnstore`."""
        arguments = [repr(self.question), *(f"{name}={value!r}" for name, value in self.options.items())]
        return f"attnstore.open({self.store!r}).{self.method}({', '.join(arguments)})"

    @property
    def shell(self) -> str:
        """The line for a shell."""
        words = ["attnstore", self.method, self.store, self.question]
        for name, value in self.options.items():
            flag = "--" + name.replace("_", "-")
            words += [flag] if value is True else [flag, str(value)]
        return shlex.join(words)


def call_align(store: "Store", settings: Settings, predicate: str, **options: Any) -> tuple["Alignment", Call]:
    """Ask for the shares of all heads; options that are None or False are left out."""
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    common = settings.options
    if options.get("paper"):
        common.pop("min_proteins", None)
    call = Call(str(store.path), "align", predicate, {**given, **common})
    return align(store, predicate, scheduler=settings.scheduler, **call.options), call


def call_query(store: "Store", settings: Settings, sql: str) -> tuple["Result", Call]:
    """Ask in SQL."""
    call = Call(str(store.path), "query", sql, {})
    return query(store, sql, scheduler=settings.scheduler), call
