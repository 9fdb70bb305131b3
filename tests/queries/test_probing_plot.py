"""The figure of probes read back from its artists, and ``attnstore probe``."""

import io
import itertools
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer

import attnstore
from attnstore.cli.probe import probe as command
from attnstore.errors import QueryError
from attnstore.queries.probe.probe import probe
from tests.synthetic import KEEP, random_proteins, write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("probing") / "store"
    write_store(path, random_proteins(2, [30] * 16, layers=3, heads=2), per_segment=6, keep=(*KEEP, "hidden"))
    return attnstore.open(path)


@pytest.fixture(scope="module")
def result(store):
    return probe(store, "contact", test_share=0.4, replicates=50, level=0.9)


def test_curves_and_bars_are_the_results(result):
    figure = result.plot()
    scores, steps = figure.axes
    curves = {line.get_label(): line.get_xydata() for line in scores.lines}
    for name, label, first in (("embeddings", "embedding probe", -1), ("attention", "attention probe", 0)):
        expected = 100 * result["score"].sel(probe=name, layer=slice(first, None)).to_numpy()
        np.testing.assert_allclose(curves[label], np.column_stack([range(first, 3), expected]))
    [chance] = [data for label, data in curves.items() if label.startswith("random order")]
    assert set(chance[:, 1]) == {100 * result.attrs["chance"]}
    bars = [bar for bars in steps.containers if isinstance(bars, BarContainer) for bar in bars.patches]
    expected = 100 * result["difference"].to_numpy()
    np.testing.assert_allclose([bar.get_height() for bar in bars], expected[np.isfinite(expected)])
    middles = [bar.get_x() + bar.get_width() / 2 for bar in bars]
    np.testing.assert_allclose(np.round(middles), [0, 1, 2, 1, 2])
    bands = [collection.get_paths()[0].vertices[:, 1] for collection in scores.collections]
    for name, band in zip(("embeddings", "attention"), bands, strict=True):
        own = result.sel(probe=name).dropna("layer", subset=["score"])
        assert {round(float(y), 6) for y in band} == {round(100 * float(y), 6) for y in (*own["low"], *own["high"])}


@pytest.mark.parametrize(("one_based", "labels"), [(False, ["in", "0", "1", "2"]), (True, ["in", "1", "2", "3"])])
def test_layers_are_labelled_as_asked(result, one_based, labels):
    figure = result.plot(title="$x$ and more", one_based=one_based)
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == labels
    assert figure.axes[1].get_xlabel() == f"layer (counts from {int(one_based)})"
    assert figure.texts[0].get_text() == "$x$ and more"


@pytest.mark.parametrize("layers", [1, 6, 12, 33, 80])
def test_texts_do_not_overlap(result, layers):
    rng = np.random.default_rng(layers)
    wide = result.isel(layer=0).expand_dims(layer=np.arange(-1, layers)).transpose("probe", "layer", "protein")
    for name, scale in (("score", 1.0), ("difference", 0.2)):
        values = np.sort(rng.random((3, 2, layers + 1)) * scale, axis=0)
        for column, own in zip((f"{name}_low", name, f"{name}_high"), values, strict=True):
            wide[column.removeprefix("score_")] = (("probe", "layer"), own)
    wide.attrs |= {"condition": "ss4 = 'helix' AND rsa < 0.2 " * 12, "cluster_by": "a_long_column_of_clusters"}
    figure = wide.plot()
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.texts]
    boxes += [axes.get_tightbbox(renderer) for axes in figure.axes]
    boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
    for number, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0
        assert not any(box.overlaps(other) for other in boxes[:number])
    ticks = [text.get_window_extent(renderer) for text in figure.axes[1].get_xticklabels() if text.get_text()]
    assert not any(one.overlaps(other) for one, other in itertools.pairwise(ticks))


def test_what_is_no_probing_is_not_drawn(result):
    with pytest.raises(QueryError, match="no 'low' by probe and layer"):
        result.drop_vars("low").plot()


def test_a_table_has_a_row_for_each_probe_and_layer(result):
    table = result.to_table()
    assert list(zip(table["probe"], table["layer"], strict=True)) == [
        *(("embeddings", layer) for layer in range(-1, 3)),
        *(("attention", layer) for layer in range(3)),
    ]
    for row in table.itertuples():
        cell = result.sel(probe=row.probe, layer=row.layer)
        assert (row.score, row.low) == (float(cell["score"]), float(cell["low"]))
    assert pickle.loads(pickle.dumps(result)).identical(result)


# --- the command ---


def run(*arguments, status=0):
    done = CliRunner().invoke(command, list(map(str, arguments)))
    assert done.exit_code == status, done.output
    return done


OPTIONS = [
    ([], {}),
    (["--sources", "attention", "--seed", 3, "--test-share", 0.5],
     {"sources": ("attention",), "seed": 3, "test_share": 0.5}),
    (["--metric", "f1", "--balanced", "--examples", 200, "--level", 0.5, "--replicates", 9],
     {"metric": "f1", "balanced": True, "examples": 200, "level": 0.5, "replicates": 9}),
    (["--cluster-by", "structure", "--model", "random"], {"cluster_by": "structure", "model": "random"}),
]  # fmt: skip
READERS = {"csv": pd.read_csv, "json": lambda file: pd.DataFrame(json.load(file)), "parquet": pd.read_parquet}


@pytest.mark.parametrize(("arguments", "options"), OPTIONS)
def test_the_command_says_what_python_does(store, arguments, options):
    expected = probe(store, "contact", **options).to_table()
    for form, read in READERS.items():
        found = read(io.BytesIO(run(store.path, "contact", *arguments, "--format", form).stdout_bytes))
        # Few clusters are tested on, and have no interval: JSON has null for it.
        pd.testing.assert_frame_equal(found.astype(expected.dtypes), expected)


def test_people_read_layers_side_by_side(store, result, tmp_path):
    figure = tmp_path / "probe.svg"
    done = run(store.path, "contact", "--test-share", 0.4, "--replicates", 50, "--level", 0.9, "--plot", figure)
    lines = done.stdout.splitlines()
    assert lines[0] == "contact: precision of the best L/5 pairs of a linear probe, by layer"
    [last] = [line for line in lines if line.startswith("2 ")]
    for name in ("embeddings", "attention"):
        cell = result.sel(probe=name, layer=2)
        assert f"{float(cell['score']):.1%}" in last
        assert f"{float(cell['low']):.1%} – {float(cell['high']):.1%}" in last
        assert f"{100 * float(cell['difference']):+.1f}" in last
    [first] = [line for line in lines if line.startswith("in ")]
    assert first.count("%") == 3
    assert first.endswith("–")
    counts = result.attrs
    assert f"Tested on {counts['test_proteins']} proteins in {counts['test_clusters']} clusters" in done.stdout
    assert f"Chance (a random order): {counts['chance']:.1%}" in done.stdout
    assert figure.read_bytes().startswith(b"<?xml")
    assert f"wrote {figure}" in done.stderr
    drawn = run(store.path, "contact", "--test-share", 0.4, "--examples", 100, "--replicates", 2, "--metric", "f1")
    assert "(100 of them drawn)" in drawn.stdout
    assert "calling everything true" in drawn.stdout


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["contact", "--plot", "probe.doc"], QueryError, "names no kind of figure"),
        (["contact", "--sources", "codes"], QueryError, "sources are embeddings, attention"),
        (["nothing"], QueryError, "cannot be answered"),
    ],
)
def test_the_command_refuses(store, arguments, error, message):
    done = CliRunner().invoke(command, [str(store.path), *arguments])
    assert isinstance(done.exception, error)
    assert message in str(done.exception)


def test_the_command_checks_its_options(store):
    assert "Invalid value for '--metric'" in run(store.path, "contact", "--metric", "auc", status=2).output
    assert "Invalid value for '--seed'" in run(store.path, "contact", "--seed", -1, status=2).output
