"""The walks through the code in docs/design.md name modules, functions and classes that are there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import attnstore

ROOT = Path(attnstore.__file__).parents[1]
WALKS = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("## Three walks")[2].partition("\n## ")[0]
NAMES = sorted(set(re.findall(r"`([A-Za-z_][\w.]*)`", WALKS)))
DOTTED = [name for name in NAMES if "." in name]
FOLDERS = ("attnstore", "ingest", "queries")
#: As walks shorten them.
PREFIXES = ("attnstore.", "attnstore.queries.", "attnstore.ingest.")


def found(name: str) -> bool:
    """Whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            value = getattr(value, part, None)
        return value is not None
    return False


def method_found(name: str) -> bool:
    """Whether the class of a name such as ``Manifest.write`` has that method, in whatever module it is."""
    owner, _, method = name.partition(".")
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    bodies = (path.read_text(encoding="utf-8").partition(f"\nclass {owner}")[2] for path in files)
    return any(re.search(rf"^    def {method}\(", body, re.MULTILINE) for body in bodies)


@pytest.mark.parametrize("name", DOTTED)
def test_a_dotted_name_is_there(name):
    assert any(found(prefix + name) for prefix in PREFIXES) or method_found(name)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(DOTTED)))
def test_a_bare_name_is_defined_somewhere(name):
    defined = re.compile(rf"^ *(def|class) {name}\b|^ +{name}: ", re.MULTILINE)
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    assert any(defined.search(path.read_text(encoding="utf-8")) for path in files)
