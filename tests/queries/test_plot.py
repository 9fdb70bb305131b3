"""The figure is read back: from its artists, from the boxes of its text, and from the files written."""

from __future__ import annotations

import itertools
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from attnstore.errors import QueryError
from attnstore.queries.figure import save_figure
from attnstore.queries.heads_plot import plot_heads

SHAPES = [(1, 1), (6, 20), (8, 8), (30, 16), (12, 64), (30, 64), (96, 3)]


def result(
    layers: int, heads: int, *, hidden: float = 0.2, kind: str = "eligible", background: float = 0.05
) -> xr.Dataset:
    rng = np.random.default_rng(layers * 1000 + heads)
    shape = (layers, heads)
    share = 0.9 * rng.beta(1.2, 12, shape)
    ranked = rng.random(shape) >= hidden
    spread = rng.uniform(0.01, 0.05, shape)
    backgrounds = np.full(shape, background)
    if kind == "separation":
        backgrounds = np.minimum(background * (1 + rng.random(shape)), 1)
    values = {
        "share": share,
        "ranked": ranked,
        # Not in the order of the shares.
        "rank": np.where(ranked, 1 + rng.permutation(share.size).reshape(shape), 0),
        "background": backgrounds,
        "bootstrap_low": np.maximum(share - spread, 0),
        "bootstrap_high": share + 1.5 * spread,
    }
    return xr.Dataset(
        {name: (("layer", "head"), array) for name, array in values.items()},
        attrs={
            "predicate": "contact",
            "where": "separation >= 6",
            "threshold": 0.3,
            "model": "esm2_t6_8M_UR50D",
            "form": "count",
            "background": kind,
            "min_arcs": 100,
            "proteins": 1234,
        },
    )


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def panels(figure: Figure) -> tuple[Any, Any]:
    heat, bars = figure.axes[:2]
    return heat, bars


def boxes(figure: Figure) -> list[tuple[str, Any]]:
    """Every text that is drawn, with its box in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    found = []
    for axes in figure.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            low, high = sorted(limits)
            # Ticks beyond the limits exist, and are not drawn.
            for tick in axis.get_major_ticks():
                label = tick.label1
                tick_text = label.get_text()
                if label.get_visible() and tick_text and low <= tick.get_loc() <= high:
                    found.append((tick_text, label.get_window_extent(renderer)))
            if axis.label.get_text():
                found.append((axis.label.get_text(), axis.label.get_window_extent(renderer)))
        found += [(text.get_text(), text.get_window_extent(renderer)) for text in axes.texts]
    others = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    return found + [(text.get_text(), text.get_window_extent(renderer)) for text in others if text.get_text()]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("background", [0.01, 0.3, 0.9])
def test_no_text_overlaps_another_or_leaves_the_figure(shape: tuple[int, int], background: float) -> None:
    data = result(*shape, kind="separation", background=background)
    data.attrs["predicate"] = "to.aa IN ('A', 'V', 'L') AND from.ss = 'H' AND " * 4 + "contact"
    data.attrs["min_proteins"] = 5
    figure = plot_heads(data)
    drawn = boxes(figure)
    assert len(drawn) > 8
    for text, box in drawn:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
    for (one, a), (other, b) in itertools.combinations(drawn, 2):
        apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
        assert apart, (one, other)


def test_a_figure_of_seven_by_four_inches_has_room() -> None:
    figure = Figure(figsize=(7, 4))
    assert plot_heads(result(30, 16, kind="separation"), figure=figure) is figure
    assert tuple(figure.get_size_inches()) == (7, 4)
    drawn = boxes(figure)
    assert all(box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1 and box.x0 >= 0 for _, box in drawn)
    for (one, a), (other, b) in itertools.combinations(drawn, 2):
        assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0, (one, other)


def test_heat_map_shows_the_ranked_shares_in_percent() -> None:
    data = result(5, 7)
    heat, bars = panels(plot_heads(data))
    (mesh,) = heat.findobj(QuadMesh)
    ranked = data.ranked.to_numpy()
    np.testing.assert_array_equal(np.ma.getmaskarray(mesh.get_array()), ~ranked)
    np.testing.assert_allclose(mesh.get_array()[ranked], 100 * data.share.to_numpy()[ranked])
    assert mesh.get_clim() == (0.0, pytest.approx(100 * data.share.to_numpy()[ranked].max()))
    # Nothing is light and much is dark, in print as on a screen.
    light, dark = (sum(mesh.cmap(mesh.norm(value))[:3]) for value in mesh.get_clim())
    assert light > 2.5 > 1.0 > dark
    assert heat.get_ylim() == bars.get_ylim() == (4.5, -0.5)
    assert heat.get_position().y0 == bars.get_position().y0
    assert heat.get_position().y1 == bars.get_position().y1


def test_absolute_colours_are_the_same_shares_in_every_figure() -> None:
    one, other = result(5, 7), result(6, 20)
    other["share"] = other.share * 0.1
    meshes = []
    for data in (one, other):
        figure = plot_heads(data, absolute=True)
        (mesh,) = panels(figure)[0].findobj(QuadMesh)
        meshes.append(mesh)
        assert mesh.get_clim() == (0.0, 100.0)
        assert [t for t in figure.axes[2].get_xticks() if 0 <= t <= 100] == [0, 1, 5, 10, 25, 50, 100]
        for (first, a), (second, b) in itertools.combinations(boxes(figure), 2):
            assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0, (first, second)
    for share in (0.0, 0.5, 3.0, 40.0, 100.0):
        assert to_hex(meshes[0].cmap(meshes[0].norm(share))) == to_hex(meshes[1].cmap(meshes[1].norm(share)))
    assert to_hex(meshes[0].cmap(meshes[0].norm(0.0))) == "#ffffff"
    lightness = [sum(meshes[0].cmap(meshes[0].norm(share))[:3]) for share in (0, 1, 10, 50, 100)]
    assert lightness == sorted(lightness, reverse=True)


def test_hatch_covers_just_the_unranked_heads() -> None:
    data = result(5, 7)
    heat, _ = panels(plot_heads(data))
    (patch,) = heat.patches
    assert patch.get_hatch()
    inside = [[patch.get_path().contains_point((head, layer)) for head in range(7)] for layer in range(5)]
    np.testing.assert_array_equal(inside, ~data.ranked.to_numpy())
    full, _ = panels(plot_heads(result(5, 7, hidden=0)))
    assert not full.patches


def test_bars_are_the_first_ranked_heads_share_with_its_own_interval() -> None:
    data = result(6, 20)
    data["ranked"][2] = False
    data["share"][1, 3] = 0.99  # the largest of all, and not ranked
    data["ranked"][1, 3] = False
    data["rank"][1, 3] = 0
    data["bootstrap_low"][4] = np.nan
    _, bars = panels(plot_heads(data, one_based=True))
    heights = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in bars.patches}
    (errors,) = bars.findobj(LineCollection)
    intervals = {round(segment[0][1]): (segment[0][0], segment[1][0]) for segment in errors.get_segments()}
    assert set(heights) == {0, 1, 3, 4, 5}
    assert set(intervals) == {0, 1, 3, 5}
    for layer, width in heights.items():
        allowed = [h for h in range(20) if data.ranked[layer, h]]
        best = min(allowed, key=lambda h: int(data["rank"][layer, h]))
        assert width == pytest.approx(100 * float(data.share[layer, best]))
        assert str(best + 1) in [t.get_text() for t in bars.texts if t.get_position()[1] == layer]
        if layer in intervals:
            expected = [100 * float(data[f"bootstrap_{end}"][layer, best]) for end in ("low", "high")]
            assert intervals[layer] == pytest.approx(expected)


def test_the_bar_of_a_share_below_its_background_is_pale() -> None:
    data = result(4, 5, hidden=0)
    data["background"][:] = 0.3
    data["share"][:] = 0.2
    data["share"][1] = 0.4
    _, bars = panels(plot_heads(data))
    colours = {round(bar.get_y() + bar.get_height() / 2): to_hex(bar.get_facecolor()) for bar in bars.patches}
    assert len({colours[0], colours[2], colours[3]}) == 1
    assert colours[1] != colours[0]
    # The paper's form has no such rule.
    _, bars = panels(plot_heads(data.assign(wald_low=data["bootstrap_low"])))
    assert len({to_hex(bar.get_facecolor()) for bar in bars.patches}) == 1


def background_line(figure: Figure) -> float | None:
    _, bars = panels(figure)
    dashed = [line for line in bars.lines if line.is_dashed()]
    assert len(dashed) <= 1
    return dashed[0].get_xdata()[0] if dashed else None


def test_background_is_drawn_and_stated() -> None:
    figure = plot_heads(result(6, 20, background=0.0432))
    assert background_line(figure) == pytest.approx(4.32)
    assert "background 4.32 %\nall eligible pairs" in texts(figure)


def test_background_that_varies_is_the_median_over_ranked_heads_and_says_so() -> None:
    data = result(6, 20, kind="separation")
    data["background"] = data.background.where(data.ranked, 0.99)
    figure = plot_heads(data)
    median = 100 * float(np.median(data.background.to_numpy()[data.ranked.to_numpy()]))
    assert background_line(figure) == pytest.approx(median)
    assert f"background {median:.3g} %, median of heads\nmatched by separation" in texts(figure)


def test_background_line_is_within_the_axis_even_if_no_share_reaches_it() -> None:
    figure = plot_heads(result(6, 20, background=0.97))
    _, bars = panels(figure)
    assert 97 < bars.get_xlim()[1] <= 101


def test_undefined_background_is_stated() -> None:
    data = result(3, 3)
    data["background"] = data.background * np.nan
    figure = plot_heads(data)
    assert background_line(figure) is None
    assert any("background undefined" in text for text in texts(figure))


def test_notes() -> None:
    data = result(6, 20)
    hidden = int((~data.ranked).sum())
    assert f"fewer than 100 arcs: {hidden} of 120 heads" in texts(plot_heads(data))
    assert "95 % bootstrap over 1,234 proteins" in texts(plot_heads(data))
    data["wald_low"] = data.share
    data.attrs["level"] = 0.9
    assert f"100 arcs or fewer: {hidden} of 120 heads" in texts(plot_heads(data))
    assert "90 % bootstrap over 1,234 proteins" in texts(plot_heads(data))
    assert not any("arcs or fewer" in text for text in texts(plot_heads(result(6, 20, hidden=0))))


def test_form_is_stated() -> None:
    data = result(3, 3)
    assert "share of arcs with the property (%)" in texts(plot_heads(data))
    data.attrs["form"] = "weighted"
    assert "share of attention weight with the property (%)" in texts(plot_heads(data))


def test_titles() -> None:
    data = result(6, 20)
    assert "contact where separation >= 6\nesm2_t6_8M_UR50D, attention ≥ 0.3" in texts(plot_heads(data))
    data.attrs["where"] = None
    assert "contact\nesm2_t6_8M_UR50D, attention ≥ 0.3" in texts(plot_heads(data))
    with_title, without = plot_heads(data), plot_heads(data, title="")
    assert without.get_figheight() < with_title.get_figheight()


@pytest.mark.parametrize("hidden", ["unranked", "nan"])
def test_nothing_ranked(hidden: str, tmp_path: pathlib.Path) -> None:
    data = result(4, 5)
    if hidden == "unranked":
        data["ranked"] = data.ranked & False
    else:
        data["share"] = data.share * np.nan
        data["background"] = data.background * np.nan
    figure = plot_heads(data)
    _, bars = panels(figure)
    assert not bars.patches
    assert "no head is ranked" in texts(figure)
    assert "fewer than 100 arcs: all heads" in texts(figure)
    assert len(figure.axes) == 2  # no scale of colours that nothing has
    save_figure(figure, tmp_path / "empty.png")


def test_shares_of_zero_draw() -> None:
    data = result(4, 5, hidden=0, background=0.0)
    for name in ("share", "bootstrap_low", "bootstrap_high"):
        data[name] = data[name] * 0
    heat, bars = panels(plot_heads(data))
    assert [bar.get_width() for bar in bars.patches] == [0.0] * 4
    assert bars.get_xlim()[1] > 0
    (mesh,) = heat.findobj(QuadMesh)
    assert to_hex(mesh.cmap(mesh.norm(0.0))) == to_hex(mesh.cmap(0.0))


def tick_labels(axis: Any) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def test_layers_and_heads_are_numbered() -> None:
    data = result(6, 20)
    heat, _ = panels(plot_heads(data))
    assert tick_labels(heat.yaxis) == [str(n) for n in range(6)]
    heat, _ = panels(plot_heads(data, one_based=True))
    assert tick_labels(heat.yaxis) == [str(n) for n in range(1, 7)]
    numbered = data.assign_coords(layer=np.arange(6), head=np.arange(20)).isel(layer=[1, 4, 5])
    heat, _ = panels(plot_heads(numbered, one_based=True))
    assert tick_labels(heat.yaxis) == ["2", "5", "6"]
    heat, _ = panels(plot_heads(result(12, 64)))
    assert tick_labels(heat.xaxis) == [str(n) for n in range(0, 64, 2)]


def test_order_of_dimensions_does_not_matter() -> None:
    data = result(3, 8)
    one, other = (panels(plot_heads(d))[0].findobj(QuadMesh)[0] for d in (data, data.transpose()))
    np.testing.assert_array_equal(one.get_array(), other.get_array())


def test_a_dataset_that_is_no_result_is_refused() -> None:
    for name in ("share", "ranked", "background", "bootstrap_high"):
        with pytest.raises(QueryError, match=f"'{name}'"):
            plot_heads(result(3, 3).drop_vars(name))
    with pytest.raises(QueryError, match="wilson_low"):
        plot_heads(result(3, 3).drop_vars(["bootstrap_low", "bootstrap_high"]))


def test_without_a_bootstrap_the_interval_is_wilsons_and_says_so() -> None:
    data = result(4, 5, hidden=0)
    renamed = data.rename({"bootstrap_low": "wilson_low", "bootstrap_high": "wilson_high"})
    assert "95 % Wilson interval" in texts(plot_heads(renamed))
    one, other = (panels(plot_heads(each))[1].findobj(LineCollection)[0] for each in (data, renamed))
    np.testing.assert_array_equal(one.get_segments(), other.get_segments())
    nowhere = renamed.assign(wilson_low=renamed.wilson_low * np.nan, wilson_high=renamed.wilson_high * np.nan)
    assert not any("interval" in text for text in texts(plot_heads(nowhere)))


def test_clusters_are_named_where_the_bootstrap_drew_them() -> None:
    data = result(4, 5)
    data.attrs |= {"cluster_by": "family", "clusters": 57}
    assert "95 % bootstrap over 57 clusters by family" in texts(plot_heads(data))


def test_without_a_background_there_is_no_line_and_no_word_of_it() -> None:
    figure = plot_heads(result(4, 5, kind="none").drop_vars("background"))
    assert background_line(figure) is None
    assert not any("background" in text for text in texts(figure))


def test_bars_of_a_split_are_of_the_heads_that_led_the_other_half() -> None:
    data = result(3, 6, hidden=0)
    rank = np.random.default_rng(5).permutation(18).reshape(3, 6) + 1
    data["selection_rank"] = (("layer", "head"), rank)
    _, bars = panels(plot_heads(data))
    assert bars.get_xlabel() == "held-out share of the best head (%)"
    best = rank.argmin(axis=1)
    assert list(best) != list(data.share.to_numpy().argmax(axis=1))
    widths = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in bars.patches}
    for layer, head in enumerate(best):
        assert widths[layer] == pytest.approx(100 * float(data.share[layer, head]))
    data["ranked"][0, 0] = False
    assert any("in a half" in text for text in texts(plot_heads(data)))


def test_a_threshold_picked_out_of_a_curve_is_named() -> None:
    data = result(3, 3).assign_coords(threshold=0.05)
    del data.attrs["threshold"]
    assert any("attention ≥ 0.05" in text for text in texts(plot_heads(data)))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_files_are_what_they_claim_and_equal_each_time(suffix: str, tmp_path: pathlib.Path) -> None:
    before = dict(mpl.rcParams)
    contents = []
    for n in range(2):
        path = tmp_path / f"{n}{suffix}"
        save_figure(plot_heads(result(6, 20)), path)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    start = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[suffix.lower()]
    assert contents[0].startswith(start)
    assert b"Date" not in contents[0]
    assert dict(mpl.rcParams) == before


def test_png_has_at_least_200_dots_per_inch(tmp_path: pathlib.Path) -> None:
    figure = plot_heads(result(6, 20))
    save_figure(figure, tmp_path / "a.png")
    header = (tmp_path / "a.png").read_bytes()[16:24]
    assert int.from_bytes(header[:4], "big") >= 200 * figure.get_figwidth()


def test_svg_keeps_text_as_text(tmp_path: pathlib.Path) -> None:
    save_figure(plot_heads(result(6, 20), title="contact costs $5 or $6"), str(tmp_path / "a.svg"))
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    written = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "share of the layer's best head (%)" in written
    assert "contact costs $5 or $6" in written  # dollar signs do not make it mathematics


@pytest.mark.parametrize("name", ["a.jpg", "a", "png"])
def test_other_suffixes_are_refused(name: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(QueryError, match=r"\.png, \.svg, \.pdf"):
        save_figure(plot_heads(result(2, 2)), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_pyplot_is_not_loaded() -> None:
    code = "import sys, attnstore.queries.heads_plot; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
