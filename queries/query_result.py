"""The result of a query: a pandas frame with the question, the store, and how it was answered."""

import copy
import decimal
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
import pyarrow as pa

from ..errors import QueryError
from ..runtime.paths import user_path
from ..runtime.table_output import to_frame

if TYPE_CHECKING:
    import xarray as xr

_TYPES = {
    pa.int8(): pd.Int8Dtype(), pa.int16(): pd.Int16Dtype(), pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(),
    pa.uint8(): pd.UInt8Dtype(), pa.uint16(): pd.UInt16Dtype(), pa.uint32(): pd.UInt32Dtype(),
    pa.uint64(): pd.UInt64Dtype(), pa.float32(): pd.Float32Dtype(), pa.float64(): pd.Float64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}  # fmt: skip

#: Key of a file's metadata for the question, as JSON.
METADATA = "attnstore"


class Result(pd.DataFrame):
    """Answer of a query, a pandas frame of nullable types: NULL is `pd.NA`, and integers stay integers.

    Its `attrs` contain the question and how it was answered: `sql`, `plan`, `store`, `catalog`, `models`, `approximate`
    (columns that are known within bounds) and `versions`.
    """

    _metadata: ClassVar[list[str]] = ["_table"]  # pickled with the frame

    @classmethod
    def of(cls, table: pa.Table, attributes: Mapping[str, Any]) -> "Result":
        """Make a result from an Arrow table, whose types are kept.

        Parameters
        ----------
        table : pyarrow.Table
            The rows.
        attributes : mapping of str to object
            Content of `attrs`.

        Returns
        -------
        Result
            The rows as a frame.
        """
        frame = cls(to_frame(table, _TYPES.get))
        frame.attrs.update(attributes)
        object.__setattr__(frame, "_table", table)
        return frame

    @property
    def _constructor(self) -> Any:
        # Parts of a result, and results of computations, are plain frames.
        return pd.DataFrame

    def __copy__(self) -> "Result":
        return self.__deepcopy__()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> "Result":
        copied = type(self)(self.copy())
        copied.attrs.update(copy.deepcopy(self.attrs))
        object.__setattr__(copied, "_table", object.__getattribute__(self, "_table"))  # it never changes
        return copied

    @property
    def plan(self) -> str:
        """Plan by which the query was answered, as `explain` describes it."""
        return str(self.attrs["plan"])

    def df(self) -> pd.DataFrame:
        """Return the rows as a plain pandas frame.

        Returns
        -------
        pandas.DataFrame
            The rows, without `attrs`.
        """
        return pd.DataFrame(self)

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table.

        Returns
        -------
        pyarrow.Table
            The rows, of DuckDB's types, with `attrs` in the metadata of the schema.
        """
        table: pa.Table = object.__getattribute__(self, "_table")
        return table.replace_schema_metadata({METADATA: json.dumps(self.attrs)})

    def to_xarray(self) -> "xr.Dataset":  # type: ignore[misc]
        """Return the rows over the dimensions layer and head (and model).

        Returns
        -------
        xarray.Dataset
            A variable for each other column.

        Raises
        ------
        QueryError
            If these columns are missing, or a head has several rows.
        """
        dimensions = [name for name in ("model", "layer", "head") if name in self.columns]
        if "layer" not in dimensions or "head" not in dimensions:
            raise QueryError("to_xarray() needs the columns layer and head: group by both.")
        if self.duplicated(dimensions).any():
            others = "', '".join(str(name) for name in self.columns if name not in dimensions)
            raise QueryError(f"to_xarray() needs one row a head, and here '{others}' distinguish several.")
        plain = pd.DataFrame({name: _plain(self[name]) for name in self.columns})
        dataset = plain.set_index(dimensions).to_xarray()
        return dataset.assign_attrs({key: _attribute(value) for key, value in self.attrs.items()})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the rows to a file, with `attrs` in its metadata.

        Parameters
        ----------
        path : path
            File to write: .parquet, or, with one row for each head, .nc (NetCDF) or .zarr.

        Raises
        ------
        QueryError
            If the suffix is none of these.

        Examples
        --------
        >>> store.query("SELECT layer, head, max(weight) AS top FROM attention GROUP BY ALL").save("top.nc")
        """
        path = user_path(path)
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            pq.write_table(self.to_arrow(), path)
        elif path.suffix == ".nc":
            self.to_xarray().to_netcdf(path, engine="scipy")
        elif path.suffix == ".zarr":
            self.to_xarray().to_zarr(path, mode="w", consolidated=False)
        else:
            raise QueryError(f"{path} cannot be written: its name has to end in .parquet, .nc or .zarr.")


def _plain(column: "pd.Series[Any]") -> Any:
    """A column for NumPy: NULLs of numbers are NaN."""
    if column.isna().any() and pd.api.types.is_numeric_dtype(column):
        return column.astype("Float64").to_numpy(dtype=float, na_value=float("nan"))
    return column.to_numpy()


def _attribute(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else json.dumps(value)


def whole_numbers(table: pa.Table) -> pa.Table:
    """DuckDB's sums of integers are 128 bits wide, which pandas reads as decimals: convert to int64 if they fit."""
    for at, field in enumerate(table.schema):
        if pa.types.is_decimal(field.type) and field.type.scale == 0:
            try:
                table = table.set_column(at, field.name, table.column(at).cast(pa.int64()))
            except (pa.ArrowInvalid, decimal.InvalidOperation):
                continue
    return table
