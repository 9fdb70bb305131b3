"""Colours are written once: in the palette, which the page's style sheet agrees with."""

import re
from pathlib import Path

import attnstore.queries
from attnstore.queries import palette

FOLDER = Path(attnstore.queries.__file__).parent


def test_figures_take_their_colours_from_the_palette():
    written = {
        f"{path.relative_to(FOLDER)}: {colour}"
        for path in FOLDER.rglob("*.py")
        for colour in re.findall(r"[\"']#[0-9a-fA-F]{3,8}[\"']", path.read_text())
        if path.name != "palette.py"
    }
    assert written == set()


def test_the_pages_style_sheet_agrees_with_the_palette():
    variables = dict(re.findall(r"--(\w+): (#\w+);", (FOLDER / "view" / "page.css").read_text()))
    assert variables["accent"] == palette.CONTACT
    assert variables["site"] == palette.SITE
    assert variables["soft"] == palette.CAPTION


def test_neighbouring_colours_of_lines_and_categories_differ():
    for colours in (palette.CATEGORIES, palette.LINES, palette.GREYS, tuple(palette.STRUCTURE.values())):
        assert len(set(colours)) == len(colours)
