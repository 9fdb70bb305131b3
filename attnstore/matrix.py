"""One protein's attention as labelled matrices."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from .catalog import catalog_errors, connect
from .errors import QueryError, StoreError
from .store import Model, Store


def attention(
    store: Store, protein: str, layer: int | None, head: int | None, model: str | None, bounds: bool
) -> xr.DataArray | xr.Dataset:
    """See :meth:`attnstore.store.Store.attention`."""
    chosen = store.model(model)
    selected = (_index(layer, chosen.document.layers, "layer"), _index(head, chosen.document.heads, "head"))
    segment, local = _locate(chosen, protein)
    begin, end = segment.proteins.pair_offset[local : local + 2].tolist()
    length = int(segment.proteins.stored[local])
    codes = segment.codes(*selected, begin, end)
    first, last = segment.proteins.residue_offset[local : local + 2].tolist()
    special = segment.marginal("special", *selected, first, last)
    free = tuple(name for name, index in zip(("layer", "head"), selected, strict=True) if isinstance(index, slice))
    coordinates: dict[str, Any] = {
        **_coordinates(store.catalog_path, protein, length),
        "special": ((*free, "source"), special),
    }
    shape = (*codes.shape[:-1], length, length)

    def labelled(values: npt.NDArray[np.float32]) -> xr.DataArray:
        # Stored target-major; a view with source first costs nothing.
        matrix = np.swapaxes(values.reshape(shape), -1, -2)
        return xr.DataArray(matrix, dims=(*free, "source", "target"), coords=coordinates, name="weight")

    codebook = chosen.codebook
    weight = labelled(_look_up(codes, segment.bin_mean[selected]))
    result: xr.DataArray | xr.Dataset = weight
    if bounds:
        lower, upper = labelled(codebook.lower[codes]), labelled(codebook.upper[codes])
        result = xr.Dataset({"weight": weight, "lower": lower, "upper": upper})
    return result.assign_attrs(
        protein=protein, model=chosen.name, layer=_attribute(layer), head=_attribute(head),
        source_length=int(segment.proteins.length[local]), approximate="mean of the codebook's bin",
    )  # fmt: skip


def _attribute(index: int | None) -> int | str:
    return "all" if index is None else index


def _index(value: int | None, size: int, what: str) -> int | slice:
    if value is None:
        return slice(None)
    if not isinstance(value, int | np.integer) or not 0 <= value < size:
        raise QueryError(f"there is no {what} {value}: they run from 0 to {size - 1}.")
    return int(value)


def _locate(model: Model, protein: str) -> tuple[Any, int]:
    if protein in model.places:
        return model.places[protein]
    for entry in model.manifest.skipped:
        if entry.protein == protein:
            raise QueryError(f"model {model.name} skipped protein {protein}: {entry.reason}.")
    raise QueryError(f"model {model.name} holds no protein {protein!r}: `SELECT id FROM proteins` lists them.")


def _look_up(codes: npt.NDArray[np.uint8], values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Values of codes, head by head: codes [..., pairs], values [..., codes], leading dimensions alike."""
    if values.ndim == 1:
        return values[codes]
    return np.stack([_look_up(c, v) for c, v in zip(codes, values, strict=True)])


@lru_cache(maxsize=256)
def _coordinates(catalog: Path, protein: str, length: int) -> dict[str, tuple[str, npt.NDArray[Any]]]:
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
    coordinates: dict[str, tuple[str, npt.NDArray[Any]]] = {}
    for end in ("source", "target"):
        coordinates[end] = (end, np.asarray(rows["pos"]))
        coordinates[f"{end}_aa"] = (end, np.asarray(rows["aa"], dtype=str))
        coordinates[f"{end}_number"] = (end, np.ma.filled(np.ma.asarray(rows["author_number"], float), np.nan))
    for _, values in coordinates.values():
        values.flags.writeable = False  # shared by every matrix of this protein
    return coordinates
