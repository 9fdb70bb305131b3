"""The command says what Python says, option for option, and refuses what Python refuses in one line."""

import io

import pandas as pd
import pytest

import attnstore
from attnstore import cli
from tests.queries.families import write_families
from tests.queries.test_clusters import FAMILIES, LENGTHS
from tests.synthetic import random_proteins

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("command") / "store"
    write_families(path, random_proteins(16, LENGTHS), FAMILIES)
    return path


@pytest.fixture
def run(store, capfd):
    """Standard output, standard error and exit status of `attnstore align STORE contact` with options."""

    def call(*options):
        with pytest.raises(SystemExit) as stop:
            cli.main(["align", str(store), "contact", *options])
        printed = capfd.readouterr()
        return printed.out, printed.err, stop.value.code

    return call


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (["--background", "none"], {"background": "none"}),
        (["--average", "macro"], {"average": "macro"}),
        (["--cluster-by", "family"], {"cluster_by": "family"}),
        (["--split", "--seed", "3"], {"split": True, "seed": 3}),
        (["--replicates", "0"], {"replicates": 0}),
        (["--rank-by", "share", "--min-proteins", "7"], {"rank_by": "share", "min_proteins": 7}),
        (["--replicates", "50", "--level", "0.8"], {"replicates": 50, "level": 0.8}),
        (["--threshold", "all"], {"threshold": None}),
        (
            ["--threshold", "all", "--replicates", "9", "--weighted"],
            {"threshold": None, "replicates": 9, "weighted": True},
        ),
        (["--threshold", "all", "--tier", "arcs", "--paper"], {"threshold": None, "tier": "arcs", "paper": True}),
    ],
    ids=str,
)
def test_options_are_those_of_python(store, run, options, asked):
    out, _, status = run(*options, "--format", "csv")
    assert status == 0
    expected = attnstore.open(store).align("contact", **asked).to_table()
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(out)), expected, check_dtype=False)


def test_the_work_may_be_spread_over_a_cluster(run):
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        spread = run("--scheduler", cluster.scheduler_address, "--format", "csv")
    assert spread[2] == 0
    assert spread[0] == run("--format", "csv")[0]


def test_a_curve_for_people_shows_some_thresholds_of_the_leading_heads(store, run, tmp_path):
    plot = tmp_path / "curve.svg"
    out, err, _ = run("--threshold", "all", "--min-arcs", "15", "--top", "2", "--plot", str(plot))
    lines = out.splitlines()
    assert lines[0] == "contact: share of arcs with α ≥ θ"
    assert lines[1] == "model random, 9 proteins, from codes: one pass answers all 205 thresholds"
    result = attnstore.open(store).align("contact", threshold=None, min_arcs=15)
    heads = lines[3].split()[2:]
    assert len(heads) == 2
    layer, head = (int(number) for number in heads[0].split("-"))
    above = result["ranked"] & (result["enrichment"] >= 1)
    bounds = result["wilson_low"].where(above).isel(threshold=slice(1, None))
    of_head = result.isel(layer=layer, head=head)
    assert bounds.isel(layer=layer, head=head).max() == bounds.max()
    rows = {row.split()[0]: row.split()[1] for row in lines[5:15]}
    assert rows["0.05"] == f"{of_head['share'].sel(threshold=0.05).item():.1%}"
    assert rows["0.9"] == "–"
    assert "10 of 205 thresholds" in out
    assert err == f"wrote {plot}\n"
    assert plot.read_bytes().startswith(b"<?xml")


def test_a_split_for_people_is_in_the_order_of_the_selection(store, run):
    common = ["--min-arcs", "5", "--min-proteins", "1", "--cluster-by", "family", "--background", "none"]
    out, _, _ = run("--split", "--seed", "3", "--threshold", "0.05", *common)
    lines = out.splitlines()
    asked = {"split": True, "seed": 3, "threshold": 0.05, "min_arcs": 5, "cluster_by": "family"}
    clusters = attnstore.open(store).align("contact", **asked).attrs["clusters"]
    assert f" in {clusters} clusters by family, from arcs" in lines[1]
    assert lines[3].split()[:5] == ["layer", "head", "rank", "ranked", "by"]
    ranks = [int(row.split()[2]) for row in lines[5 : lines.index("", 5)]]
    assert len(ranks) > 1
    assert ranks == sorted(ranks)
    assert any(line.startswith("Ranked by the lower bound of the interval in ") for line in lines)
    assert "95 % bootstrap over clusters" in lines[3]
    assert "  clusters  " in lines[3]


def test_a_macro_average_for_people_has_no_test(run):
    out, _, _ = run("--average", "macro", "--level", "0.9", "--min-arcs", "5")
    assert out.startswith("contact: mean share of arcs with α ≥ 0.3\n")
    assert "90 % bootstrap over proteins" in out
    assert "log10 p" not in out
    assert "independent" not in out


def test_without_a_bootstrap_people_are_told_what_the_interval_takes_for_granted(run):
    out, _, _ = run("--replicates", "0", "--min-arcs", "5", "--background", "none")
    assert "background" not in out
    assert "enrichment" not in out
    assert "95 % Wilson" in out
    assert out.rstrip().endswith(
        "Wilson's interval assumes independent arcs, but arcs of one protein are not independent."
    )


def test_the_papers_form_names_both_intervals(run):
    out, _, _ = run("--paper", "--threshold", "0.05", "--min-arcs", "5")
    heading = out.splitlines()[3]
    assert "95 % bootstrap over proteins" in heading
    assert "Wald, 0.05/m" in heading
    assert "log10 p (z-test)" in heading
    assert "Ranked by share." in out


def test_heads_below_their_background_are_counted_rather_than_shown(store, run):
    out, _, _ = run("--threshold", "0.05", "--min-arcs", "5", "--top", "6", "--where", "separation >= 6")
    result = attnstore.open(store).align("contact", where="separation >= 6", threshold=0.05, min_arcs=5)
    below = int((result["enrichment"] < 1).sum())
    assert 0 < below < 6
    assert f"{below} ranked heads have a share below their background and are not shown." in out
    assert f"{6 - below} of 6 ranked heads" in out
    nothing, _, _ = run("--threshold", "0.05", "--min-arcs", "5")
    assert (attnstore.open(store).align("contact", threshold=0.05, min_arcs=5)["enrichment"] < 1).all()
    assert "No ranked head has a share above its background; the other formats list them." in nothing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "--threshold", "all"], "curve over all thresholds"),
        (["--average", "macro", "--paper"], "paper's form"),
        (["--cluster-by", "famly"], "did you mean family?"),
        (["--cluster-by", "family", "--replicates", "0"], "there is none"),
        (["--threshold", "all", "--tier", "marginals"], "marginals know no threshold"),
        (["--level", "2"], "--level 2.0 between 0 and 1"),
        (["--scheduler", "nowhere"], "the scheduler nowhere cannot be reached"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_one_line(run, options, message):
    out, err, status = run(*options)
    assert (out, status) == ("", 1)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_a_threshold_that_is_no_number_is_named(run):
    _, err, status = run("--threshold", "some")
    assert status == 2
    assert "'some' is neither a number from 0 to 1" in err
