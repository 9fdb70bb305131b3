"""Imports go downwards, layer by layer, and in no circle: those inside functions and for type checkers included."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

import attnstore

ROOT = Path(attnstore.__file__).parents[1]

#: The layers from below; a module belongs to the pattern that is longest of those that match it.
#: A module imports from its own layer and those below; two parts of one layer do not import each other.
LAYERS = (
    ("attnstore.errors", "attnstore.version"),
    ("attnstore.arguments",),
    ("attnstore.runtime",),
    ("attnstore.format",),
    ("attnstore.catalog",),
    ("attnstore.readers", "attnstore.fetch"),
    ("attnstore.annotate",),
    ("attnstore.opened",),
    ("attnstore.catalog_sql", "attnstore.integrity"),
    ("attnstore.matrix", "attnstore.export"),
    ("attnstore.ingest.model", "attnstore.queries.sql", "attnstore.queries.statistics"),
    ("attnstore.ingest", "attnstore.queries.engine"),
    ("attnstore.queries.plan",),
    ("attnstore.queries",),  # its own modules: the questions by SQL and by alignment, and their figures
    ("attnstore.queries.contacts",),
    ("attnstore.queries.probe",),
    ("attnstore.queries.report", "attnstore.queries.view"),
    ("attnstore.queries.vig2021",),
    ("attnstore.api",),
    ("attnstore.testing",),
    ("attnstore",),
    ("attnstore.cli",),
    ("attnstore.__main__",),
)
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}

#: What only ingest may import; modules by pattern.
HEAVY = ("torch", "transformers")


class Import(NamedTuple):
    """An import statement of a module; `name` is absolute, of a module or of something in it."""

    module: str
    name: str
    line: int


def modules(root: Path) -> dict[str, Path]:
    """All modules of the package, by name, as Python finds them: links are followed."""
    found = {}
    for folder, _, files in os.walk(root / "attnstore", followlinks=True):
        for path in (Path(folder, file) for file in files if file.endswith(".py")):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(module: str, path: Path) -> Iterator[Import]:
    """Every import of a module, at whatever place."""
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (Import(module, alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (Import(module, f"{origin}.{alias.name}", node.lineno) for alias in node.names)


def module_of(name: str, known: Mapping[str, Path]) -> str | None:
    """The module of the package that is imported by this name; None for other packages."""
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def graph(root: Path) -> dict[str, set[str]]:
    """Modules that each module imports, itself excepted."""
    known = modules(root)
    return {
        module: {target for one in imports(module, path) if (target := module_of(one.name, known))} - {module}
        for module, path in known.items()
    }


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which reaches every other."""
    reached: dict[str, set[str]] = {}
    for start in edges:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = edges[waiting.pop()] - seen
            seen |= new
            waiting += new
        reached[start] = seen
    groups = {
        frozenset(other for other in reached[one] if one in reached[other]) for one in edges if one in reached[one]
    }
    return sorted(sorted(group) for group in groups)


def part_of(module: str) -> str:
    """The part of a layer that a module belongs to."""
    if module == "attnstore":
        return module
    candidates = [part for part in RANK if part != "attnstore" and f"{module}.".startswith(f"{part}.")]
    assert candidates, f"{module} belongs to no layer: give it one in LAYERS"
    return max(candidates, key=len)


def upward(edges: Mapping[str, set[str]]) -> list[str]:
    """Imports that do not go down."""
    return sorted(
        f"{module} imports {target}"
        for module, targets in edges.items()
        for target in targets
        if (one := part_of(module)) != (other := part_of(target)) and RANK[one] <= RANK[other]
    )


def across(edges: Mapping[str, set[str]]) -> list[str]:
    """Imports between ingest and queries; the recipe of the paper runs an ingest as a user would."""
    found = []
    for module, targets in edges.items():
        for target in targets:
            if fnmatch(module, "attnstore.ingest*") and fnmatch(target, "attnstore.queries*"):
                found.append(f"{module} imports {target}")
            if (
                fnmatch(module, "attnstore.queries*")
                and not fnmatch(module, "attnstore.queries.vig2021*")
                and fnmatch(target, "attnstore.ingest*")
            ):
                found.append(f"{module} imports {target}")
    return sorted(found)


def heavy(root: Path) -> list[str]:
    """Imports of torch and transformers outside ingest."""
    return sorted(
        f"{one.module} line {one.line} imports {one.name}"
        for module, path in modules(root).items()
        if not fnmatch(module, "attnstore.ingest*")
        for one in imports(module, path)
        if one.name.partition(".")[0] in HEAVY
    )


@pytest.fixture(scope="module")
def edges() -> dict[str, set[str]]:
    return graph(ROOT)


def test_the_walk_sees_all_folders_and_every_kind_of_import(edges):
    assert {part_of(module) for module in edges} >= set(RANK) - {
        "attnstore.api",
        "attnstore.testing",
    }
    assert {"attnstore.ingest.pipeline", "attnstore.queries.sql.tree", "attnstore.readers.structures.pdb"} <= set(edges)
    assert "attnstore.errors" in edges["attnstore.ingest.pipeline"]
    assert "attnstore.queries.heads_plot" in edges["attnstore.queries.alignment"]  # inside a function
    assert "attnstore.format.segment" in edges["attnstore.queries.engine.pair_rows"]  # for type checkers
    assert any(one.name.startswith("torch") for one in imports("x", ROOT / "ingest" / "model" / "capture.py"))


def test_no_module_imports_itself_by_way_of_others(edges):
    assert circles(edges) == []


def test_imports_go_down(edges):
    assert upward(edges) == []


def test_ingest_and_queries_do_not_import_each_other(edges):
    assert across(edges) == []


def test_only_ingest_imports_torch():
    assert heavy(ROOT) == []


# --- that these tests can fail


@pytest.fixture
def plant(tmp_path):
    """Write files of a package, two of its folders by links, as in the tree; returns its root."""

    def planted(**files: str) -> Path:
        (tmp_path / "attnstore").mkdir()
        for folder in ("ingest", "queries"):
            (tmp_path / folder).mkdir()
            (tmp_path / "attnstore" / folder).symlink_to(f"../{folder}")
        for name, text in {"__init__": "", **files}.items():
            path = (tmp_path / "attnstore").joinpath(*name.split("__")) if name != "__init__" else None
            target = (tmp_path / "attnstore" / "__init__.py") if path is None else path.with_suffix(".py")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        return tmp_path

    return planted


@pytest.mark.parametrize(
    "text",
    [
        "from ..format import segment",
        "from ..format.segment import Segment",
        "import attnstore.format.segment",
        "def read():\n    from ..format.segment import Segment",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..format.segment import Segment",
        "class A:\n    def f(self):\n        try:\n            import attnstore.format.segment \n        finally: ...",
    ],
)
def test_an_import_upwards_is_seen_wherever_it_stands(plant, text):
    root = plant(runtime__files=text, format__segment="Segment = 1")
    assert upward(graph(root)) == ["attnstore.runtime.files imports attnstore.format.segment"]
    assert circles(graph(root)) == []


def test_circles_are_seen_through_functions_types_and_links(plant):
    root = plant(
        queries__sql__a="from .b import x",
        queries__sql__b="def f():\n    from . import c",
        queries__sql__c="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .a import y",
        queries__sql__d="from .a import y",
        ingest__e="from .f import z",
        ingest__f="import attnstore.ingest.e",
    )
    sql = [f"attnstore.queries.sql.{name}" for name in "abc"]
    assert circles(graph(root)) == [["attnstore.ingest.e", "attnstore.ingest.f"], sql]


def test_a_circle_through_the_package_itself_is_seen(plant):
    root = plant(version="from . import name")
    (root / "attnstore" / "__init__.py").write_text("from .version import version")
    assert circles(graph(root)) == [["attnstore", "attnstore.version"]]
    assert upward(graph(root)) == ["attnstore.version imports attnstore"]


def test_neighbours_of_one_layer_are_kept_apart(plant):
    root = plant(
        ingest__run="def f():\n    from ..queries.sql import tree",
        queries__sql__tree="",
        queries__view__view="from ...ingest.run import f",
        queries__report__page="from ..view.view import f",
        queries__vig2021__recipe="from ...ingest.run import f",
    )
    edges = graph(root)
    assert across(edges) == [
        "attnstore.ingest.run imports attnstore.queries.sql.tree",
        "attnstore.queries.view.view imports attnstore.ingest.run",
    ]
    assert upward(edges) == ["attnstore.queries.report.page imports attnstore.queries.view.view"]


def test_torch_is_seen_outside_ingest(plant):
    root = plant(
        queries__probe__fit="def f():\n    import torch.nn as nn", ingest__model__capture="import torch",
        readers__x="from transformers.models import bert",
    )  # fmt: skip
    assert heavy(root) == [
        "attnstore.queries.probe.fit line 2 imports torch.nn",
        "attnstore.readers.x line 1 imports transformers.models.bert",
    ]
