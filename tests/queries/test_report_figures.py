"""The report's figures are read back: their artists hold the data, and no text lies on another."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import to_hex

from attnstore.queries.report.amino_acids import AminoAcids, similarity
from attnstore.queries.report.calls import Call
from attnstore.queries.report.comparison_figure import draw_comparison
from attnstore.queries.report.depth import Depth, centre_of_gravity
from attnstore.queries.report.measures import Measurement
from attnstore.queries.report.model_comparison import Comparison, ModelMeasurement, best_head_table
from attnstore.queries.report.questions import LETTERS, PropertyQuestion
from attnstore.queries.report.report_figures import draw_amino_acids, draw_depth, draw_similarity
from tests.queries.test_plot import boxes, texts

SHAPES = [(1, 1), (6, 20), (8, 8), (30, 16), (12, 64)]
CALL = Call("store", "query", "SELECT 1", {})
TITLE = "Share of arcs to each amino acid\n" + "a_model_with_a_name_$_" * 8


def acids(layers, heads, least=100):
    rng = np.random.default_rng(layers * 100 + heads)
    arcs = rng.poisson(20 * rng.gamma(0.5, 1, (20, layers, heads)))
    return AminoAcids(LETTERS, arcs, arcs.sum(axis=0) + 3, least, 0.3, CALL)


def course(layers, number, *, empty=()):
    means = np.random.default_rng(number).uniform(0.05, 0.6, layers)
    means[list(empty)] = np.nan
    label = "A property with a name that goes on and on" if number == 1 else f"Property {number}"
    question = PropertyQuestion(f"p{number}", label, "residue", "target.p", None, "")
    return Depth(question, means, np.where(np.isnan(means), 0, 9), 0.2, centre_of_gravity(means))


def check_texts(figure):
    drawn = boxes(figure)
    titles = [title for axes in figure.axes for title in (axes.title, axes._left_title, axes._right_title)]
    drawn += [(title.get_text(), title.get_window_extent()) for title in titles if title.get_text()]
    assert len(drawn) > 4
    for text, box in drawn:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    for (one, a), (other, b) in itertools.combinations(drawn, 2):
        assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0, (one, other)


@pytest.mark.parametrize("shape", SHAPES)
def test_amino_acids_are_drawn_one_beside_the_other(shape):
    data = acids(*shape)
    figure = draw_amino_acids(data, TITLE)
    check_texts(figure)
    heats = [axes for axes in figure.axes if axes.findobj(QuadMesh) and axes.get_title(loc="left")]
    assert [axes.get_title(loc="left")[-1] for axes in heats] == list(LETTERS)
    for axes, share in zip(heats, data.shares, strict=True):
        (mesh,) = axes.findobj(QuadMesh)
        np.testing.assert_allclose(np.ma.filled(mesh.get_array(), np.nan), 100 * share)
        assert mesh.get_clim() == (0, 100)
        assert to_hex(mesh.cmap(mesh.norm(0.0))) == "#ffffff"
        bars = figure.axes[figure.axes.index(axes) + 1]
        widths = [bar.get_width() for bar in bars.patches]
        np.testing.assert_allclose(widths, [100 * max([0, *row[row == row]]) for row in share])
    few = int((~data.ranked).sum())
    assert any(f"{few:,} of {data.ranked.size:,} heads" in text for text in texts(figure)) == bool(few)


def test_likeness_is_drawn_beside_blosum62():
    alike = similarity(acids(6, 20))
    figure = draw_similarity(alike, TITLE)
    check_texts(figure)
    left, right = (axes.findobj(QuadMesh)[0] for axes in figure.axes[:3:2])
    for mesh, matrix in ((left, alike.attention), (right, alike.substitution)):
        shown = np.ma.filled(mesh.get_array(), np.nan)
        np.testing.assert_array_equal(np.isnan(shown), np.eye(20, dtype=bool))
        np.testing.assert_allclose(shown[~np.eye(20, dtype=bool)], matrix[~np.eye(20, dtype=bool)])
        low, high = mesh.get_clim()
        assert low == -high
        # Alike is warm, unlike is cold, and nothing is nearly white.
        red, blue = mesh.cmap(mesh.norm(high)), mesh.cmap(mesh.norm(low))
        assert red[0] > red[2]
        assert blue[2] > blue[0]
        assert min(mesh.cmap(mesh.norm(0.0))[:3]) > 0.95
    (points,) = figure.axes[-1].findobj(PathCollection)
    offsets = np.asarray(points.get_offsets())
    assert len(offsets) == 190
    np.testing.assert_array_equal(np.round(offsets[:, 0]), alike.table["blosum62"])
    np.testing.assert_allclose(offsets[:, 1], alike.table["attention"])
    assert figure.axes[-1].get_title() == f"190 pairs, r = {alike.correlation:.2f}"


def test_no_likeness_draws():
    data = acids(2, 3, least=10**6)
    figure = draw_similarity(similarity(data), TITLE)
    assert figure.axes[-1].get_title() == "0 pairs, r undefined"
    check_texts(figure)


@pytest.mark.parametrize("layers", [1, 2, 6, 12, 30, 48])
@pytest.mark.parametrize("number", [1, 9])
def test_depth_is_drawn_with_its_centre(layers, number):
    empty = (0,) if layers > 2 else ()
    courses = [course(layers, one, empty=empty) for one in range(number)]
    figure = draw_depth(courses, layers, TITLE)
    check_texts(figure)
    for axes, one in zip(figure.axes, courses, strict=True):
        bars = [bar for bar in axes.patches if bar.get_width() == pytest.approx(0.78) and not bar.get_hatch()]
        heights = [bar.get_height() for bar in bars]
        np.testing.assert_allclose(heights, np.nan_to_num(100 * one.means))
        (centre,) = [line.get_xdata()[0] for line in axes.lines if not line.is_dashed()]
        assert centre == pytest.approx(one.centre)
        hatched = [round(bar.get_x() + bar.get_width() / 2) for bar in axes.patches if bar.get_hatch()]
        assert hatched == list(empty)


class Given:
    """An answer of which only the best heads are asked."""

    def __init__(self, top):
        self.top = pd.DataFrame(top)
        self.ranked = len(top)


def compared(model, layers, number, best):
    one = course(layers, number)
    held_out = Given([best] if best else [])
    return ModelMeasurement(model, layers, Measurement(one.question, None, held_out, None), one)


@pytest.mark.parametrize("models", [2, 3, 7])
@pytest.mark.parametrize("number", [1, 4])
def test_models_are_drawn_on_one_scale_of_depth(models, number):
    names = [f"model{index}" for index in range(models)]
    best = {"layer": 1, "head": 12, "share": 0.4, "bootstrap_low": 0.3, "bootstrap_high": 0.45, "background": 0.1}
    best["enrichment"] = 4.0
    rows = [
        compared(name, 3 + 2 * index, one, best if index else None)
        for one in range(number)
        for index, name in enumerate(names)
    ]
    labels = {name: name + (" (random weights, seed 0)" if name == "model1" else "") for name in names}
    comparison = Comparison(labels, 9, 0, None, rows)
    figure = draw_comparison(comparison, {"model1"}, "models\n" + "on proteins " * 20)
    check_texts(figure)
    assert texts(figure).count("no head with enough arcs") == number
    assert texts(figure).count("1-12") == number * (models - 1)
    for place in range(number):
        axes = figure.axes[2 * place + 1]
        lines = [line for line in axes.lines if line.get_marker() not in ("", "None", None)]
        for line, row in zip(lines, comparison.of(f"p{place}"), strict=True):
            np.testing.assert_allclose(line.get_xdata(), np.linspace(0, 1, row.layers))
            np.testing.assert_allclose(line.get_ydata(), 100 * row.depth.means)
            assert line.is_dashed() == (row.model == "model1")
    shares = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() not in ("", "None", None)]
    np.testing.assert_allclose(shares, [40.0] * (models - 1))


def test_a_head_below_its_background_on_the_other_half_is_no_best_head():
    below = {"layer": 1, "head": 12, "share": 0.1, "bootstrap_low": 0.0, "bootstrap_high": 0.3, "background": 0.2}
    rows = [compared("one", 4, 0, {**below, "enrichment": 0.5}), compared("two", 4, 0, {**below, "enrichment": 1.5})]
    assert rows[0].measured.best is None
    assert rows[1].measured.best is not None
    table = best_head_table([(row.model, row.layers, row.measured, None) for row in rows])
    assert table["share"].isna().tolist() == [True, False]
    figure = draw_comparison(Comparison({"one": "one", "two": "two"}, 9, 0, None, rows), set(), "models")
    assert texts(figure).count("no head above its background") == 1


def test_what_is_named_is_no_mathematics():
    one = course(6, 2)
    named = replace(one, question=replace(one.question, label="cost $x_{1$"))
    figure = draw_depth([named], 6, "a $ and $x_{")
    check_texts(figure)
    assert "cost $x_{1$" in texts(figure)
