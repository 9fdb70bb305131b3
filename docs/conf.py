"""How the pages of docs/ and the docstrings become the site: `make docs`."""

import ast
import inspect
import re
from functools import cache
from importlib.metadata import version as installed
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, NumpyDocstring
from sphinx.util.typing import stringify_annotation

project = "attnstore"
release = version = installed(project)

extensions = ["myst_parser", "sphinx.ext.autodoc"]
nitpicky = True
# Types of other projects are named, not linked: their indexes would have to be fetched.
_OTHERS = "click|collections|dask|distributed|duckdb|matplotlib|numpy|os|pandas|pathlib|pyarrow|xarray"
_SHORT = r"ndarray|Path|pd\.Series|attnstore\.opened\.Store|.*\.ProteinAttention"
# What `summarise_halves` and `MacroAverage` are made of, and the values of literal types; the literal ',' is split into
# two quotes.
_PART = r"(attnstore\.format\.segment_files\.)?Part"
_WITHIN = rf"attnstore\.queries\.statistics\.(macro|measure|samples)\..*|{_PART}|'(.*')?"
nitpick_ignore_regex = [("py:.*", rf"({_OTHERS})\..*"), ("py:class", rf"{_SHORT}|{_WITHIN}")]

highlight_language = "none"  # of blocks that do not say: what is typed and printed in a shell
myst_heading_anchors = 4

default_role = "literal"  # docstrings write `names` as Markdown does
smartquotes_action = "D"  # dashes alone, for 'values' are written as in Python
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_type_aliases = {"ArrayLike": "numpy.typing.ArrayLike"}  # not the union that it stands for
python_display_short_literal_types = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_domain_indices = html_use_index = False
html_show_copyright = False
html_show_sphinx = False

_NAPOLEON = Config(napoleon_google_docstring=False)
_UNDERLINE = re.compile(r"-{3,}")
_ENTRY = re.compile(r"(?P<names>\*{0,2}\w+(?:, \*{0,2}\w+)*)(?: : (?P<meaning>.*))?")
_TYPE = re.compile(r"[A-Z]\w+")
_BAR = re.compile(r"\|(?=[^`]*(?:`[^`]*`[^`]*)*$)")  # outside of backticks, where it would begin a substitution


def _to_restructured_text(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Let napoleon read what it expects: a type where these docstrings have the meaning.

    Types stand in annotations, where autodoc finds those of parameters; attributes get theirs here.
    """
    types = inspect.get_annotations(thing, eval_str=True) if inspect.isclass(thing) else {}
    plain = [_BAR.sub(r"\\|", line) for line in lines]
    written: list[str] = []
    section = ""
    names: list[str] = []
    meaning: list[str] = []

    def finish() -> None:
        for each in names:
            if section == "Attributes":
                written.extend(["", f".. attribute:: {each}"])
                written.extend([f"    :type: {stringify_annotation(types[each])}"] if each in types else [])
                written.append("")
            else:
                written.append(each)
            written.extend(f"    {line}" for line in meaning)
        names.clear()
        meaning.clear()

    for line, below in zip(plain, [*plain[1:], ""], strict=True):
        if _UNDERLINE.fullmatch(below):
            finish()
            section = line if line in ("Parameters", "Attributes") else ""
        entry = _ENTRY.fullmatch(line)
        if not section or line == section or _UNDERLINE.fullmatch(line):
            written.extend([] if section == "Attributes" else [line])
        elif entry:
            finish()
            names.extend(entry["names"].split(", "))
            if entry["meaning"] and not _TYPE.fullmatch(entry["meaning"]):
                meaning.append(entry["meaning"])
        else:
            meaning.append(line.removeprefix("    "))
    finish()
    # Of a property napoleon would take what stands before a colon for its type.
    kind = "method" if what == "property" else what
    lines[:] = [*NumpyDocstring(written, _NAPOLEON, app, kind, name, thing, options).lines(), ""]


def _names_for_types(app: Sphinx, thing: Any, bound: bool) -> None:
    """Import what a module imports for its annotations alone, so that they can be read."""
    module = inspect.getmodule(thing)
    if module is not None and module.__name__.split(".")[0] == project:
        _import_guarded(module)


@cache
def _import_guarded(module: ModuleType) -> None:
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            exec(compile(ast.unparse(node.body), str(module.__file__), "exec"), vars(module))  # noqa: S102


def _no_constructor(app: Sphinx, what: str, *rest: Any) -> tuple[str, None] | None:
    """Leave out how classes are made: a reader is handed their objects."""
    return ("", None) if what == "class" else None


def setup(app: Sphinx) -> None:
    app.connect("autodoc-before-process-signature", _names_for_types)
    app.connect("autodoc-process-signature", _no_constructor)
    app.connect("autodoc-process-docstring", _to_restructured_text)
