"""What pages made from templates share: how a template is filled, and how a figure goes along."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def environment(*folders: Path) -> "jinja2.Environment":
    """Templates in these folders: what fills them is escaped, and what is missing is an error."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def embedded(svg: Path) -> str:
    """A figure's file as the source of an image, so that a page needs no other file."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.read_bytes()).decode()
