"""What a view shows is what the store holds: against brute force on the weights, and on real files."""

import base64
import gzip
import hashlib
import html
import itertools
import json
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from Bio.PDB.PDBParser import PDBParser
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection

import attnstore
from attnstore.errors import QueryError
from attnstore.ingest import ingest
from attnstore.queries.figure import save_figure
from attnstore.queries.view import view_page as page_module
from attnstore.queries.view.view import view
from attnstore.queries.view.view_page import page_data, thousandths, to_json
from attnstore.queries.view.view_structure import from_file
from tests.synthetic import random_proteins, write_store

STRUCTURES = Path(__file__).parents[1] / "data" / "structures"
HOSTILE = "</script><script>alert(1)</script>\u2028<!--"


@pytest.fixture(scope="module")
def proteins():
    found = random_proteins(21, [34, 27, 22, 19], layers=2, heads=3)
    object.__setattr__(found[1], "id", "<b>'&\"p1")
    return found


@pytest.fixture(scope="module")
def store(proteins, tmp_path_factory):
    path = tmp_path_factory.mktemp("views") / "store"
    write_store(path, proteins)
    rows = [
        {"id": "p0", "pos": pos, "site": pos % 5 == 0, "ss8": "HHHEC"[pos % 5], "kind": HOSTILE if pos else "b"}
        for pos in range(20)
    ]
    return attnstore.open(path).annotate(pd.DataFrame(rows))


def expected_arcs(protein, floor):
    """Sets of (source, target, weight, contact) by head, from the weights and coordinates themselves."""
    cb = protein.structure.cb.astype(float)
    found = {}
    for place in np.ndindex(*protein.weights.shape[:2]):
        weights, arcs = protein.weights[place], set()
        for source, target in zip(*np.nonzero(weights >= np.float32(floor)), strict=True):
            distance = np.linalg.norm(cb[source] - cb[target])
            near = abs(int(source) - int(target)) < 6
            contact = "0" if near else "?" if np.isnan(distance) else "1" if distance < 8 else "0"
            arcs.add((int(source), int(target), int(np.floor(weights[source, target].astype(float) * 1000)), contact))
        found[place] = arcs
    return found


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_page_holds_every_arc(store, proteins, index):
    protein = proteins[index]
    data = page_data(view(store, protein.id, layer=0, head=0))
    assert data["floor"] == 50
    expected = expected_arcs(protein, 0.05)
    for place, (sources, targets, weights, contact) in enumerate(data["arcs"]):
        assert weights == sorted(weights, reverse=True)
        assert set(zip(sources, targets, weights, contact, strict=True)) == expected[divmod(place, 3)]
    assert data["letters"] == protein.sequence
    known = protein.structure.author_known
    codes = protein.structure.insertion_code
    numbers = [
        f"{n}{c or ''}" if k else "" for n, k, c in zip(protein.structure.author_number, known, codes, strict=True)
    ]
    assert data["numbers"] == numbers


def test_contacts_are_the_engines(store, proteins):
    shown = view(store, "p0", layer=0, head=0)
    rows = store.query("SELECT source, target, contact FROM attention WHERE protein = 'p0' AND layer = 0 AND head = 0")
    assert len(rows) == 34 * 34
    found = shown.residues.contacts()[rows["source"].to_numpy(int), rows["target"].to_numpy(int)]
    assert np.array_equal(found, rows["contact"].astype("Int8").to_numpy(np.int8, na_value=-1))
    assert set(found.tolist()) == {-1, 0, 1}


@given(st.floats(0, 1, width=32), st.integers(0, 1000))
def test_thousandths_reach_a_threshold_just_when_the_weight_does(weight, threshold):
    (found,) = thousandths(np.array([weight], np.float32))
    assert (found >= threshold) == (np.float32(weight) >= np.float32(threshold / 1000))


def test_thousandths_beside_every_threshold():
    edges = (np.arange(1001) / 1000).astype(np.float32)
    assert np.array_equal(thousandths(edges), np.arange(1001))
    assert np.array_equal(thousandths(np.nextafter(edges[1:], np.float32(0))), np.arange(1000))


def test_the_floor_rises_where_there_are_too_many_arcs(store, monkeypatch):
    shown = view(store, "p0", layer=0, head=0)
    counts = {floor: int((shown.arcs.weight >= np.float32(floor / 1000)).sum()) for floor in range(50, 1001)}
    most = counts[120] + 1
    assert most < counts[110]
    monkeypatch.setattr(page_module, "MOST_ARCS", most)
    data = page_data(shown)
    assert data["floor"] == 120
    assert sum(len(head[0]) for head in data["arcs"]) == counts[120]
    assert "all arcs with a weight of 0.12 or more" in shown.html()
    # What is asked for is there, however much it is.
    monkeypatch.setattr(page_module, "MOST_ARCS", 1)
    assert page_data(view(store, "p0", layer=0, head=0, threshold=0.07))["floor"] == 70


def test_five_hundred_residues_and_a_hundred_and_twenty_heads_stay_below_five_megabytes(tmp_path):
    rng = np.random.default_rng(0)
    (protein,) = random_proteins(3, [500], layers=1, heads=1)
    write_store(tmp_path / "store", [protein])
    shown = view(attnstore.open(tmp_path / "store"), "p0", layer=0, head=0)
    number = 400_000
    columns = {name: rng.integers(0, 500, number) for name in ("source", "target")}
    many = type(shown.arcs)(
        layer=np.sort(rng.integers(0, 6, number)), head=np.zeros(number, int), **columns,
        weight=np.full(number, 0.5, np.float32), contact=np.zeros(number, np.int8), floor=0.05, approximate=False,
    )  # fmt: skip
    object.__setattr__(shown, "arcs", many)
    object.__setattr__(shown, "shape", (6, 20))
    object.__setattr__(shown, "threshold", 0.05)
    # All of them weigh the same, so that no floor below the threshold helps: more than a page of 250,000 would hold.
    assert len(shown.html()) < 8_000_000
    object.__setattr__(many, "weight", np.where(np.arange(number) < 250_000, 0.5, 0.055).astype(np.float32))
    object.__setattr__(shown, "threshold", 0.3)
    assert sum(len(head[0]) for head in page_data(shown)["arcs"]) == 250_000
    assert len(shown.html().encode()) < 5_000_000


def test_the_page_asks_for_nothing_and_runs_its_own_scripts_alone(store):
    text = view(store, "p0", layer=1, head=1).html()
    assert not re.search(r"""(?:src|href|action|url)\s*[=(]\s*["']?(?!data:)[a-z]+:""", text.split("<script>")[0])
    assert text.lower().count("<script") == 3
    assert text.lower().count("</script") == 3
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    policy = html.unescape(policy)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digests = {base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts}
    assert set(re.findall(r"'sha256-([^']*)'", policy)) == digests
    assert len(digests) == 2


def test_the_viewer_is_the_release_that_the_page_names():
    library = page_module._resource("3Dmol-min.js")
    assert page_module.VIEWER == "3Dmol.js 2.5.5"
    assert "BSD-3-Clause" in page_module._resource("3Dmol-LICENSE.txt")
    assert hashlib.sha256(library.encode()).hexdigest() == VIEWER_SHA256
    assert len(library) < 1_000_000


#: Of build/3Dmol-min.js in the package 3dmol 2.5.5 of npm.
VIEWER_SHA256 = "f7cc78921ae72e7623e89cdd111434f58c2efddd2ffda1cd212644b406fb8016"


def test_what_a_store_says_is_escaped(store, proteins):
    data = page_data(view(store, "p0", layer=0, head=0))
    assert any(HOSTILE in one.get("categories", ()) for one in data["properties"])
    text = to_json(data)
    assert not set(text) & set("<>&\u2028\u2029")
    assert json.loads(text) == data
    assert HOSTILE not in view(store, "p0", layer=0, head=0).html()
    named = view(store, proteins[1].id, layer=0, head=0).html()
    assert proteins[1].id not in named
    assert html.escape(proteins[1].id) in named


def test_a_notebook_gets_it_in_a_frame_that_reaches_nothing(store):
    shown = view(store, "p0", layer=0, head=0)
    frame = shown._repr_html_()
    (sandbox, page) = re.fullmatch(r'<iframe sandbox="([^"]*)" srcdoc="([^"]*)" [^<>]*></iframe>', frame).groups()
    assert "allow-same-origin" not in sandbox
    assert html.unescape(page) == shown.html()


def test_properties_sites_and_secondary_structure(store):
    shown = view(store, "p0", layer=0, head=0, sites="site")
    assert np.flatnonzero(shown.sites.true).tolist() == [0, 5, 10, 15]
    source, structure = shown.residues.secondary_structure()
    assert source == "ss8"
    assert "".join(letter or "?" for letter in structure) == "hhhsc" * 4 + "?" * 14
    by_name = {one["name"]: one for one in page_data(shown)["properties"]}
    assert by_name["site"]["values"] == [int(pos % 5 == 0) for pos in range(20)] + [None] * 14
    assert by_name["kind"]["categories"] == sorted(["b", HOSTILE])
    assert by_name["ss8"]["values"][:5] == [2, 2, 2, 1, 0]
    assert len(by_name["relative_position"]["values"]) == 34
    assert view(store, "p2", layer=0, head=0).sites is None


def test_helix_and_strand_stand_for_secondary_structure(tmp_path):
    write_store(tmp_path / "store", random_proteins(1, [20]))
    rows = [{"id": "p0", "pos": pos, "helix": pos < 3, "strand": pos in (5, 6)} for pos in range(10)]
    store = attnstore.open(tmp_path / "store").annotate(pd.DataFrame(rows))
    source, structure = view(store, "p0", layer=0, head=0).residues.secondary_structure()
    assert source == "helix, strand"
    assert "".join(letter or "?" for letter in structure) == "hhhccssccc" + "?" * 10


@pytest.mark.parametrize("threshold", [0.05, 0.3])
def test_the_head_chosen_has_the_largest_lower_bound(store, proteins, threshold):
    from scipy.stats import binomtest

    shown = view(store, "p0", threshold=threshold)
    lows = {}
    for place, arcs in expected_arcs(proteins[0], threshold).items():
        known = [contact for source, target, _, contact in arcs if abs(source - target) >= 6 and contact != "?"]
        true = known.count("1")
        lows[place] = binomtest(true, len(known)).proportion_ci(method="wilson").low if true else 0.0
    assert lows[shown.layer, shown.head] == pytest.approx(max(lows.values()))


def test_the_matrix_has_the_weights(store, proteins):
    shown = view(store, "p0", layer=1, head=2)
    bounds = store.attention_bounds("p0", 1, 2)
    exact = proteins[0].weights[1, 2]
    assert shown.whole
    assert (shown.weights <= bounds["upper"].to_numpy()).all()
    assert (exact >= bounds["lower"].to_numpy()).all()
    panel = shown.matrix().axes[0]
    drawn = np.ma.stack([image.get_array() for image in panel.get_images()])
    # Each cell is drawn once: in the colours of contact, of the others, or of what is not known.
    assert np.array_equal((~np.ma.getmaskarray(drawn)).sum(axis=0), np.ones(exact.shape))
    assert np.array_equal(drawn.sum(axis=0).filled(), shown.weights)


def test_without_codes_the_matrix_has_the_arcs_alone(proteins, tmp_path):
    write_store(tmp_path / "store", proteins, keep=("arcs", "marginals"))
    shown = view(attnstore.open(tmp_path / "store"), "p0", layer=1, head=2)
    exact = proteins[0].weights[1, 2]
    assert np.array_equal(shown.weights, np.where(exact >= np.float32(0.05), exact, 0))
    assert any("not kept" in text.get_text() for text in shown.matrix().texts)


def test_from_codes_alone_arcs_are_the_same(store, proteins, tmp_path):
    write_store(tmp_path / "store", proteins, keep=("codes",))
    shown = view(attnstore.open(tmp_path / "store"), "p0", layer=1, head=2)
    arcs = view(store, "p0", layer=1, head=2).arcs
    assert shown.arcs.approximate
    assert "means of their codebook bins" in shown.html()

    def places(arcs):
        mine = arcs.of(1, 2, 0.3)
        return set(zip(arcs.source[mine].tolist(), arcs.target[mine].tolist(), strict=True))

    assert places(shown.arcs) == places(arcs)


def test_arcs_are_drawn_once_each_with_contacts_above(store, proteins):
    shown = view(store, "p0", layer=1, head=2, threshold=0.1, separation=3)
    figure = shown.along(["hydrophobic", "relative_position", "kind"])
    expected = [arc for arc in expected_arcs(proteins[0], 0.1)[1, 2] if abs(arc[0] - arc[1]) >= 3]
    assert len(expected) > 10

    def drawn(axes):
        lines = [line for group in axes.findobj(LineCollection) for line in group.get_segments()]
        assert all(line[30, 1] == pytest.approx(abs(line[0, 0] - line[-1, 0])) for line in lines)
        return sorted((round(line[0, 0]), round(line[-1, 0])) for line in lines)

    above, below = figure.axes[:2]
    assert drawn(above) == sorted(arc[:2] for arc in expected if arc[3] == "1")
    assert drawn(below) == sorted(arc[:2] for arc in expected if arc[3] != "1")
    known = sum(arc[3] != "?" for arc in expected)
    true = sum(arc[3] == "1" for arc in expected)
    assert f"{true} of {known} on contacts" in figure.texts[0].get_text()
    assert not above.texts


def test_a_figure_without_arcs_says_so(store, proteins):
    length = len(proteins[0].sequence)
    figure = view(store, "p0", layer=1, head=2, separation=length).along()
    assert [text.get_text() for text in figure.axes[0].texts] == ["no such arc"]
    assert repr(view(store, "p0", layer=1, head=2)).startswith(f"p0 ({length} residues): head 1-2 of ")


@pytest.mark.parametrize("which", ["matrix", "arcs"])
@pytest.mark.parametrize("tracks", [(), ("kind", "relative_position", "aromatic", "charge", "ss8")])
def test_no_text_of_a_figure_leaves_it_or_meets_another(store, which, tracks):
    shown = view(store, "p0", layer=0, head=1)
    figure = shown.matrix(tracks) if which == "matrix" else shown.along(tracks)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    texts += [
        text for axes in figure.axes for text in (axes.xaxis.label, axes.yaxis.label, axes.title) if text.get_text()
    ]
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in texts]
    for number, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0
        assert box.y0 >= figure.bbox.y0
        assert box.y1 <= figure.bbox.y1
        assert box.x1 <= figure.bbox.x1, texts[number].get_text()
        assert not any(box.overlaps(other) for other in boxes[:number])


@pytest.mark.parametrize("name", ["a.svg", "a.png", "a.pdf", "a.html"])
def test_saved_twice_it_is_the_same(store, tmp_path, name):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        view(store, "p0", layer=0, head=1).save(tmp_path / place / name, "arcs")
    first, second = ((tmp_path / place / name).read_bytes() for place in ("one", "two"))
    assert first == second
    assert len(first) > 1000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer": 1}, "layer and head go together"),
        ({"layer": 2, "head": 0}, "there is no layer 2: they run from 0 to 1"),
        ({"layer": 0, "head": -1}, "there is no head -1"),
        ({"threshold": 0.01}, "threshold 0.01 is not between 0.05, where arcs begin, and 1"),
        ({"threshold": 0.12345}, "more than three decimals"),
        ({"threshold": float("nan")}, "threshold nan"),
        ({"separation": -1}, "separation=-1 is not a whole number from 0 on"),
        ({"sites": "charge"}, "'charge' is no boolean property of residues known of p0: sites can be one of"),
        ({"sites": "nothing"}, "'nothing' is no boolean property"),
        ({"chain": "A"}, "a chain is one of a structure file"),
        ({"model": "other"}, "no model 'other'"),
        ({"structure": "absent.pdb"}, "absent.pdb does not exist"),
        ({"structure": "absent.txt"}, "names no kind of structure file"),
    ],
)
def test_what_cannot_be_is_refused(store, options, said):
    with pytest.raises(QueryError, match=re.escape(said)):
        view(store, "p0", **options)


def test_a_protein_or_property_that_is_not_there_is_refused(store, tmp_path):
    with pytest.raises(QueryError, match="holds no protein 'p9'"):
        view(store, "p9")
    shown = view(store, "p0", layer=0, head=0)
    with pytest.raises(QueryError, match="no property 'nothing' of residues is known of p0: it has hydrophobic, "):
        shown.matrix(["nothing"])
    with pytest.raises(QueryError, match="figure is one of matrix, arcs"):
        shown.save(tmp_path / "a.png", "cartoon")
    with pytest.raises(QueryError, match="cannot be written"):
        shown.save(tmp_path / "absent" / "a.html")


def test_a_protein_without_coordinates_says_so(store):
    shown = view(store, "p3", layer=0, head=0)
    data = page_data(shown)
    assert data["pdb"] == ""
    assert data["pose"]["rotation"] == [0, 0, 0, 1]
    assert set("".join(head[3] for head in data["arcs"])) == {"0", "?"}
    assert "store.annotate(FILE)" in shown.html()
    assert shown.along().texts


def test_a_truncated_protein_shows_what_the_model_saw(tmp_path):
    write_store(tmp_path / "store", random_proteins(5, [30], truncate=20))
    shown = view(attnstore.open(tmp_path / "store"), "p0", layer=0, head=0)
    assert len(page_data(shown)["letters"]) == 20
    assert "The model saw the first 20 of 30 residues" in shown.html()


# Structures -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(tmp_path_factory, tiny_esm):
    path = tmp_path_factory.mktemp("real") / "store"
    ingest(path, [STRUCTURES / "1LCD.pdb.gz", STRUCTURES / "1A8O.pdb.gz"], model=str(tiny_esm), device="cpu")
    return attnstore.open(path)


def lines_of(name):
    return gzip.decompress((STRUCTURES / name).read_bytes()).decode().splitlines()


def carbon_alphas(text):
    """Position of each Cα of chain A by the number in the protein, from lines of the PDB format."""
    lines = [
        line for line in text.splitlines() if line.startswith("ATOM") and line[12:16] == " CA " and line[21] == "A"
    ]
    return {int(line[22:26]) - 1: [float(line[at : at + 8]) for at in (30, 38, 46)] for line in lines}


@pytest.mark.parametrize("name", ["1LCD.pdb.gz", "1LCD.cif.gz", "1A8O.pdb.gz", "1A8O.cif.gz"])
def test_atoms_of_a_file_lie_where_the_store_has_them(real, name):
    protein = f"{name[:4]}_A"
    from_store, placed = (view(real, protein, layer=0, head=0, structure=file) for file in (None, STRUCTURES / name))
    known = ~np.isnan(from_store.atoms.ca).any(axis=1)
    assert known.sum() > 45
    assert np.allclose(placed.atoms.ca[known], from_store.atoms.ca[known], atol=1e-3)
    assert np.isnan(placed.atoms.ca[~known]).all()
    for shown in (from_store, placed):
        found = carbon_alphas(shown.atoms.pdb)
        assert sorted(found) == np.flatnonzero(known).tolist()
        assert np.allclose([found[place] for place in sorted(found)], from_store.atoms.ca[known], atol=1e-3)
    assert from_store.atoms.trace
    assert not placed.atoms.trace
    assert placed.atoms.origin == f"chain A of {name}"
    assert " CB " in placed.atoms.pdb
    assert " CB " not in from_store.atoms.pdb


def test_numbers_that_differ_are_put_right_by_the_sequence(real, tmp_path):
    lines = lines_of("1LCD.pdb.gz")
    moved = [
        f"{line[:22]}{int(line[22:26]) + 700:4d}{line[26:]}" if line.startswith(("ATOM", "HETATM")) else line
        for line in lines
    ]
    path = tmp_path / "moved.pdb"
    path.write_text("\n".join(moved))
    expected = view(real, "1LCD_A", layer=0, head=0).atoms.ca
    assert np.allclose(view(real, "1LCD_A", layer=0, head=0, structure=path).atoms.ca, expected, atol=1e-3)


def test_another_structure_is_refused_with_the_cure(real, tmp_path):
    said = r"1A8O.pdb.gz has no chain that is 1LCD_A \(.*\): give a file of this protein's structure"
    with pytest.raises(QueryError, match=said):
        view(real, "1LCD_A", structure=STRUCTURES / "1A8O.pdb.gz")
    with pytest.raises(QueryError, match="has no chain 'Q': it has "):
        view(real, "1LCD_A", structure=STRUCTURES / "1LCD.pdb.gz", chain="Q")
    with pytest.raises(QueryError, match="has no chain that is 1LCD_A"):
        view(real, "1LCD_A", structure=STRUCTURES / "1LCD.pdb.gz", chain="B")


@pytest.mark.parametrize(
    "content", [b"", b"HEADER nothing\nEND\n", b"\x00\xff\x13" * 300, b"ATOM  " + b"x" * 74, b"data_x\nloop_\n_a"]
)
@pytest.mark.parametrize("suffix", [".pdb", ".cif", ".pdb.gz"])
def test_a_file_that_is_no_structure_is_refused(store, tmp_path, content, suffix):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(QueryError, match=f"broken{suffix}"):
        view(store, "p0", structure=path)


def test_the_ribbon_laid_on_alpha_carbons_follows_the_real_one(real):
    """The atom O of a trace says how a ribbon is turned; a real C=O does, up to sign, within 45° nearly everywhere."""
    residues = view(real, "1A8O_A", layer=0, head=0).residues
    placed = view(real, "1A8O_A", layer=0, head=0, structure=STRUCTURES / "1A8O.pdb.gz").atoms
    trace = view(real, "1A8O_A", layer=0, head=0).atoms

    def across(text):
        chain = PDBParser(QUIET=True).get_structure("x", StringIO(text))[0]["A"]
        ca, o = (np.array([residue[name].coord for residue in chain], float) for name in ("CA", "O"))
        along = np.diff(ca, axis=0)
        along /= np.linalg.norm(along, axis=1, keepdims=True)
        side = (o - ca)[:-1]
        side -= (side * along).sum(axis=1, keepdims=True) * along
        return side / np.linalg.norm(side, axis=1, keepdims=True)

    angle = np.degrees(np.arccos(np.clip(np.abs((across(placed.pdb) * across(trace.pdb)).sum(axis=1)), 0, 1)))
    assert len(angle) == len(residues) - 1
    assert np.median(angle) < 25
    assert (angle < 45).mean() > 0.75


def test_the_pose_lays_the_longest_axis_across(real):
    from scipy.spatial.transform import Rotation

    atoms = view(real, "1LCD_A", layer=0, head=0).atoms
    pose = atoms.pose()
    turned = Rotation.from_quat(pose["rotation"]).apply(atoms.ca[~np.isnan(atoms.ca).any(axis=1)] - pose["centre"])
    spread = turned.var(axis=0)
    assert spread[0] > spread[1] > spread[2]
    assert np.allclose(turned.min(axis=0), -turned.max(axis=0), atol=0.05)


def test_bound_groups_near_the_chain_go_along(tmp_path, real):
    residues = view(real, "1LCD_A", layer=0, head=0).residues
    first = itertools.takewhile(lambda line: line.strip() != "ENDMDL", lines_of("1LCD.pdb.gz"))
    lines = [line for line in first if line.startswith("ATOM")]
    alpha = next(line for line in lines if line[12:16] == " CA " and line[21] == "A")
    x, y, z = (float(alpha[at : at + 8]) for at in (30, 38, 46))
    for number, (name, far) in enumerate({"LIG": 3, "FAR": 300, "HOH": 3}.items(), 901):
        place = f"{x:8.3f}{y:8.3f}{z + far:8.3f}"
        lines.append(f"HETATM{number:5d}  C1  {name} A {number}    {place}  1.00  0.00           C  ")
    # Programs number waters and ions beyond 9999 in hexadecimal, or by stars.
    lines += [f"HETATM 9999  O   HOH A{number}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00" for number in ("271a", "****")]
    path = tmp_path / "bound.pdb"
    path.write_text("\n".join(lines))
    text = from_file(path, residues, "A").pdb
    assert [line[17:20] for line in text.splitlines() if line.startswith("HETATM")] == ["LIG"]


# The command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(store, capfd):
    def call(*options):
        from click.testing import CliRunner

        from attnstore.cli.view import view as command

        return CliRunner().invoke(command, [str(store.path), *map(str, options)])

    return call


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (["--layer", "1", "--head", "2"], {"layer": 1, "head": 2}),
        (
            ["--layer", "1", "--head", "2", "--threshold", "0.1", "--separation", "0"],
            {"layer": 1, "head": 2, "threshold": 0.1, "separation": 0},
        ),
        (["--sites", "site"], {"sites": "site"}),
        (["--model", "random"], {"model": "random"}),
    ],
)
def test_the_command_writes_what_python_does(store, run, tmp_path, options, asked):
    answer = run("p0", *options, "-o", tmp_path / "page.html")
    assert answer.exit_code == 0, answer.output
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == view(store, "p0", **asked).html()


def test_the_command_writes_figures(store, run, tmp_path):
    options = ("--figure", "arcs", "--tracks", "aromatic,charge", "-o", tmp_path / "a.svg")
    assert run("p0", "--layer", "0", "--head", "1", *options).exit_code == 0
    save_figure(view(store, "p0", layer=0, head=1).along(["aromatic", "charge"]), tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert run("p0", "-o", tmp_path / "c.png").exit_code == 0
    assert (tmp_path / "c.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "options",
    [["--head", "1-2"], ["--head", "1-2-3"], ["--head", "one"], ["--head", "-1-2"], ["--layer", "1", "--head", "1-2"],
     ["--layer", "-1", "--head", "1"], ["--figure", "arcs"], ["--tracks", "charge"]],
)  # fmt: skip
def test_the_command_refuses_wrong_usage(run, tmp_path, options):
    assert run("p0", *options, "-o", tmp_path / "page.html").exit_code == 2
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("options", [["--head", "1"], ["--layer", "1"]])
def test_a_layer_without_a_head_is_refused_as_in_python(run, tmp_path, options):
    answer = run("p0", *options, "-o", tmp_path / "page.html")
    assert isinstance(answer.exception, QueryError)
    assert not (tmp_path / "page.html").exists()


def test_layer_and_head_in_one_word_are_told_apart(run, tmp_path):
    answer = run("p0", "--head", "1-2", "-o", tmp_path / "page.html")
    assert "1-2 names a layer and a head. Pass --layer 1 --head 2." in " ".join(answer.output.split())


def test_the_command_refuses_a_suffix_that_is_none(run, tmp_path):
    answer = run("p0", "-o", tmp_path / "page.docx")
    assert isinstance(answer.exception, QueryError)
