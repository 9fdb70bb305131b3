"""The page: structure, arcs of every head, and known properties of residues, in one file without a network.

Everything from a store or a file is data: the page contains it as JSON that no HTML parser reads as markup, or escaped,
and the page's policy allows only its own two scripts, by their digests, and no requests.
"""

import base64
import hashlib
import html
import json
import re
import string
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import palette
from .protein_attention import Arcs, ProteinAttention
from .view_residues import STRUCTURE_NAMES, Track

#: The bundled molecular viewer, as published on npm: build/3Dmol-min.js and LICENSE of the package 3dmol.
VIEWER = "3Dmol.js 2.5.5"

#: The parts of the page's own script, in order.
_PROGRAM = ("arcs.js", "residues.js", "scene.js", "strip.js", "page.js")

#: Most arcs of a page, beyond which its floor rises; 500 residues and 120 heads have as many at 0.05.
MOST_ARCS = 250_000

#: Weights are rounded down to thousandths: n is the largest integer with float32(n / 1000) not above the weight.
_THOUSANDTHS = (np.arange(1001) / 1000).astype(np.float32)


def render_page(view: ProteinAttention) -> str:
    """The page as text, the same for equal views."""
    library = _script("3Dmol-min.js")
    program = f'(() => {{\n"use strict";\n{_script(*_PROGRAM)}}})();'
    digests = " ".join(f"'sha256-{_digest(text)}'" for text in (library, program))
    data = page_data(view)
    (model,) = view.origin["models"]
    title = f"{view.residues.protein} · attention of {model}"
    return string.Template(_resource("page.html")).substitute(
        title=html.escape(title),
        protein=html.escape(view.residues.protein),
        policy=html.escape(
            f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; img-src data: blob:", quote=True
        ),
        style=_resource("page.css"),
        subtitle=html.escape(_subtitle(view, model)),
        notes="".join(f"<li>{html.escape(note)}</li>" for note in _notes(view, data["floor"])),
        provenance=html.escape(_provenance(view, model)),
        viewer=VIEWER,
        licence=html.escape(_resource("3Dmol-LICENSE.txt")),
        data=to_json(data),
        library=library,
        program=program,
    )


def page_data(view: ProteinAttention) -> dict[str, Any]:
    """The data of the page, to be written as JSON.

    `arcs` has an entry for each head, layer by layer: sources, targets, weights in thousandths (in decreasing order,
    rounded down) and one letter each for contact: 1 true, 0 false, ? unknown. Coordinates are in Å, `pdb` is the atoms.
    """
    residues, floor = view.residues, page_floor(view.arcs, view.threshold)
    structure_from, structure = residues.secondary_structure()
    return {
        "protein": residues.protein,
        "letters": "".join(residues.letters),
        "numbers": residues.numbers.tolist(),
        "shape": list(view.shape),
        "head": [view.layer, view.head],
        "threshold": round(view.threshold * 1000),
        "floor": floor,
        "separation": view.separation,
        "arcs": _by_head(view.arcs, view.shape, floor),
        "pdb": view.atoms.pdb,
        "trace": view.atoms.trace,
        "pose": view.atoms.pose(),
        "ca": _points(view.atoms.ca),
        "cb": _points(residues.cb),
        "structure": [letter or "?" for letter in structure],
        "structureFrom": structure_from,
        "sites": None if view.sites is None else view.sites.name,
        "properties": [_property(track) for track in residues.tracks.values()],
        "colours": {
            "contact": palette.CONTACT, "other": palette.OTHER, "unknown": palette.UNKNOWN, "site": palette.SITE,
            "plain": palette.PLAIN, "structure": palette.STRUCTURE, "categories": list(palette.CATEGORIES),
        },
        "structureNames": STRUCTURE_NAMES,
    }  # fmt: skip


def page_floor(arcs: Arcs, threshold: float) -> int:
    """The smallest weight in a page, in thousandths.

    It is the arc floor; if there would be more than `MOST_ARCS`, the smallest hundredth at which there are not, but not
    above the threshold.
    """
    weights = thousandths(arcs.weight)
    counts = np.bincount(weights, minlength=1001)[::-1].cumsum()[::-1]
    first = round(arcs.floor * 1000)
    hundredths = range(-(-first // 10) * 10, 1001, 10)
    fitting = next(floor for floor in (first, *hundredths, 1000) if counts[floor] <= MOST_ARCS or floor == 1000)
    return int(min(fitting, round(threshold * 1000)))


def thousandths(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Weights in thousandths, rounded so that n ≥ 1000 θ exactly if the weight reaches float32(θ), θ a thousandth."""
    return np.searchsorted(_THOUSANDTHS, weights, side="right") - 1


def to_json(data: Any) -> str:
    """JSON that is safe in a script element: no <, > or &, and no line separator of JavaScript's."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return re.sub("[<>&\u2028\u2029]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _by_head(arcs: Arcs, shape: tuple[int, int], floor: int) -> list[list[Any]]:
    weights = thousandths(arcs.weight)
    held = weights >= floor
    place = (arcs.layer * shape[1] + arcs.head)[held]
    ends = np.searchsorted(place, np.arange(shape[0] * shape[1] + 1))
    columns = [values[held].tolist() for values in (arcs.source, arcs.target, weights)]
    contact = "".join("?01"[value + 1] for value in arcs.contact[held].tolist())
    return [
        [*(values[begin:end] for values in columns), contact[begin:end]]
        for begin, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    ]


def _points(coordinates: npt.NDArray[np.float32]) -> list[list[float] | None]:
    return [None if np.isnan(xyz).any() else [round(float(x), 2) for x in xyz] for xyz in coordinates]


def _property(track: Track) -> dict[str, Any]:
    """A property's values: categories as indices into their sorted names, numbers to four digits, null if unknown."""
    values = track.values.tolist()
    told = {"name": track.name, "kind": track.kind, "unit": track.unit or "", "description": track.description}
    if track.kind == "category":
        names = sorted({value for value in values if value is not None})
        index = {name: number for number, name in enumerate(names)}
        return {**told, "categories": names, "values": [None if value is None else index[value] for value in values]}
    if track.kind == "boolean":
        return {**told, "values": [None if value is None else int(value) for value in values]}
    finite = [None if value is None or not np.isfinite(value) else float(f"{value:.4g}") for value in values]
    return {**told, "values": finite}


def _subtitle(view: ProteinAttention, model: str) -> str:
    residues = view.residues
    layers, heads = view.shape
    return f"{len(residues)} residues · {model}, {layers} layers × {heads} heads · drawn: {view.atoms.origin}"


def _notes(view: ProteinAttention, floor: int) -> list[str]:
    residues = view.residues
    notes = [
        f"Layers and heads count from 0. Head {view.layer}-{view.head} is shown first: {view.chosen}.",
        (
            "An arc is an ordered pair of residues, source attends to target, with a weight of the threshold or more; "
            "both directions of a pair share one cylinder, as thick as the larger weight."
        ),
        (
            "In contact: six or more apart along the chain and Cβ nearer than 8 Å, by the store's coordinates. The "
            "share is over the arcs shown whose contact is known."
        ),
        f"The page has all arcs with a weight of {floor / 1000:g} or more, of every head.",
    ]
    if len(residues) < residues.length:
        notes.append(f"The model saw the first {len(residues)} of {residues.length} residues; only they are shown.")
    if view.arcs.approximate:
        notes.append("Weights are means of their codebook bins, since the model kept no arcs.")
    if view.atoms.pdb and view.atoms.trace:
        notes.append("The ribbon follows the Cα only: its orientation is an estimate.")
    if np.isnan(residues.cb).any(axis=1).all():
        notes.append(
            "The store has no coordinates of this protein, so no contact is known: "
            "`store.annotate(FILE)` adds those of a structure file."
        )
    return notes


def _provenance(view: ProteinAttention, model: str) -> str:
    origin = view.origin
    held = origin["models"][model]
    return (
        f"attnstore {origin['versions']['attnstore']}; model weights {held['weights_sha256'][:12]}, "
        f"segments {held['segments_sha256'][:12]}, catalog {origin['catalog_sha256'][:12]} (SHA-256)"
    )


def _script(*names: str) -> str:
    """Scripts joined to one that is safe in a script element."""
    whole = "\n".join(_resource(name) for name in names)
    return whole.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _resource(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
