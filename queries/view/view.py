"""A view of one protein: its matrix, its arcs along the chain and on its structure."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...arguments import CONTACT_SEPARATION, check_head, check_index, check_whole
from ...errors import QueryError
from ...format.codebook import parse_threshold
from ...matrix import attention
from ...runtime import time_limit
from ...runtime.libraries import load_matplotlib
from ...runtime.paths import user_path
from ..provenance import provenance
from .protein_attention import ProteinAttention, read_arcs
from .view_residues import read_residues
from .view_structure import from_file, from_store

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ...opened import Model, Store

#: The pictures that are figures.
FIGURES = ("matrix", "arcs")

#: Suffixes of a page.
PAGES = (".html", ".htm")


@dataclass(frozen=True, eq=False, repr=False)
class View(ProteinAttention):
    """The attention of one protein under one model, to be drawn; a notebook shows the page.

    Attributes
    ----------
    residues : Residues
        The residues and their properties.
    arcs : Arcs
        The arcs of all heads in this protein.
    atoms : Atoms
        The atoms that are drawn.
    layer, head : int
        Head to show first, both from 0.
    threshold : float
        Minimum attention weight for an arc to be drawn.
    separation : int
        Minimum separation of the ends of an arc, in residues.
    sites : Track or None
        Boolean property to highlight; None if there is none.
    shape : tuple of (int, int)
        Layers and heads of the model.
    weights : ndarray
        float32 [source, target] of the head; 0 where the store keeps none so small.
    whole : bool
        Whether `weights` holds all of them, not those from the arc floor on alone.
    chosen : str
        How the head was chosen, in words.
    origin : mapping of str to object
        Identity of store, model and versions.
    """

    def __repr__(self) -> str:
        (model,) = self.origin["models"]
        return f"{self.residues.protein} ({len(self.residues)} residues): head {self.layer}-{self.head} of {model}"

    def matrix(self, tracks: Sequence[str] = ()) -> "Figure":
        """Draw the attention matrix of the head, with contacts, secondary structure and sites.

        Parameters
        ----------
        tracks : sequence of str, default ()
            Properties of residues to draw along the edges.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.
        """
        load_matplotlib()
        from .matrix_plot import plot_matrix

        return plot_matrix(self, tracks)

    def along(self, tracks: Sequence[str] = ()) -> "Figure":
        """Draw the arcs of the head along the sequence, contacts above and others below.

        Parameters
        ----------
        tracks : sequence of str, default ()
            Properties of residues to draw between them.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.
        """
        load_matplotlib()
        from .arc_plot import plot_arcs

        return plot_arcs(self, tracks)

    def html(self) -> str:
        """Return the page: the structure with the arcs of every head, in one file that needs no network.

        Returns
        -------
        str
            HTML.
        """
        from .view_page import render_page

        return render_page(self)

    def save(
        self, path: str | PathLike[str], figure: Literal["matrix", "arcs"] = "matrix", tracks: Sequence[str] = ()
    ) -> None:
        """Write the page to a file that ends in .html, or a figure to a .png, .svg or .pdf.

        Parameters
        ----------
        path : path
            File to write.
        figure : {'matrix', 'arcs'}, default 'matrix'
            Kind of figure.
        tracks : sequence of str, default ()
            Properties of residues to draw along the figure.

        Raises
        ------
        QueryError
            If the suffix or the figure is none of these, or the file cannot be written.

        Examples
        --------
        >>> store.view("1ABA_A", layer=5, head=4).save("1ABA_A.html")
        """
        load_matplotlib()
        from ..figure import save_figure

        if figure not in FIGURES:
            raise QueryError(f"figure is one of {', '.join(FIGURES)}, not {figure!r}.")
        path = user_path(path)
        if path.suffix.lower() not in PAGES:
            save_figure(self.matrix(tracks) if figure == "matrix" else self.along(tracks), path)
            return
        try:
            path.write_text(self.html(), encoding="utf-8")
        except OSError as error:
            raise QueryError(f"{path} cannot be written: {error.strerror}.") from error

    def _repr_html_(self) -> str:
        page = html.escape(self.html())
        style = "width:100%;height:820px;border:1px solid #d8dce0;border-radius:6px"
        title = html.escape(f"Attention on {self.residues.protein}")
        # Without allow-same-origin the page can access neither the notebook nor the data of its server.
        return f'<iframe sandbox="allow-scripts" srcdoc="{page}" title="{title}" style="{style}"></iframe>'


@time_limit.limited
def view(
    store: "Store",
    protein: str,
    *,
    model: str | None = None,
    layer: int | None = None,
    head: int | None = None,
    threshold: float = 0.3,
    separation: int = CONTACT_SEPARATION,
    sites: str | None = None,
    structure: str | PathLike[str] | None = None,
    chain: str | None = None,
    timeout: float | None = None,
) -> View:
    """Show the attention of a head in one protein; see :meth:`attnstore.Store.view`."""
    chosen = store.model(model)
    segment, local = chosen.locate(protein)
    stored = int(segment.proteins.stored[local])
    shape = chosen.document.layers, chosen.document.heads
    check_head(layer, head)
    if (layer is None) != (head is None):
        raise QueryError("layer and head go together: give both, or neither to have one chosen.")
    for value, size, what in ((layer, shape[0], "layer"), (head, shape[1], "head")):
        if value is not None:
            check_index(what, value, size)
    check_whole("separation", separation, 0, CONTACT_SEPARATION)
    if chain is not None and structure is None:
        raise QueryError("a chain is one of a structure file: give structure, too.")
    threshold = _check_threshold(threshold, chosen)
    residues = read_residues(store, protein, stored)
    shown = residues.sites(sites)
    atoms = from_store(residues) if structure is None else from_file(user_path(structure), residues, chain)
    arcs = read_arcs(store, chosen, protein)
    how = "as asked for"
    if layer is None or head is None:
        layer, head = arcs.best_head(shape, threshold, separation)
        how = "its share of contacts in this protein has the largest lower bound (Wilson, 95 %)"
    whole = "codes" in chosen.document.keep
    if whole:
        weights = np.asarray(attention(store, protein, layer, head, chosen.name), np.float32)
    else:
        weights = np.zeros((stored, stored), np.float32)
        mine = arcs.of(layer, head, 0.0)
        weights[arcs.source[mine], arcs.target[mine]] = arcs.weight[mine]
    return View(
        residues, arcs, atoms, int(layer), int(head), float(threshold), int(separation), shown, shape, weights, whole,
        how, provenance(store, [chosen.name]),
    )  # fmt: skip


def _check_threshold(threshold: float, model: "Model") -> float:
    parse_threshold(threshold)
    threshold, floor = float(threshold), model.document.arc_floor
    if threshold < floor:
        raise QueryError(f"threshold {threshold:g} is not between {floor:g}, where arcs begin, and 1.")
    if abs(threshold * 1000 - round(threshold * 1000)) > 1e-9:
        raise QueryError(f"threshold {threshold!r} has more than three decimals: write threshold={threshold:.3f}.")
    return threshold
