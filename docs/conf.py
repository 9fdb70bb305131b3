"""How the pages of docs/ and the docstrings become the site: `make docs`."""

from importlib.metadata import version as installed
from typing import Any

from sphinx.application import Sphinx

project = "attnstore"
release = version = installed(project)

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
nitpicky = True

highlight_language = "none"  # of blocks that do not say: what is typed and printed in a shell
myst_heading_anchors = 4

default_role = "literal"  # docstrings write `names` as Markdown does
smartquotes_action = "D"  # dashes alone, for 'values' are written as in Python
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # types are in the docstrings
python_use_unqualified_type_names = True
numpydoc_show_class_members = False  # the pages say which
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_domain_indices = html_use_index = False
html_show_copyright = False
html_show_sphinx = False


def _no_constructor(app: Sphinx, what: str, *rest: Any) -> tuple[str, None] | None:
    """Leave out how classes are made: users get their objects from functions and methods."""
    return ("", None) if what == "class" else None


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-signature", _no_constructor)
