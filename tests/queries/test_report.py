"""The report says what the engine says: its page is read back, and each of its lines asked again."""

import json
import re
import shlex
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import attnstore
from attnstore import cli
from attnstore.cli.report import report as command
from attnstore.errors import QueryError
from attnstore.queries.report import report as module
from attnstore.queries.report.questions import ask_of
from tests.queries.report_stores import HOSTILE, write_two
from tests.synthetic import random_proteins, write_store

#: Fewer than the default, for the sake of small stores.
FEW = {"min_arcs": 12, "min_proteins": 2, "replicates": 40}
#: The same of the paper's form, which has no minimum of proteins.
PAPER = {"paper": True, "min_arcs": 12, "replicates": 40}
SHOWN = ["contact", "binding_site", "kind", "aa"]


@pytest.fixture
def undrawn(monkeypatch):
    """Empty files in the place of pictures, where the question is which there are."""

    def write(picture, directory):
        path = directory / "figures" / f"{picture.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.with_suffix(".svg").write_text("<svg/>")
        return path

    monkeypatch.setattr(module, "write_picture", write)


@dataclass
class Page(HTMLParser):
    """The elements, texts, table cells and lines of code of a page."""

    text: str
    tags: list = field(default_factory=list)
    words: list = field(default_factory=list)
    codes: list = field(default_factory=list)
    tables: dict = field(default_factory=dict)

    def __post_init__(self):
        super().__init__()
        self.place, self.inside = "", []
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.inside.append(tag)
        if tag in ("article", "section") and "id" in attributes:
            self.place = attributes["id"]
        if tag == "tr":
            self.tables.setdefault(self.place, []).append([])
        if tag in ("td", "th"):
            self.tables[self.place][-1].append([attributes.get("data-value"), ""])
        if tag == "code":
            self.codes.append("")

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        self.words.append(data)
        if "code" in self.inside:
            self.codes[-1] += data
        elif self.inside and self.inside[-1] in ("td", "th"):
            self.tables[self.place][-1][-1][1] += data


@pytest.fixture(scope="module", autouse=True)
def coarse():
    """Pictures of fewer dots, which nobody looks at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("attnstore.queries.figure._DPI", 40)
        yield


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A store of two models, the proteins under each, the residues' values, and its report."""
    folder = tmp_path_factory.mktemp("report")
    path = folder / "store.attn"
    proteins, others, given = write_two(path)
    store = attnstore.open(path)
    done = module.report(store, folder / "out", properties=SHOWN, paper=True, **FEW)
    return store, proteins, others, given, done


@pytest.fixture(scope="module")
def page(two):
    return Page(two[-1].page.read_text())


def test_asks_of_all_that_there_is(two):
    store, *_ = two
    questions, missing = ask_of(store)
    keys = [question.key for question in questions]
    assert keys[:7] == ["contact", "pair-bond", "binding_site", "ss4-helix", "ss4-strand", "ss4-turn", "hydrophobic"]
    assert {"kind-plain", "kind-script-alert-x-1-script", "select", "polar", "aromatic"} < set(keys)
    assert {key for key in keys if key.startswith("aa-")} == {f"aa-{letter}" for letter in "ACDEFGHIKLMNPQRSTVWY"}
    told = {one.what: one.reason for one in missing}
    assert told["never"] == "it is TRUE nowhere"
    assert told["many"] == "a category of 12 values: properties=['many'] asks for each"
    (condition,) = re.findall(r"^a number: ask for a condition, such as `store\.align\('(.*)'\)`$", told["number"])
    assert store.align(condition, model="trained", replicates=0)["background"].max() > 0  # true of some pairs


def test_every_question_is_one_to_the_engine(two):
    store, _, _, given, _ = two
    for question in ask_of(store)[0]:
        result = store.align(question.predicate, where=question.where, model="trained", replicates=0)
        if question.key in ("select", "binding_site"):
            lengths = [len(values) for values in given[question.key]]
            pairs = sum(n * values.count(True) for n, values in zip(lengths, given[question.key], strict=True))
            known = sum(n * (n - values.count(None)) for n, values in zip(lengths, given[question.key], strict=True))
            np.testing.assert_allclose(result["background"], pairs / known)
        assert result["count"].sum() > 0


def test_a_named_category_is_asked_for_whole(two):
    questions, missing = ask_of(two[0], ["many", "aa"])
    assert [question.predicate for question in questions[:2]] == ["target.many = 'value 0'", "target.many = 'value 1'"]
    assert len(questions) == 12 + 20
    assert not missing


@pytest.mark.parametrize("model", ["trained", "chance"])
@pytest.mark.parametrize(
    ("key", "predicate", "where"),
    [
        ("contact", "contact", "separation >= 6"),
        ("binding_site", "target.binding_site", None),
        ("kind-script-alert-x-1-script", "target.kind = '" + HOSTILE.replace("'", "''") + "'", None),
    ],
)
def test_tables_are_the_engines(two, model, key, predicate, where):
    store, *_, done = two
    for kind, options in (
        ("heads", {"where": where}),
        ("held-out", {"where": where, "split": True}),
        ("paper", PAPER),
    ):
        expected = store.align(predicate, model=model, **(options if kind == "paper" else FEW | options)).to_table()
        pd.testing.assert_frame_equal(done.tables[f"{model}/{kind}-{key}"], expected)


def test_the_pages_numbers_are_the_engines(two, page):
    store, *_ = two
    for number, model in enumerate(("chance", "trained")):
        for key, predicate, where in (
            ("contact", "contact", "separation >= 6"),
            ("binding_site", "target.binding_site", None),
        ):
            rows = page.tables[f"model-{number}-{key}"]
            held_out = store.align(predicate, where=where, model=model, split=True, **FEW).to_table()
            paper = store.align(predicate, model=model, **PAPER).to_table()
            starts = [at for at, row in enumerate(rows) if row[0][1] == "head"]
            assert len(starts) == 2
            rest = ["clusters", "background", "enrichment"]
            for at, frame, names in (
                (starts[0], held_out, ["selection_lower", "share", None, "count", "total", *rest]),
                (starts[1], paper, [None, "share", None, None, "count", "total", *rest]),
            ):
                best = frame[frame["ranked"]].head(10)
                shown = rows[at + 1 : at + 1 + len(best)]
                assert [row[0][1] for row in shown] == [
                    f"{a}-{b}" for a, b in zip(best["layer"], best["head"], strict=True)
                ]
                for column, name in enumerate(names, start=1):
                    if name is not None:
                        values = [np.nan if row[column][0] is None else float(row[column][0]) for row in shown]
                        np.testing.assert_array_equal(values, best[name].astype(float))
                        if name == "share":
                            assert [row[column][1] for row in shown] == [f"{value:.1%}" for value in values]


def test_layers_and_heads_of_the_paper_count_from_one(page):
    rows = page.tables["model-1-contact"]
    start = next(at for at, row in enumerate(rows) if len(row) > 1 and row[1][1] == "in the paper's count")
    for row in rows[start + 1 :]:
        mine, theirs = ([int(part) for part in cell[1].split("-")] for cell in row[:2])
        assert theirs == [number + 1 for number in mine]


def test_every_line_of_code_can_be_asked_again(two, page):
    store, *_, done = two
    python = [code for code in page.codes if code.startswith("attnstore.open")]
    shell = [code for code in page.codes if code.startswith("attnstore ")]
    assert len(python) == len(shell) > 100
    tables = {}
    for name, frame in done.tables.items():
        for line in pd.read_parquet(done.page.parent / "tables" / f"{name}.parquet").attrs["asked"]:
            if name.rpartition("/")[2].startswith(("heads-", "held-out-", "paper-")):
                tables[line] = frame
    asked = sorted(set(python) & set(tables))
    for line in asked[:: len(asked) // 12]:
        again = eval(line, {"attnstore": attnstore})
        pd.testing.assert_frame_equal(again.to_table(), tables[line])
    context = cli.cli
    for line in sorted(set(shell)):
        words = shlex.split(line)
        parsed = context.commands[words[1]].make_context(words[1], words[2:])
        assert parsed.params["store"] == store.path


def test_a_shell_line_says_what_the_python_line_says(two, page, capfd):
    *_, done = two
    line = next(
        code for code in page.codes if code.startswith("attnstore align") and "--split" in code and "contact" in code
    )
    with pytest.raises(SystemExit):
        cli.main([*shlex.split(line)[1:], "--format", "json"])
    said = json.loads(capfd.readouterr().out)
    frame = done.tables["chance/held-out-contact"]
    assert [row["share"] for row in said] == [None if share != share else share for share in frame["share"]]


def test_the_page_asks_for_nothing_else(two, page):
    *_, done = two
    text = done.page.read_text()
    identifiers = {attributes.get("id") for _, attributes in page.tags}
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "form", "video", "audio")
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "srcset", "poster", "data", "background"):
            assert attributes.get(name, "data:image/svg+xml;base64,").startswith("data:image/svg+xml;base64,")
        target = attributes.get("href", "#reading")
        if target.startswith("#"):
            assert target[1:] in identifiers
        else:
            assert (done.page.parent / target).is_file()
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in text


def test_what_the_store_names_is_escaped(page):
    text = "".join(page.words)
    assert HOSTILE in text
    assert "in a site & <b>bold</b>" in text
    assert not [tag for tag, _ in page.tags if tag == "script"]
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_each_figure_and_table_is_a_file(two):
    *_, done = two
    folder = done.page.parent
    figures = [folder / "figures" / f"{name}{ending}" for name in done.figures for ending in (".png", ".svg")]
    assert list(done.figures.values()) == figures[::2]
    assert sorted(figures) == sorted(path for path in (folder / "figures").rglob("*") if path.is_file())
    for name, frame in done.tables.items():
        parquet = pd.read_parquet(folder / "tables" / f"{name}.parquet")
        pd.testing.assert_frame_equal(parquet, frame, check_dtype=False)
        written = pd.read_csv(folder / "tables" / f"{name}.csv")
        pd.testing.assert_frame_equal(written, frame, check_dtype=False)
    assert {
        "trained/heads-contact",
        "trained/amino-acids",
        "chance/similarity",
        "trained/depth-paper",
        "comparison",
    } <= set(done.tables)


def test_a_random_model_says_so(page):
    text = "".join(page.words)
    assert "chance (random weights, seed 3)" in text
    assert "Its weights are random: what it shows is chance." in text
    assert "trained (" not in text


def test_models_are_compared_on_the_proteins_that_both_hold(two, tmp_path):
    _, proteins, others, _, done = two
    assert done.comparison.proteins == len(others)
    assert done.comparison.among == "protein.id NOT IN ('p0', 'p1')"
    # The halves and the bootstrap go by a protein's id, so that a store of the shared ones alone answers alike.
    shared = tmp_path / "shared"
    write_store(shared, proteins[2:], name="trained")
    annotate_like(shared, proteins)
    store = attnstore.open(shared)
    for key, predicate, where in (
        ("contact", "contact", "separation >= 6"),
        ("binding_site", "target.binding_site", None),
    ):
        row = next(row for row in done.comparison.of(key) if row.model == "trained")
        for answer, options in ((row.measured.whole, {}), (row.measured.held_out, {"split": True})):
            expected = store.align(predicate, where=where, **options, **FEW)
            # The attributes count the proteins that the clause leaves out, too.
            assert answer.result.equals(expected)
    table = done.tables["comparison"]
    assert set(table["model"]) == {"trained", "chance (random weights, seed 3)"}
    assert (table.groupby("key")["model"].nunique() == 2).all()
    ranked = table[table["share"].notna()]
    assert len(ranked)
    assert (ranked["count"] / ranked["total"]).tolist() == ranked["share"].tolist()


def annotate_like(path, proteins):
    """The properties of `write_two` in a store of all proteins but its first two."""
    from attnstore.catalog.property import along
    from attnstore.catalog.writer import CatalogWriter
    from tests.queries import report_stores as stores

    rng = np.random.default_rng(7)
    with CatalogWriter(path, keep_duplicates=True) as catalog:
        for index, protein in enumerate(proteins, start=-2):
            length = len(protein.sequence)
            drawn = {
                prop: stores.values_of(prop, length, rng)
                for prop in (
                    stores.SITE, stores.SELECT, stores.NEVER, stores.SS4, stores.KIND, stores.MANY,
                    stores.NUMBER,
                )
            }  # fmt: skip
            if index >= 0:
                site = [along(stores.SITE, drawn[stores.SITE])]
                catalog.annotate(index, protein.id, protein.sequence, "f", None, site, stores.SOURCE)
        catalog.publish()


@pytest.mark.parametrize(
    ("keep", "missing"), [(("codes",), 0), (("arcs",), 0), (("marginals",), 2)], ids=lambda keep: str(keep)
)
def test_what_was_not_kept_is_told(tmp_path, undrawn, keep, missing):
    path = tmp_path / "store"
    write_store(path, random_proteins(1, [30, 25, 28, 33]), keep=keep)
    done = module.report(attnstore.open(path), tmp_path / "out", properties=["contact", "aa"], **FEW)
    told = [one for one in done.missing if one.model == "random"]
    assert len(told) == missing
    assert all("ingest again with `" in one.reason for one in told)
    page = Page(done.page.read_text())
    assert bool(told) == any("ingest again with `" in word for word in page.words)
    assert bool(told) != any(name.endswith("/heads-contact") for name in done.figures)


def test_a_store_without_coordinates_labels_halves_or_arcs_still_gives_a_page(tmp_path):
    from dataclasses import replace

    path = tmp_path / "store"
    write_store(path, [replace(one, structure=None) for one in random_proteins(1, [30])])
    done = module.report(attnstore.open(path), tmp_path / "out", threshold=0.99, paper=True)
    told = {one.what: one.reason for one in done.missing}
    assert told["contacts"] == "no coordinates are known"
    assert told["contact_number"] == "no value is known"
    assert "there is 1 cluster" in told["Heads picked and measured on different clusters"]
    assert told["Every figure"].startswith("no head has 100 arcs with attention ≥ 0.99")
    assert done.figures == {}
    assert "Every figure" in "".join(Page(done.page.read_text()).words)


def test_a_model_with_nothing_committed_is_told(two, undrawn, tmp_path):
    from attnstore.format.documents import Manifest

    path = tmp_path / "store"
    write_two(path)
    Manifest().write(path / "attention" / "chance")
    for place in (path / "attention" / "chance" / "segments").iterdir():
        for file in sorted(place.rglob("*"), reverse=True):
            file.rmdir() if file.is_dir() else file.unlink()
        place.rmdir()
    done = module.report(attnstore.open(path), tmp_path / "out", properties=["contact"], **FEW)
    told = [(one.what, one.model) for one in done.missing]
    assert told == [("Everything", "chance"), ("Comparison of the models", None)]
    assert done.comparison is None
    assert not done.tables["trained/heads-contact"].empty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ["chanse"]}, "no model 'chanse'"),
        ({"models": []}, "no model, or none was named"),
        ({"properties": ["binding_sit"]}, "no property 'binding_sit'.*try binding_site"),
        ({"properties": ["ca_x"]}, "no property 'ca_x'"),
        ({"threshold": 1.5}, "1.5"),
        ({"cluster_by": "family"}, "cluster_by='family' is no column of proteins"),
        ({"min_arcs": -1}, "min_arcs"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_anything_is_written(two, tmp_path, options, message):
    with pytest.raises(QueryError, match=message):
        module.report(two[0], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(two, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(QueryError, match="cannot be written"):
        module.report(two[0], tmp_path / "file" / "out", properties=["contact"], **FEW)


@pytest.fixture
def run(two, capfd, monkeypatch):
    """Output and status of `attnstore report STORE` with options."""
    monkeypatch.setitem(cli.cli.commands, "report", command)

    def call(*options):
        with pytest.raises(SystemExit) as stop:
            cli.main(["report", str(two[0].path), *options])
        printed = capfd.readouterr()
        return printed.out, printed.err, stop.value.code

    return call


def test_the_command_writes_what_python_writes(two, run, tmp_path):
    store, *_ = two
    options = ["--models", "trained", "--properties", "contact,kind", "--threshold", "0.2", "--paper"]
    options += ["--min-arcs", "9", "--replicates", "20", "--seed", "4"]
    out, _, status = run(*options, "-o", str(tmp_path / "one"))
    assert status == 0
    assert out.splitlines()[0] == str(tmp_path / "one" / "index.html")
    assert "Kind: plain" in out
    asked = {
        "models": ["trained"],
        "properties": ["contact", "kind"],
        "min_arcs": 9,
        "replicates": 20,
        "threshold": 0.2,
    }
    done = module.report(store, tmp_path / "two", seed=4, paper=True, **asked)
    for name in done.tables:
        one, other = ((tmp_path / folder / "tables" / f"{name}.csv").read_text() for folder in ("one", "two"))
        assert one == other
    pictures = [(tmp_path / "one" / path.relative_to(tmp_path / "two")) for path in done.figures.values()]
    assert [path.read_bytes() for path in pictures] == [path.read_bytes() for path in done.figures.values()]


def test_for_programs_it_is_json(run, undrawn, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out, _, status = run("--properties", "contact", "--min-arcs", "9", "--json")
    assert status == 0
    said = json.loads(out)
    assert said["page"] == "store-report/index.html"
    assert {row["property"] for row in said["best_heads"]} == {"Contacts"}
    assert all(Path(path).is_file() for path in [*said["figures"], *said["tables"]])


def test_what_python_refuses_is_one_line(run):
    out, err, status = run("--properties", "nothing")
    assert (out, status) == ("", 1)
    assert err.startswith("error: the store holds no property 'nothing'")
