"""The page in a real browser without a network: it is drawn, what it says is what the engine says, nothing escapes."""

import io
import math
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

import attnstore
from attnstore.ingest import ingest
from attnstore.queries import palette
from attnstore.queries.view.view import view
from tests.queries.browser import CHROMIUM, browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

STRUCTURES = Path(__file__).parents[1] / "data" / "structures"

#: Sets a control, and waits until the page has been drawn again.
SET = """(async () => {{
  const control = document.getElementById("{control}");
  control.value = "{value}";
  control.dispatchEvent(new Event("{event}"));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
}})()"""
SUMMARY = "document.getElementById('summary').innerText"


@pytest.fixture(scope="module")
def store(tmp_path_factory, tiny_esm):
    """The lac repressor's head piece with its sites, and a property whose values are markup."""
    path = tmp_path_factory.mktemp("browser") / "store"
    ingest(path, [STRUCTURES / "1LCD.pdb.gz"], model=str(tiny_esm), device="cpu")
    values = ["</script><script>window.hacked = 1</script>", "<img src=x onerror='window.hacked = 1'>"]
    markup = pd.DataFrame({"id": "1LCD_A", "pos": [0, 1], "markup": values})
    return attnstore.open(path).annotate(markup)


@pytest.fixture(scope="module")
def page(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("browser") / "page.html"
    view(store, "1LCD_A", layer=1, head=2, threshold=0.1, structure=STRUCTURES / "1LCD.pdb.gz").save(path)
    with browser() as opened:
        opened.open(path.as_uri())
        yield opened


def pixels(page, colour, selector="#viewer"):
    """Pixels of an element with nearly the hue of a colour, however it is lit."""
    image = matplotlib.image.imread(io.BytesIO(page.picture(selector)))[..., :3]
    wanted = np.array(to_rgb(colour))
    length = np.linalg.norm(image, axis=-1)
    alike = image @ wanted / np.maximum(length * np.linalg.norm(wanted), 1e-6)
    return int(np.count_nonzero((alike > 0.995) & (length > 0.2)))


def engine(store, threshold, separation):
    """Arcs, those that are contacts, those of which that is known, by layer and head."""
    rows = store.query(
        "SELECT layer, head, count(*), count(*) FILTER (WHERE contact), count(*) FILTER (WHERE contact IS NOT NULL) "
        f"FROM attention WHERE protein = '1LCD_A' AND weight >= {threshold} AND separation >= {separation} "
        "GROUP BY ALL"
    )
    return {(layer, head): counts for layer, head, *counts in rows.itertuples(index=False)}


def test_the_structure_and_cylinders_are_drawn_and_follow_the_threshold(store, page):
    assert pixels(page, palette.STRUCTURE["h"]) > 500
    assert pixels(page, palette.SITE) > 20
    seen = []
    for threshold in (0.1, 0.2, 0.4, 1):
        page.run(SET.format(control="threshold", value=threshold * 1000, event="input"))
        cylinders = int(page.run("document.getElementById('cylinders').textContent"))
        arcs = store.query(
            "SELECT DISTINCT least(source, target), greatest(source, target) FROM (SELECT source, target "
            "FROM attention WHERE protein = '1LCD_A' AND layer = 1 AND head = 2 AND separation >= 6 "
            f"AND weight >= {threshold})"
        )
        assert cylinders == len(arcs)
        seen.append((cylinders, pixels(page, palette.OTHER) + pixels(page, palette.CONTACT)))
    assert [count for count, _ in seen] == sorted({count for count, _ in seen}, reverse=True)
    assert seen[-1] == (0, 0)
    assert seen[0][1] > 300


@pytest.mark.parametrize(("threshold", "separation"), [(0.05, 6), (0.1, 0), (0.3, 6)])
def test_every_head_says_what_the_engine_says(store, page, threshold, separation):
    page.run(SET.format(control="separation", value=separation, event="input"))
    page.run(SET.format(control="threshold", value=threshold * 1000, event="input"))
    found = engine(store, threshold, separation)
    said = page.run("[...document.querySelectorAll('#heads button')].map((cell) => cell.title)")
    heads = store.model().document.heads
    for place, text in enumerate(said):
        key = divmod(place, heads)
        arcs, contacts, known = found.get(key, (0, 0, 0))
        share = f", {math.floor(100 * contacts / known + 0.5)}% on contacts" if known else ""
        assert text == f"head {key[0]}-{key[1]}: {arcs} arcs{share}"
    arcs, contacts, known = found.get((1, 2), (0, 0, 0))
    summary = page.run(SUMMARY)
    assert f"Head 1-2: {arcs} arcs" in summary
    assert not known or f"{contacts} of {known} on contacts" in summary


def test_the_keyboard_chooses_heads_and_turns_the_structure(page):
    page.run("document.querySelector('#heads button[tabindex=\"0\"]').focus()")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowLeft", code="ArrowLeft", windowsVirtualKeyCode=37)
    assert page.run("document.getElementById('chosen').textContent") == "1-1"
    page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
    assert page.run("document.getElementById('chosen').textContent") == "1-2"
    before = page.picture("#viewer")
    page.run("document.getElementById('viewer').focus()")
    page.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowLeft", code="ArrowLeft", windowsVirtualKeyCode=37)
    assert page.picture("#viewer") != before


def test_values_that_are_markup_stay_text(page):
    script = """(() => {
      const control = document.getElementById("property");
      control.value = [...control.options].find((one) => one.text === "markup").value;
      control.dispatchEvent(new Event("change"));
      return document.getElementById("legend").textContent;
    })()"""
    legend = page.run(script)
    assert "<img src=x" in legend
    assert "</script>" in legend
    assert page.run("typeof window.hacked") == "undefined"
    assert page.run("document.querySelectorAll('img').length") == 0


def test_no_error_and_no_request_but_the_file(page):
    assert page.errors() == []
    assert [url for url in page.requests() if not url.startswith("data:")] == [page.run("location.href")]


def test_in_a_frame_as_a_notebook_has_it(store, page, tmp_path):
    shown = view(store, "1LCD_A", layer=1, head=2, threshold=0.1)
    path = tmp_path / "notebook.html"
    path.write_text(f"<!DOCTYPE html><meta charset=utf-8>{shown._repr_html_()}")
    page.open(path.as_uri())
    page.run("new Promise((done) => setTimeout(done, 500))")
    assert pixels(page, palette.STRUCTURE["h"], "iframe") > 500
    assert page.errors() == []
