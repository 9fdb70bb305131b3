"""Whether verify holds the tiers of a segment against each other, and segments against plan and catalog.

Segments are written with right digests and counts: what is wrong with them only their content can tell.
"""

from __future__ import annotations

import dataclasses
import itertools
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import attnstore
from attnstore.errors import StoreError
from attnstore.format import documents as layout
from attnstore.format.documents import Manifest
from attnstore.format.segment_writer import SegmentContents, write_segment
from attnstore.integrity import verify
from tests.synthetic import Protein, contents, kept, model_document, random_proteins, write_proteins

#: What is kept where nobody says.
WHOLE = ("codes", "arcs", "marginals")


def written_again(
    path: Path, proteins: list[Protein], segments: list[SegmentContents], keep: tuple[str, ...] = WHOLE
) -> list[str]:
    """What verify says of a store of other segments, each under right digests and counts, and of their plan."""
    write_proteins(path, proteins)
    directory = path / "attention" / "random"
    directory.mkdir(parents=True)
    model_document("random", *proteins[0].attention.shape[:2], keep).write(directory)
    planned = [{"number": i, "batches": [list(part.proteins.id)]} for i, part in enumerate(segments)]
    layout.write_document(directory / "plan.json", {"segments": planned})
    entries = [write_segment(directory, number, part, 512, 1) for number, part in enumerate(segments)]
    Manifest(tuple(entries)).write(directory)
    return list(map(str, verify(path)))


def other_mean(where: Callable[[np.ndarray, np.ndarray], tuple[int, ...]], value: float) -> Callable[..., object]:
    """A segment's contents with one mean replaced, at a code that `where` finds by count and mean."""

    def change(part: SegmentContents) -> SegmentContents:
        mean = part.bin_mean.copy()
        mean[where(part.bin_count, mean)] = value
        return dataclasses.replace(part, bin_mean=mean)

    return change


def first_code(code: int) -> Callable[[np.ndarray, np.ndarray], tuple[int, ...]]:
    """In the first head where the code occurs."""
    return lambda count, _: (*np.argwhere(count[..., code] > 0)[0], code)


#: Edge 134 is 0.3: code 135 is [0.3, 0.31).
OUTSIDE = r"the mean of a bin of layer \d lies outside it\.$"
BELOW, EDGE, ABOVE = (np.nextafter(np.float32(0.3), np.float32(to)) for to in (0, 0.3, 1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_mean(first_code(135), float(BELOW)), OUTSIDE),
        (other_mean(first_code(135), float(EDGE)), None),
        (other_mean(first_code(134), float(ABOVE)), OUTSIDE),
        (other_mean(first_code(0), -1e-6), r"\(a value of it is -1e-06 and has to be from 0 to 1\.000015\)"),
        (other_mean(first_code(0), 0.5), OUTSIDE),
        (other_mean(first_code(135), 0.9), OUTSIDE),
    ],
)
def test_a_mean_outside_its_bin_is_reported_though_its_digest_is_right(tmp_path, change, said):
    proteins = random_proteins(6, [40, 33])
    part = contents(proteins)
    assert (part.bin_count[..., [0, 134, 135]] > 0).any(axis=(0, 1)).all()
    assert written_again(tmp_path / "sound", proteins, [part]) == []
    problems = written_again(tmp_path / "other", proteins, [change(part)])
    if said:
        (problem,) = problems
        assert "000000-" in problem
        assert re.search(said, problem), problem
    else:
        assert problems == []


KEEPS = [keep for size in (1, 2, 3, 4) for keep in itertools.combinations(layout.KEEP, size) if keep != ("hidden",)]


@pytest.mark.parametrize("sharpness", [0.01, 40.0])
def test_whatever_is_kept_is_sound(tmp_path, sharpness):
    proteins = random_proteins(31, [40, 1, 17, 2, 60], sharpness=sharpness)
    parts = [contents(proteins[:3]), contents(proteins[3:])]
    for keep in KEEPS:
        some = [kept(part, keep) for part in parts]
        assert written_again(tmp_path / ",".join(keep), proteins, some, keep) == []


def swapped(*names: str) -> Callable[[SegmentContents], SegmentContents]:
    """Two residues' marginals in the place of each other's, so that no total changes: those that differ most."""

    def change(part: SegmentContents) -> SegmentContents:
        values = {name: getattr(part, name).copy() for name in names}
        first = values[names[0]][1, 2]
        pair = [int(first.argmin()), int(first.argmax())]
        for array in values.values():
            array[1, 2, pair] = array[1, 2, pair[::-1]]
        return dataclasses.replace(part, **values)

    return change


def other(name: str, index: tuple[int, ...], by: float) -> Callable[[SegmentContents], SegmentContents]:
    def change(part: SegmentContents) -> SegmentContents:
        array = getattr(part, name).copy()
        array[index] += by
        return dataclasses.replace(part, **{name: array})

    return change


def other_arcs(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[SegmentContents], SegmentContents]:
    def changed(part: SegmentContents) -> SegmentContents:
        arcs = {name: column.copy() for name, column in part.arcs.items()}
        change(arcs)
        return dataclasses.replace(part, arcs=arcs)

    return changed


def fewer(arcs: dict[str, np.ndarray]) -> None:
    for name in arcs:
        arcs[name] = arcs[name][1:]


def weakened(arcs: dict[str, np.ndarray]) -> None:
    """The strongest of them."""
    arcs["weight"][arcs["weight"].argmax()] = 0.3


def moved(arcs: dict[str, np.ndarray]) -> None:
    """The weight of one pair to another of its head that is no arc, and has another code."""
    head = (arcs["layer"] == 0) & (arcs["head"] == 0) & (arcs["protein"] == 0)
    held = set(zip(arcs["source"][head].tolist(), arcs["target"][head].tolist(), strict=True))
    free = next(pair for pair in itertools.product(range(40), repeat=2) if pair not in held)
    index = np.flatnonzero(head)[0]
    arcs["source"][index], arcs["target"][index] = free


@pytest.mark.parametrize(
    ("change", "keeps", "said"),
    [
        (swapped("received"), ["codes,marginals", "codes,arcs,marginals"],
         "attention received in layer 1 is not what its codes sum to"),
        (swapped("received"), ["arcs,marginals", "codes,arcs,marginals"],
         "attention received in layer 1 is not what its arcs sum to"),
        (swapped("emitted", "special"), ["codes,marginals", "codes,arcs,marginals"],
         "attention emitted in layer 1 is not what its codes sum to"),
        (swapped("emitted", "special"), ["arcs,marginals"],
         "attention emitted in layer 1 is not what its arcs sum to"),
        (other("special", (0, 1, 3), 0.1), ["marginals", "arcs,marginals"],
         "attention of a residue in layer 0 does not sum to one"),
        (other("received", (0, 1, 3), 0.1), ["marginals"], "attention received and emitted in layer 0 differ in sum"),
        (other("codes", (1, 0, 7), 1), ["codes", "codes,marginals"],
         "the codes of layer 1, head 0 are not those that were counted"),
        (other("bin_count", (1, 0, 7), 1), ["codes", "codes,arcs"],
         "the codes of layer 1, head 0 are not those that were counted"),
        (other_arcs(fewer), ["codes,arcs"], "the arcs of layer 0 are not as many as its codes at or above the floor"),
        (other_arcs(weakened), ["codes,arcs", "codes,arcs,marginals"], "the arcs of layer . have other codes"),
        (other_arcs(moved), ["codes,arcs"], "the arcs of layer 0 have other codes"),
        (other_arcs(lambda arcs: arcs["weight"].__setitem__(3, 0.04)), ["arcs"],
         "the weight of an arc is below the floor, or above one"),
        (other_arcs(lambda arcs: arcs["weight"].__setitem__(3, np.nan)), ["arcs", "arcs,marginals"],
         "the weight of an arc is below the floor, or above one"),
        (other_arcs(lambda arcs: arcs["head"].__setitem__(3, 3)), ["arcs", "codes,arcs"],
         "an arc is of a layer, a head or a protein that is not there"),
        (other_arcs(lambda arcs: arcs["source"].__setitem__(3, 40)), ["arcs", "codes,arcs"],
         "an arc is of a residue that is not there"),
        (other_arcs(lambda arcs: [column.__setitem__(3, column[4]) for column in arcs.values()]), ["arcs"],
         "its arcs are not in order"),
    ],
)  # fmt: skip
def test_tiers_that_disagree_are_reported_though_their_digests_are_right(tmp_path, change, keeps, said):
    proteins = random_proteins(32, [40, 33])
    for names in keeps:
        keep = tuple(names.split(","))
        part = change(kept(contents(proteins), keep))
        problems = written_again(tmp_path / names, proteins, [part], keep)
        assert any(re.search(rf"^segment 000000-\w+ of model random: {said}\.$", each) for each in problems), problems


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("keep", [("arcs", "hidden"), ("codes", "arcs", "marginals", "hidden")])
def test_hidden_representations_that_are_not_finite_are_reported(tmp_path, value, keep):
    proteins = random_proteins(32, [40, 33])
    part = other("hidden", (1, 3, 2), value)(kept(contents(proteins), keep))
    (problem,) = written_again(tmp_path / "store", proteins, [part], keep)
    said = rf"hidden\.zarr/hidden/c/1/0/0 is damaged \(a value of it is {value} and has to be from -65504 to 65504\)"
    assert re.search(said, problem), problem


@pytest.mark.parametrize("names", ["codes,arcs", "codes,arcs,marginals"])
def test_wrong_arcs_keep_nothing_else_from_being_checked(tmp_path, names):
    proteins, keep = random_proteins(32, [40, 33]), tuple(names.split(","))
    part = kept(contents(proteins), keep)
    part = other_arcs(lambda arcs: arcs["target"].__setitem__(3, 40))(other("codes", (1, 0, 7), 1)(part))
    first, second = written_again(tmp_path / "store", proteins, [part], keep)[:2]
    assert first.endswith(": an arc is of a residue that is not there.")
    assert second.endswith(": the codes of layer 1, head 0 are not those that were counted.")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda arcs: arcs["weight"].__setitem__(3, 0.04), "the weight of an arc is below the floor, or above one"),
        (lambda arcs: arcs["head"].__setitem__(3, 3), "an arc is of a layer, a head or a protein that is not there"),
        (lambda arcs: arcs["target"].__setitem__(3, 40), "an arc is of a residue that is not there"),
        (lambda arcs: [column.__setitem__(3, column[4]) for column in arcs.values()], "its arcs are not in order"),
    ],
)
def test_a_question_says_what_is_wrong_with_arcs_and_where(tmp_path, change, said):
    proteins = random_proteins(32, [40, 33])
    written_again(tmp_path / "store", proteins, [other_arcs(change)(kept(contents(proteins), ("arcs",)))], ("arcs",))
    (segment,) = attnstore.open(tmp_path / "store").model().segments
    with pytest.raises(StoreError) as raised:
        segment.check_arcs(values=True)
    assert re.fullmatch(
        rf"segment 000000-\w+ is damaged: {said} \(row group \d of .*arcs\.parquet\)\.", str(raised.value)
    )
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)  # as a worker hands it on


def test_a_segment_that_holds_other_tiers_than_its_model_keeps_is_reported(tmp_path):
    proteins = random_proteins(33, [12, 9])
    (problem,) = written_again(tmp_path / "store", proteins, [kept(contents(proteins), ("codes", "arcs"))])
    assert problem.endswith("of model random: it holds codes, arcs where the model keeps codes, arcs, marginals.")


def test_a_protein_in_two_segments_is_reported(tmp_path):
    one, two, three = random_proteins(7, [12, 9, 10])
    assert written_again(tmp_path / "sound", [one, two, three], [contents([one, two]), contents([three])]) == []
    twice = [contents([one, two]), contents([three]), contents([two])]
    assert written_again(tmp_path / "twice", [one, two, three], twice) == [
        "model random: protein p1 is in several segments."
    ]
    thrice = [contents([one, two]), contents([two, three]), contents([two])]
    assert written_again(tmp_path / "thrice", [one, two, three], thrice) == [
        "model random: protein p1 is in several segments."
    ]
