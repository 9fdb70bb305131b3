"""One protein's attention, and its residues' representations, as labelled arrays."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from .arguments import check_head, check_index
from .catalog.reader import catalog_errors, connect
from .errors import QueryError, StoreError
from .format.documents import ingest_with, lacking
from .opened import Model, Store


def attention(store: Store, protein: str, layer: int | None, head: int | None, model: str | None) -> xr.DataArray:
    """See :meth:`attnstore.Store.attention`."""
    found = _read(store, protein, layer, head, model)
    return found["weight"].assign_attrs(found.attrs)


def attention_bounds(store: Store, protein: str, layer: int | None, head: int | None, model: str | None) -> xr.Dataset:
    """See :meth:`attnstore.Store.attention_bounds`."""
    return _read(store, protein, layer, head, model, bounds=True)


def _read(
    store: Store, protein: str, layer: int | None, head: int | None, model: str | None, *, bounds: bool = False
) -> xr.Dataset:
    """A Dataset of weight and, with `bounds`, lower and upper."""
    chosen = _holding(store, model, "codes")
    check_head(layer, head)
    selected = (_index(layer, chosen.document.layers, "layer"), _index(head, chosen.document.heads, "head"))
    segment, local = chosen.locate(protein)
    begin, end = segment.proteins.pair_offset[local : local + 2].tolist()
    length = int(segment.proteins.stored[local])
    codes = segment.codes(*selected, begin, end)
    free = tuple(name for name, index in zip(("layer", "head"), selected, strict=True) if isinstance(index, slice))
    residues = _residues(store.catalog_path, protein, length)
    coordinates: dict[str, Any] = {
        end + suffix: (end, values) for end in ("source", "target") for suffix, values in residues.items()
    }
    if "marginals" in segment.kept:
        first, last = segment.proteins.residue_offset[local : local + 2].tolist()
        coordinates["special"] = ((*free, "source"), segment.marginal("special", *selected, first, last))
    shape = (*codes.shape[:-1], length, length)

    def labelled(values: npt.NDArray[np.float32]) -> xr.DataArray:
        # Stored target-major; a view with source first costs nothing.
        matrix = np.swapaxes(values.reshape(shape), -1, -2)
        return xr.DataArray(matrix, dims=(*free, "source", "target"), coords=coordinates, name="weight")

    codebook = chosen.codebook
    parts = {"weight": labelled(_look_up(codes, segment.bin_mean[selected]))}
    if bounds:
        parts |= {"lower": labelled(codebook.lower[codes]), "upper": labelled(codebook.upper[codes])}
    return xr.Dataset(parts).assign_attrs(
        protein=protein, model=chosen.name, layer=_attribute(layer), head=_attribute(head),
        source_length=int(segment.proteins.length[local]), approximate="mean of the codebook's bin",
    )  # fmt: skip


def hidden(store: Store, protein: str, layer: int | None, model: str | None) -> xr.DataArray:
    """See :meth:`attnstore.Store.hidden`."""
    chosen = _holding(store, model, "hidden")
    selected = _index(layer, chosen.document.layers + 1, "layer")
    segment, local = chosen.locate(protein)
    begin, end = segment.proteins.residue_offset[local : local + 2].tolist()
    residues = _residues(store.catalog_path, protein, end - begin)
    found = xr.DataArray(
        segment.hidden(selected, begin, end),
        dims=(*(["layer"] if layer is None else []), "residue", "feature"),
        coords={f"residue{suffix}": ("residue", values) for suffix, values in residues.items()},
        name="hidden",
        attrs={
            "protein": protein, "model": chosen.name, "layer": _attribute(layer),
            "source_length": int(segment.proteins.length[local]),
        },
    )  # fmt: skip
    found.encoding["dtype"] = "float32"  # in files: NetCDF has no float16
    return found


def _holding(store: Store, name: str | None, what: str) -> Model:
    """A model that keeps something; raises QueryError where it does not."""
    model = store.model(name)
    keep = model.document.keep
    if what not in keep:
        cure = ingest_with(keep, what)
        if what == "codes" and "arcs" in keep:
            floor = model.document.arc_floor
            cure = f"its weights of {floor:g} or more are in the table arcs, `SELECT … FROM arcs`; or {cure}"
        raise QueryError(f"{lacking(model.name, keep, what)}: {cure}.")
    return model


def _attribute(index: int | None) -> int | str:
    return "all" if index is None else index


def _index(value: int | None, size: int, what: str) -> int | slice:
    if value is None:
        return slice(None)
    return check_index(what, value, size)


def _look_up(codes: npt.NDArray[np.uint8], values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Values of codes, head by head: codes [..., pairs], values [..., codes], leading dimensions alike."""
    if values.ndim == 1:
        return values[codes]
    return np.stack([_look_up(c, v) for c, v in zip(codes, values, strict=True)])


@lru_cache(maxsize=256)
def _residues(catalog: Path, protein: str, length: int) -> dict[str, npt.NDArray[Any]]:
    """Coordinates of a protein's residues, by the suffix of their name: '' (position), '_aa' and '_number'."""
    connection = connect(catalog)
    try:
        with catalog_errors(catalog):
            rows = connection.execute(
                "SELECT pos, aa, author_number FROM residues WHERE protein_index = "
                "(SELECT protein_index FROM proteins WHERE id = ?) AND pos < ? ORDER BY pos",
                [protein, length],
            ).fetchnumpy()
    finally:
        connection.close()
    if len(rows["pos"]) != length:
        raise StoreError(f"the catalog {catalog} is damaged: it has {len(rows['pos'])} residues of {protein}.")
    residues = {
        "": np.asarray(rows["pos"]),
        "_aa": np.asarray(rows["aa"], dtype=str),
        "_number": np.ma.filled(np.ma.asarray(rows["author_number"], float), np.nan),
    }
    for values in residues.values():
        values.flags.writeable = False  # shared by every array of this protein
    return residues
