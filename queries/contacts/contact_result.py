"""Results of contact prediction: a map of one protein, or precision over many, as xarray objects."""

import pandas as pd
import xarray as xr

from ...arguments import CONTACT_DISTANCE, CONTACT_SEPARATION
from ...errors import QueryError


class ContactMap(xr.DataArray):  # type: ignore[no-untyped-call]
    """Predicted contacts of a protein, an `xarray.DataArray` [i, j] of scores, symmetric.

    Coordinates: i and j, positions from 0; i_aa, j_aa; i_number, j_number, the authors' numbers, NaN if there is none;
    distance [i, j], float32 in Å, NaN if unknown. The attributes say how it was made.
    """

    __slots__ = ()

    def to_table(self, top: int | None = None) -> pd.DataFrame:
        """Return the best-scored pairs six or more apart, best first.

        Parameters
        ----------
        top : int, optional
            Number of pairs (default: the number of residues).

        Returns
        -------
        pandas.DataFrame
            Columns i, j, i_aa, j_aa, i_number, j_number, separation, score, distance, contact; NULL if not known.

        Raises
        ------
        QueryError
            If `top` is less than 1.
        """
        import numpy as np

        if top is not None and top < 1:
            raise QueryError(f"top is at least 1, not {top}.")
        length = self.sizes["i"]
        i, j = np.triu_indices(length, CONTACT_SEPARATION)
        best = np.argsort(-self.values[i, j], kind="stable")[: length if top is None else top]
        i, j = i[best], j[best]
        distance = pd.Series(self["distance"].values[i, j].astype(np.float64)).astype("Float64")
        return pd.DataFrame(
            {
                "i": i,
                "j": j,
                "i_aa": self["i_aa"].values[i],
                "j_aa": self["j_aa"].values[j],
                "i_number": pd.Series(self["i_number"].values[i]).astype("Int64"),
                "j_number": pd.Series(self["j_number"].values[j]).astype("Int64"),
                "separation": j - i,
                "score": self.values[i, j],
                "distance": distance,
                "contact": distance < CONTACT_DISTANCE,
            }
        )


class ContactEvaluation(xr.Dataset):  # type: ignore[no-untyped-call]
    """Precision of predicted contacts, an `xarray.Dataset` by range of separation and length of the list.

    Variables over (range, top), means over the proteins with a known contact in the range:

    - precision, with low and high, a bootstrap interval over clusters, NaN for fewer than five clusters (see
      :func:`~attnstore.queries.statistics.cluster_intervals.cluster_interval`);
    - exhausted: number of proteins with no more pairs than the list has, for which any scores give the same;
    - random (range): mean precision of a random order;
    - proteins (range): number of proteins.

    Over proteins: by_protein (protein, range, top), NaN without a known contact; pairs and contacts (protein, range),
    numbers of pairs of known distance.

    If every head was evaluated, over (layer, head): head_precision (layer, head, range, top), head_low and head_high of
    the precision by which heads are ranked, head_chosen (that precision on the selected proteins), alignment (share of
    arcs with α ≥ 0.3 and separation ≥ 6 that are contacts, on the same proteins) and arcs (their number).
    """

    __slots__ = ()

    def to_table(self) -> pd.DataFrame:
        """Return a row for each range and length of the list.

        Returns
        -------
        pandas.DataFrame
            Columns range, top, precision, low, high, random, proteins, exhausted.
        """
        columns = ["precision", "low", "high", "random", "proteins", "exhausted"]
        return self[columns].to_dataframe(["range", "top"]).reset_index()[["range", "top", *columns]]

    @property
    def heads(self) -> pd.DataFrame:
        """Table of all heads, the most precise first: precision, low, high, chosen, alignment and arcs.

        Raises
        ------
        QueryError
            If heads were not evaluated one by one.
        """
        if "head_precision" not in self:
            raise QueryError("heads are evaluated one by one by method 'head', with neither layer nor head given.")
        span, top = self.attrs["rank_range"], self.attrs["rank_top"]
        frame = xr.Dataset(
            {
                "precision": self["head_precision"].sel(range=span, top=top, drop=True),
                "low": self["head_low"],
                "high": self["head_high"],
                "chosen": self["head_chosen"],
                "alignment": self["alignment"],
                "arcs": self["arcs"],
            }
        )
        table = frame.to_dataframe(["layer", "head"]).reset_index()
        return table.sort_values(["precision", "layer", "head"], ascending=[False, True, True], ignore_index=True)
