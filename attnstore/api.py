"""The store as users see it: every question a method, every option in its signature.

This module is on the roof: it may import everything, and nothing below imports it.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from . import opened
from .runtime.paths import user_path

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import xarray as xr
    from distributed import Client

    from .catalog.relation import Relation
    from .integrity import Problem
    from .queries.alignment import Alignment
    from .queries.contacts.contact_result import ContactEvaluation, ContactMap
    from .queries.contacts.predictor import ContactPredictor
    from .queries.probe.probe_result import Probing
    from .queries.query_result import Result
    from .queries.report.report import Report
    from .queries.view.view import View

__all__ = ["Store", "open_store"]


class Store(opened.Store):
    """Proteins and the attention that models pay to them. Open one with :func:`attnstore.open`.

    Attributes
    ----------
    path : Path
        Folder of the store.
    models : mapping of str to Model
        Models by name.
    document : StoreDocument
        Which catalog is current, and how many proteins and residues it holds.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its path: a copy, also in another process, is the store opened again."""
        return open_store, (self.path.absolute(),)

    def attention(
        self,
        protein: str,
        layer: int | None = None,
        head: int | None = None,
        *,
        model: str | None = None,
    ) -> "xr.DataArray":
        """Return the attention matrix of a protein.

        Weights come from the codes: each is the mean of its bin in its head, and lies within the bin's edges.

        Parameters
        ----------
        protein : str
            Identifier of the protein.
        layer, head : int, optional
            Layer and head, counted from 0 (default: all).
        model : str, optional
            Name of the model; needed if the store has several.

        Returns
        -------
        xarray.DataArray
            float32 [source, target], after [layer] and [head] if these were left out. Source attends to target.
            Rows do not sum to 1: the weight that goes to special tokens is in the coordinate `special` of `source`,
            if marginals were kept.

        Raises
        ------
        QueryError
            If there is no such protein, layer, head or model, or the model's codes were not kept.
        StoreError
            If the codes are damaged.

        Examples
        --------
        >>> store.attention("1ABA_A", layer=5, head=4).shape
        (87, 87)
        """
        from .matrix import attention

        with self.as_opened():
            return attention(self, protein, layer, head, model)

    def attention_bounds(
        self,
        protein: str,
        layer: int | None = None,
        head: int | None = None,
        *,
        model: str | None = None,
    ) -> "xr.Dataset":
        """Return the attention matrix of a protein, with the bounds within which each weight lies.

        Parameters
        ----------
        protein : str
            Identifier of the protein.
        layer, head : int, optional
            Layer and head, counted from 0 (default: all).
        model : str, optional
            Name of the model; needed if the store has several.

        Returns
        -------
        xarray.Dataset
            `weight`, as from :meth:`attention`, and the edges `lower` and `upper` of its bin, each float32.

        Raises
        ------
        QueryError
            If there is no such protein, layer, head or model, or the model's codes were not kept.
        StoreError
            If the codes are damaged.

        Examples
        --------
        >>> bounds = store.attention_bounds("1ABA_A", layer=5, head=4)
        >>> bool(((bounds.lower <= bounds.weight) & (bounds.weight <= bounds.upper)).all())
        True
        """
        from .matrix import attention_bounds

        with self.as_opened():
            return attention_bounds(self, protein, layer, head, model)

    def hidden(
        self,
        protein: str,
        layer: int | None = None,
        *,
        model: str | None = None,
    ) -> "xr.DataArray":
        """Return the representations of a protein's residues in each layer.

        Parameters
        ----------
        protein : str
            Identifier of the protein.
        layer : int, optional
            Number of the representation: 0 is the embeddings, n the output of the n-th layer (default: all).
        model : str, optional
            Name of the model; needed if the store has several.

        Returns
        -------
        xarray.DataArray
            float16 [residue, feature], after [layer] if it was left out.

        Raises
        ------
        QueryError
            If there is no such protein, layer or model, or hidden representations were not kept.
        StoreError
            If they are damaged.

        Examples
        --------
        >>> store.hidden("1ABA_A", layer=6).dims
        ('residue', 'feature')
        """
        from .matrix import hidden

        with self.as_opened():
            return hidden(self, protein, layer, model)

    def sql(
        self,
        sql: str,
        *,
        timeout: float | None = None,
    ) -> "Relation":
        """Run one SELECT of DuckDB's SQL over the tables of the store other than attention.

        The tables are ``proteins``, ``members``, ``residues``, ``pairs``, ``properties``, ``property_sources``,
        ``excluded``, ``arcs``, ``heads``, ``models`` and ``skipped``. DuckDB can read no other file.

        Parameters
        ----------
        sql : str
            Exactly one SELECT.
        timeout : float, optional
            Time limit in seconds (default: none).

        Returns
        -------
        Relation
            The rows, computed when they are read, as by ``.df()``, ``.fetchall()`` or ``.to_arrow_table()``.

        Raises
        ------
        QueryError
            If it is not exactly one SELECT, or does not bind.

        Examples
        --------
        >>> store.sql("SELECT length FROM proteins WHERE id = '1ABA_A'").fetchall()
        [(87,)]
        """
        from .catalog_sql import relation

        with self.as_opened():
            return relation(self, sql, timeout=timeout)

    def proteins(self) -> "Relation":
        """Return the table of proteins: identifier, length, sequence and properties.

        Returns
        -------
        Relation
            The rows, computed when they are read, as by ``.df()``, ``.fetchall()`` or ``.to_arrow_table()``.

        Examples
        --------
        >>> list(store.proteins().df().columns[:3])
        ['protein_index', 'id', 'length']
        """
        return self.sql("SELECT * FROM proteins ORDER BY protein_index")

    def residues(self) -> "Relation":
        """Return the table of residues: protein, position, amino acid, coordinates and properties.

        Returns
        -------
        Relation
            The rows, computed when they are read, as by ``.df()``, ``.fetchall()`` or ``.to_arrow_table()``.

        Examples
        --------
        >>> store.residues().df()[["protein", "pos", "aa"]].head(1)
          protein  pos aa
        0  1ABA_A    0  T
        """
        return self.sql("SELECT * FROM residues ORDER BY protein_index, pos")

    def pairs(self) -> "Relation":
        """Return the table of pairs for which a property is listed.

        A row without `source` and `target` holds for all other pairs of its protein.

        Returns
        -------
        Relation
            The rows, computed when they are read, as by ``.df()``, ``.fetchall()`` or ``.to_arrow_table()``.

        Examples
        --------
        >>> len(store.pairs())
        0
        """
        return self.sql("SELECT * FROM pairs ORDER BY protein_index, source NULLS FIRST, target")

    def properties(self) -> "Relation":
        """Return the dictionary of properties: type, unit, meaning, source, and number of known and true values.

        Returns
        -------
        Relation
            The rows, computed when they are read, as by ``.df()``, ``.fetchall()`` or ``.to_arrow_table()``.

        Examples
        --------
        >>> store.properties().df().set_index("name").loc["length", "unit"]
        'residues'
        """
        return self.sql("SELECT * FROM properties")

    def annotate(
        self,
        *inputs: "str | os.PathLike[str] | pd.DataFrame | pa.Table",
        fetch: Sequence[str] = (),
        on: Sequence[str] | None = None,
        columns: Sequence[str] | Mapping[str, str] | None = None,
        kinds: Mapping[str, Literal["boolean", "integer", "float", "category"]] | None = None,
        units: Mapping[str, str] | None = None,
        descriptions: Mapping[str, str] | None = None,
        numbering: Literal["0", "1", "author"] = "0",
        symmetric: bool = False,
        missing: Sequence[str] = (),
        delimiter: str | None = None,
        decimal: Literal[".", ","] | None = None,
        encoding: str | None = None,
        absent: Literal["null", "false"] = "null",
        match: Literal["id", "sequence"] = "id",
        mismatch: Literal["refuse", "align", "skip"] = "refuse",
        replace: bool = False,
        drop: Sequence[str] = (),
        name: str = "a table in memory",
        ligand_distance: float | None = None,
        dssp: bool = False,
        predicted: bool = False,
    ) -> "Store":
        """Add properties of proteins, residues and pairs, and coordinates of proteins that have none.

        This object stays as it was opened; the store with the properties is returned.

        Parameters
        ----------
        *inputs : path or pandas.DataFrame or pyarrow.Table
            Files and folders that `ingest` reads, output of DSSP, tables (.csv, .tsv, .parquet, clusters of MMseqs2),
            and frames. Records and rows of proteins that are not in the store are ignored, with a warning.
        fetch : sequence of str, default ()
            PDB ids and UniProt accessions to download and read.
        on : sequence of str, optional
            Key columns of tables: protein; protein and position; or protein, source and target (default: `id` or
            `protein`, `pos`, `source`, `target`, as far as the table has them).
        columns : sequence of str or mapping of str to str, optional
            Columns of a table, or properties of another file, to read, or their new names (default: all).
        kinds : mapping of str to {'boolean', 'integer', 'float', 'category'}, optional
            Type of a column, by its name (default: by its values).
        units : mapping of str to str, optional
            Unit of a property, by its name.
        descriptions : mapping of str to str, optional
            Description of a property, by its name.
        numbering : {'0', '1', 'author'}, default '0'
            How tables number residues: from 0, from 1, or as the authors of the structure ('52A' with insertion code).
        symmetric : bool, default False
            Each pair of a table also applies with source and target exchanged.
        missing : sequence of str, default ()
            Cells of tables that mean a missing value, in text columns too. An empty cell is always missing. In columns
            of numbers and booleans NA, N/A, #N/A, null, None, nan, - and . are missing too, with a warning.
        delimiter : str, optional
            Character between the cells of a table, or 'tab' (default: detected).
        decimal : {'.', ','}, optional
            Decimal mark of numbers in tables (default: detected).
        encoding : str, optional
            Encoding of a text table, such as 'cp1252' (default: detected).
        absent : {'null', 'false'}, default 'null'
            Value of a feature that a file does not list: NULL (unknown) or FALSE (the protein has none).
        match : {'id', 'sequence'}, default 'id'
            How records are matched to proteins: by identifier, or else by sequence.
        mismatch : {'refuse', 'align', 'skip'}, default 'refuse'
            How to treat a record whose sequence differs from the store's: raise an error, align the two and use the
            aligned residues if nine in ten are equal, or skip the record.
        replace : bool, default False
            Replace values that are already known.
        drop : sequence of str, default ()
            Properties to remove first.
        name : str, default 'a table in memory'
            Name of a frame in the dictionary of properties.
        ligand_distance : float, optional
            Largest distance, in Å, between heavy atoms of a binding residue and of its ligand (default: BioLiP's
            criterion, two pairs of atoms within their van der Waals radii + 0.5 Å).
        dssp : bool, default False
            Run mkdssp on structure files to assign secondary structure.
        predicted : bool, default False
            Read B-factors as pLDDT in structure files that declare no experiment.

        Returns
        -------
        Store
            The store, opened again.

        Raises
        ------
        AttnstoreError
            If an input cannot be read, or does nothing but repeat properties that are known from another source. The
            store is then as it was.

        Examples
        --------
        >>> import pandas as pd
        >>> stability = pd.DataFrame({"id": ["1ABA_A", "1ABA_A"], "pos": [9, 10], "ddg": [1.2, 0.3]})
        >>> store = store.annotate(stability, units={"ddg": "kcal/mol"})
        >>> store.sql("SELECT pos, ddg FROM residues WHERE ddg IS NOT NULL").fetchall()
        [(9, 1.2), (10, 0.3)]
        """
        from .annotate.annotation import annotate

        annotate(
            self.path, inputs, fetch=fetch, on=on, columns=columns, kinds=kinds, units=units,
            descriptions=descriptions, numbering=numbering, symmetric=symmetric, missing=missing,
            delimiter=delimiter, decimal=decimal, encoding=encoding, absent=absent, match=match,
            mismatch=mismatch, replace=replace, drop=drop, name=name, ligand_distance=ligand_distance,
            dssp=dssp, predicted=predicted,
        )  # fmt: skip
        return open_store(self.path)

    def export(
        self,
        target: str | os.PathLike[str],
        format: Literal["duckdb", "parquet"] = "duckdb",  # noqa: A002 - as the command line has it
        *,
        arcs: bool = False,
    ) -> list[str]:
        """Write the tables of the store to a DuckDB file or to Parquet files, for other programs.

        Parameters
        ----------
        target : path
            File ('duckdb') or folder ('parquet', with a file for each table) to write. It must not exist.
        format : {'duckdb', 'parquet'}, default 'duckdb'
            Format of the tables.
        arcs : bool, default False
            Also write the arcs of every model, the largest part of a store.

        Returns
        -------
        list of str
            Names of the tables.

        Raises
        ------
        AttnstoreError
            If the target exists or cannot be written. Nothing is then left of it.

        Examples
        --------
        >>> "residues" in store.export("demo.duckdb")
        True
        """
        from .export import export

        with self.as_opened():
            return export(self, user_path(target), format, arcs=arcs)

    def query(
        self,
        sql: str,
        *,
        tier: Literal["pairs", "marginals", "arcs", "codes"] | None = None,
        memory_limit: int | str | None = None,
        disk_limit: int | str | None = None,
        timeout: float | None = None,
        scheduler: "str | Client | None" = None,
        progress: bool = False,
    ) -> "Result":
        """Answer one SELECT of DuckDB's SQL over the virtual table `attention` and the store's other tables.

        `attention` has a row for every model, protein, layer, head, source and target, with the columns `weight`,
        `reverse_weight`, `separation`, `distance`, `distance_ca`, `contact`, `contact_ca`, `source.…`, `target.…`,
        `protein.…` and `pair.…`; ``docs/queries.md`` is the reference.

        Parameters
        ----------
        sql : str
            Exactly one SELECT.
        tier : {'pairs', 'marginals', 'arcs', 'codes'}, optional
            Tier to read (default: for each block the cheapest that answers).
        memory_limit : int or str, optional
            Largest memory, in bytes or as text such as '4GB' (default: half of the machine's memory).
        disk_limit : int or str, optional
            Largest size of DuckDB's temporary files, in bytes or as text such as '50GB' (default: 10 GB, at most half
            of the free space). They are removed when the process ends.
        timeout : float, optional
            Time limit in seconds (default: none).
        scheduler : str or Client, optional
            Dask scheduler that does the work, as an address or client (default: threads of this machine).
        progress : bool, default False
            Show a progress bar on standard error.

        Returns
        -------
        Result
            A pandas frame. If weights come from codes, columns of sums or extremes of weights have two more at the end,
            `<name>_min` and `<name>_max`, within which the exact value lies.

        Raises
        ------
        QueryError
            If it cannot be answered; the message quotes the part and names the cure.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> means = store.query("SELECT layer, avg(weight) AS mean FROM attention WHERE weight >= 0.3 GROUP BY ALL")
        >>> bool((means["mean"] >= 0.3).all())
        True
        """
        from .queries.query import query

        with self.as_opened():
            return query(
                self, sql, tier=tier, memory_limit=memory_limit, disk_limit=disk_limit, timeout=timeout,
                scheduler=scheduler, progress=progress,
            )  # fmt: skip

    def stream(
        self,
        sql: str,
        *,
        tier: Literal["pairs", "marginals", "arcs", "codes"] | None = None,
        memory_limit: int | str | None = None,
        disk_limit: int | str | None = None,
        timeout: float | None = None,
        scheduler: "str | Client | None" = None,
        progress: bool = False,
    ) -> "pa.RecordBatchReader":
        """Answer like :meth:`query`, in Arrow batches: rows are computed only when they are read.

        Parameters
        ----------
        sql : str
            Exactly one SELECT.
        tier : {'pairs', 'marginals', 'arcs', 'codes'}, optional
            Tier to read (default: for each block the cheapest that answers).
        memory_limit : int or str, optional
            Largest memory, in bytes or as text such as '4GB' (default: half of the machine's memory).
        disk_limit : int or str, optional
            Largest size of DuckDB's temporary files, in bytes or as text such as '50GB' (default: 10 GB, at most half
            of the free space). They are removed when the process ends.
        timeout : float, optional
            Time limit in seconds (default: none).
        scheduler : str or Client, optional
            Dask scheduler that does the work, as an address or client (default: threads of this machine).
        progress : bool, default False
            Show a progress bar on standard error.

        Returns
        -------
        pyarrow.RecordBatchReader
            Its schema's metadata contains the question, as JSON under `attnstore`.

        Raises
        ------
        QueryError
            If it cannot be answered; the message quotes the part and names the cure.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> reader = store.stream("SELECT protein, layer, head, weight FROM attention WHERE weight >= 0.9")
        >>> sum(batch.num_rows for batch in reader) > 0
        True
        """
        from .queries.query import stream

        with self.as_opened():
            return stream(
                self, sql, tier=tier, memory_limit=memory_limit, disk_limit=disk_limit, timeout=timeout,
                scheduler=scheduler, progress=progress,
            )  # fmt: skip

    def explain(
        self,
        sql: str,
        *,
        tier: Literal["pairs", "marginals", "arcs", "codes"] | None = None,
        memory_limit: int | str | None = None,
        disk_limit: int | str | None = None,
        timeout: float | None = None,
    ) -> str:
        """Explain how :meth:`query` would answer a statement, without answering it.

        Parameters
        ----------
        sql : str
            Exactly one SELECT.
        tier : {'pairs', 'marginals', 'arcs', 'codes'}, optional
            Tier to read (default: for each block the cheapest that answers).
        memory_limit : int or str, optional
            Largest memory, in bytes or as text such as '4GB' (default: half of the machine's memory).
        disk_limit : int or str, optional
            Largest size of DuckDB's temporary files, in bytes or as text such as '50GB' (default: 10 GB, at most half
            of the free space). They are removed when the process ends.
        timeout : float, optional
            Time limit in seconds (default: none).

        Returns
        -------
        str
            For each block the tier and the reason for it, the conditions and the cost; then the total.

        Raises
        ------
        QueryError
            If it cannot be answered; the message quotes the part and names the cure.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> plan = store.explain("SELECT layer, count(*) FROM attention WHERE weight >= 0.3 GROUP BY ALL")
        >>> "arcs" in plan
        True
        """
        from .queries.query import explain

        with self.as_opened():
            return explain(self, sql, tier=tier, memory_limit=memory_limit, disk_limit=disk_limit, timeout=timeout)

    def align(
        self,
        predicate: str,
        *,
        where: str | None = None,
        threshold: float | Literal["auto"] | None = "auto",
        weighted: bool = False,
        background: Literal["eligible", "separation", "protein", "paper", "none"] = "eligible",
        paper: bool = False,
        model: str | None = None,
        average: Literal["micro", "macro"] = "micro",
        cluster_by: str = "protein",
        split: bool = False,
        min_arcs: int = 100,
        min_proteins: int | None = None,
        rank_by: Literal["lower", "share", "enrichment"] | None = None,
        level: float = 0.95,
        replicates: int | None = None,
        seed: int = 0,
        tier: Literal["marginals", "arcs", "codes"] | None = None,
        scheduler: "str | Client | None" = None,
        progress: bool = False,
        timeout: float | None = None,
    ) -> "Alignment":
        """Measure how each head's attention aligns with a property of residue pairs.

        The share of a head is the number of its arcs for which the property f is true, divided by the number of its
        arcs for which f is known. An arc is an ordered pair with attention ≥ θ (Vig et al. 2021, eq. 1, which counts
        unknown as false: `paper`). The weighted form divides the sum of attention where f is true by the sum where f is
        known.

        Parameters
        ----------
        predicate : str
            The property f: an SQL condition over ``source.*``, ``target.*``, ``protein.*``, ``pair.*``,
            ``separation``, ``distance``, ``distance_ca``, ``contact`` and ``contact_ca``.
        where : str, optional
            SQL condition; only pairs for which it is true are counted (default: all pairs).
        threshold : float or {'auto'} or None, default 'auto'
            Minimum attention weight θ for a pair to count as an arc. 'auto' is 0.3, or 0 in the weighted form. None is
            the curve over all thresholds: 0 and every edge of the codebook.
        weighted : bool, default False
            Measure the share of attention weight instead of the share of arcs.
        background : {'eligible', 'separation', 'protein', 'paper', 'none'}, default 'eligible'
            Pairs that the share is compared with. 'eligible': all pairs that could be arcs. 'separation': pairs at the
            same separations as the arcs. 'protein': pairs of the same proteins. 'paper': as in Vig et al. 2021.
            'none': no enrichment and no test.
        paper : bool, default False
            Use the form of Vig et al. 2021: unknown counts as false, their background, their ranking (by share, heads
            with more than `min_arcs` arcs), Wald intervals at 0.05/m.
        model : str, optional
            Name of the model; needed if the store has several.
        average : {'micro', 'macro'}, default 'micro'
            'micro': share of all arcs. 'macro': mean of the shares of single clusters, each of which counts once; with
            a background and a bootstrap interval of its own, and no test.
        cluster_by : str, default 'protein'
            'protein', or a column of the table proteins, such as a sequence family: the bootstrap draws whole clusters,
            `average` averages them and `split` divides them. A protein whose column is NULL is a cluster of its own.
        split : bool, default False
            Rank the heads on one half of the clusters and report them on the other half: a head that is selected as the
            best of many on the same data looks better than it is.
        min_arcs : int, default 100
            Minimum number of known arcs for a head to be ranked (`paper`: more than this number).
        min_proteins : int, optional
            Minimum number of proteins (clusters, with `cluster_by`) with known arcs for a head to be ranked (default:
            5, the least for an interval; 0 with `paper`).
        rank_by : {'lower', 'share', 'enrichment'}, optional
            Order of the heads. 'lower': lower bound of the interval, so that a head with few arcs does not lead by
            luck (default: 'lower'; 'share' with `paper` and without an interval). Heads whose share is below their
            background come last, except with `paper`.
        level : float, default 0.95
            Confidence level of the intervals, between 0 and 1.
        replicates : int, optional
            Number of bootstrap replicates over clusters (0: none; default: 1,000, and 0 for a curve). There is no
            bootstrap interval of fewer than five clusters. With fewer than 200 replicates the intervals are wider than
            needed.
        seed : int, default 0
            Random seed of the bootstrap and of `split`.
        tier : {'marginals', 'arcs', 'codes'}, optional
            Tier to read (default: the cheapest that answers). A curve from arcs begins at the arc floor.
        scheduler : str or Client, optional
            Dask scheduler that does the work, as an address or client; its workers see the store under the same path
            (default: threads of this machine).
        progress : bool, default False
            Show a progress bar on standard error.
        timeout : float, optional
            Time limit in seconds (default: none).

        Returns
        -------
        Alignment
            An `xarray.Dataset` over (layer, head), or (threshold, layer, head) for a curve, with the question in its
            attributes. A curve has no tests: scanned thresholds need another correction than heads.

        Raises
        ------
        QueryError
            If the question cannot be answered; the message quotes the clause and names the cure.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> heads = store.align("contact", where="separation >= 6", threshold=0.3).to_table()
        >>> len(heads)
        120
        """
        from .queries.align import align

        with self.reading():
            return align(
                self, predicate, where=where, threshold=threshold, weighted=weighted,
                background=background, paper=paper, model=model, average=average, cluster_by=cluster_by,
                split=split, min_arcs=min_arcs, min_proteins=min_proteins, rank_by=rank_by, level=level,
                replicates=replicates, seed=seed, tier=tier, scheduler=scheduler, progress=progress,
                timeout=timeout,
            )  # fmt: skip

    def contacts(
        self,
        protein: str,
        *,
        method: Literal["head", "topk", "logistic"] = "topk",
        layer: int | None = None,
        head: int | None = None,
        k: int | None = None,
        c: float | None = None,
        apc: bool = True,
        select: int | str | Sequence[str] | None = None,
        rank_range: Literal["all", "short", "medium", "long"] | None = None,
        rank_top: Literal["L", "L/2", "L/5"] | None = None,
        atom: Literal["cb", "ca"] = "cb",
        seed: int = 0,
        cluster_by: str = "protein",
        model: str | None = None,
        scheduler: "str | Client | None" = None,
        progress: bool = False,
        timeout: float | None = None,
    ) -> "ContactMap":
        """Predict the contacts of one protein from attention (Rao et al. 2021; arXiv 2606.21876).

        :meth:`contact_precision` measures how good such a prediction is on other proteins.

        Parameters
        ----------
        protein : str
            Identifier of the protein.
        method : {'head', 'topk', 'logistic'}, default 'topk'
            'head': one head. 'topk': mean of the k best heads. 'logistic': regression on all heads.
        layer, head : int, optional
            Head for method 'head', both counted from 0 (default: the best head).
        k : int, optional
            Number of heads for method 'topk' (default: the best of 1, 2, 3, 5, 7, 10 and 20 on the selected proteins).
        c : float, optional
            Inverse strength of the L1 penalty of method 'logistic' (default: 0.15, as in Rao et al. 2021).
        apc : bool, default True
            Apply the average product correction.
        select : int or str or sequence of str, optional
            Proteins to select heads or fit the regression on: a number to draw, each from another cluster and with
            known contacts; an SQL condition on the table proteins; or identifiers (default: 10).
        rank_range : {'all', 'short', 'medium', 'long'}, optional
            Range of separations in which the precision of heads is ranked, for methods 'head' and 'topk' (default:
            'all').
        rank_top : {'L', 'L/2', 'L/5'}, optional
            Length of the list of contacts in which the precision of heads is ranked, L being the length of the protein
            (default: 'L').
        atom : {'cb', 'ca'}, default 'cb'
            Atoms that are less than 8 Å apart in a contact: Cβ or Cα.
        seed : int, default 0
            Random seed of the draw of proteins and of the bootstrap.
        cluster_by : str, default 'protein'
            'protein', or a column of the table proteins, such as a sequence family: whole clusters are selected or
            evaluated. A protein whose column is NULL is a cluster of its own.
        model : str, optional
            Name of the model; needed if the store has several.
        scheduler : str or Client, optional
            Dask scheduler that does the work, as an address or client (default: threads of this machine).
        progress : bool, default False
            Show a progress bar on standard error.
        timeout : float, optional
            Time limit in seconds (default: none).

        Returns
        -------
        ContactMap
            float64 [i, j], scores of all pairs. No method learns from pairs less than six residues apart.

        Raises
        ------
        QueryError
            If an option is not possible, or a protein is of a cluster that was selected.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> len(store.contacts("1ABA_A", k=3, select=4).to_table(5))
        5
        """
        from .queries.contacts.prediction import contacts

        with self.reading():
            return contacts(
                self, protein, method=method, layer=layer, head=head, k=k, c=c, apc=apc, select=select,
                rank_range=rank_range, rank_top=rank_top, atom=atom, seed=seed, cluster_by=cluster_by,
                model=model, scheduler=scheduler, progress=progress, timeout=timeout,
            )  # fmt: skip

    def contact_precision(
        self,
        proteins: str | Sequence[str] | None = None,
        *,
        method: Literal["head", "topk", "logistic"] = "topk",
        layer: int | None = None,
        head: int | None = None,
        k: int | None = None,
        c: float | None = None,
        apc: bool = True,
        select: int | str | Sequence[str] | None = None,
        rank_range: Literal["all", "short", "medium", "long"] | None = None,
        rank_top: Literal["L", "L/2", "L/5"] | None = None,
        atom: Literal["cb", "ca"] = "cb",
        level: float = 0.95,
        replicates: int = 1000,
        seed: int = 0,
        cluster_by: str = "protein",
        model: str | None = None,
        scheduler: "str | Client | None" = None,
        progress: bool = False,
        timeout: float | None = None,
    ) -> "ContactEvaluation":
        """Measure the precision of contacts predicted from attention, over many proteins.

        Heads are selected, and coefficients fitted, on proteins of other clusters than those evaluated.

        Parameters
        ----------
        proteins : str or sequence of str, optional
            Identifiers of the proteins to evaluate (default: all that are not of a selected cluster; the number of the
            others is reported).
        method : {'head', 'topk', 'logistic'}, default 'topk'
            'head': one head. 'topk': mean of the k best heads. 'logistic': regression on all heads.
        layer, head : int, optional
            Head for method 'head', both counted from 0 (default: the best head).
        k : int, optional
            Number of heads for method 'topk' (default: the best of 1, 2, 3, 5, 7, 10 and 20 on the selected proteins).
        c : float, optional
            Inverse strength of the L1 penalty of method 'logistic' (default: 0.15, as in Rao et al. 2021).
        apc : bool, default True
            Apply the average product correction.
        select : int or str or sequence of str, optional
            Proteins to select heads or fit the regression on: a number to draw, each from another cluster and with
            known contacts; an SQL condition on the table proteins; or identifiers (default: 10).
        rank_range : {'all', 'short', 'medium', 'long'}, optional
            Range of separations in which the precision of heads is ranked, for methods 'head' and 'topk' (default:
            'all').
        rank_top : {'L', 'L/2', 'L/5'}, optional
            Length of the list of contacts in which the precision of heads is ranked, L being the length of the protein
            (default: 'L').
        atom : {'cb', 'ca'}, default 'cb'
            Atoms that are less than 8 Å apart in a contact: Cβ or Cα.
        level : float, default 0.95
            Confidence level of the intervals, between 0 and 1.
        replicates : int, default 1000
            Number of bootstrap replicates over clusters (0: no intervals).
        seed : int, default 0
            Random seed of the draw of proteins and of the bootstrap.
        cluster_by : str, default 'protein'
            'protein', or a column of the table proteins, such as a sequence family: whole clusters are selected or
            evaluated. A protein whose column is NULL is a cluster of its own.
        model : str, optional
            Name of the model; needed if the store has several.
        scheduler : str or Client, optional
            Dask scheduler that does the work, as an address or client (default: threads of this machine).
        progress : bool, default False
            Show a progress bar on standard error.
        timeout : float, optional
            Time limit in seconds (default: none).

        Returns
        -------
        ContactEvaluation
            An `xarray.Dataset`: precision by range and list length, with intervals. With method 'head' and neither
            `layer` nor `head`, every head is evaluated next to the selected one.

        Raises
        ------
        QueryError
            If an option is not possible, or a protein is of a cluster that was selected.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> store.contact_precision(method="head", select=3, replicates=0).to_table().shape
        (12, 8)
        """
        from .queries.contacts.prediction import contact_precision

        with self.reading():
            return contact_precision(
                self, proteins, method=method, layer=layer, head=head, k=k, c=c, apc=apc, select=select,
                rank_range=rank_range, rank_top=rank_top, atom=atom, level=level, replicates=replicates,
                seed=seed, cluster_by=cluster_by, model=model, scheduler=scheduler, progress=progress,
                timeout=timeout,
            )  # fmt: skip

    def fit_contacts(
        self,
        *,
        method: Literal["head", "topk", "logistic"] = "topk",
        layer: int | None = None,
        head: int | None = None,
        k: int | None = None,
        c: float | None = None,
        apc: bool = True,
        select: int | str | Sequence[str] | None = None,
        rank_range: Literal["all", "short", "medium", "long"] | None = None,
        rank_top: Literal["L", "L/2", "L/5"] | None = None,
        atom: Literal["cb", "ca"] = "cb",
        apart_from: Sequence[str] = (),
        seed: int = 0,
        cluster_by: str = "protein",
        model: str | None = None,
        scheduler: "str | Client | None" = None,
        progress: bool = False,
        timeout: float | None = None,
    ) -> "ContactPredictor":
        """Select heads, or fit a regression, once, to predict the contacts of many proteins with it.

        :meth:`predict_contacts` and :meth:`evaluate_contacts` use the predictor.

        Parameters
        ----------
        method : {'head', 'topk', 'logistic'}, default 'topk'
            'head': one head. 'topk': mean of the k best heads. 'logistic': regression on all heads.
        layer, head : int, optional
            Head for method 'head', both counted from 0 (default: the best head).
        k : int, optional
            Number of heads for method 'topk' (default: the best of 1, 2, 3, 5, 7, 10 and 20 on the selected proteins).
        c : float, optional
            Inverse strength of the L1 penalty of method 'logistic' (default: 0.15, as in Rao et al. 2021).
        apc : bool, default True
            Apply the average product correction.
        select : int or str or sequence of str, optional
            Proteins to select heads or fit the regression on: a number to draw, each from another cluster and with
            known contacts; an SQL condition on the table proteins; or identifiers (default: 10).
        rank_range : {'all', 'short', 'medium', 'long'}, optional
            Range of separations in which the precision of heads is ranked, for methods 'head' and 'topk' (default:
            'all').
        rank_top : {'L', 'L/2', 'L/5'}, optional
            Length of the list of contacts in which the precision of heads is ranked, L being the length of the protein
            (default: 'L').
        atom : {'cb', 'ca'}, default 'cb'
            Atoms that are less than 8 Å apart in a contact: Cβ or Cα.
        apart_from : sequence of str, default ()
            Identifiers of proteins whose clusters must not be selected.
        seed : int, default 0
            Random seed of the draw of proteins and of the bootstrap.
        cluster_by : str, default 'protein'
            'protein', or a column of the table proteins, such as a sequence family: whole clusters are selected or
            evaluated. A protein whose column is NULL is a cluster of its own.
        model : str, optional
            Name of the model; needed if the store has several.
        scheduler : str or Client, optional
            Dask scheduler that does the work, as an address or client (default: threads of this machine).
        progress : bool, default False
            Show a progress bar on standard error.
        timeout : float, optional
            Time limit in seconds (default: none).

        Returns
        -------
        ContactPredictor
            The selected heads or fitted coefficients, and the proteins that they were selected on.

        Raises
        ------
        QueryError
            If an option is not possible.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> predictor = store.fit_contacts(method="topk", k=2, select=3)
        >>> len(predictor.heads)
        2
        """
        from .queries.contacts.prediction import fit

        with self.reading():
            return fit(
                self, method=method, layer=layer, head=head, k=k, c=c, apc=apc, select=select, rank_range=rank_range,
                rank_top=rank_top, atom=atom, apart_from=apart_from, seed=seed, cluster_by=cluster_by, model=model,
                scheduler=scheduler, progress=progress, timeout=timeout,
            )  # fmt: skip

    def predict_contacts(self, predictor: "ContactPredictor", protein: str) -> "ContactMap":
        """Predict the contacts of one protein with a predictor of :meth:`fit_contacts`.

        Parameters
        ----------
        predictor : ContactPredictor
            Selected heads or fitted coefficients, of a model that the store holds.
        protein : str
            Identifier of the protein, of a cluster that was not selected.

        Returns
        -------
        ContactMap
            float64 [i, j], scores of all pairs. No method learns from pairs less than six residues apart.

        Raises
        ------
        QueryError
            If the model holds no such protein, or its cluster was selected.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> predictor = store.fit_contacts(k=2, select=3, apart_from=["1ABA_A"])
        >>> store.predict_contacts(predictor, "1ABA_A").shape
        (87, 87)
        """
        from .queries.contacts.prediction import predict

        with self.reading():
            return predict(self, predictor, protein)

    def evaluate_contacts(
        self,
        predictor: "ContactPredictor",
        proteins: str | Sequence[str] | None = None,
        *,
        level: float = 0.95,
        replicates: int = 1000,
        seed: int = 0,
        scheduler: "str | Client | None" = None,
        progress: bool = False,
        timeout: float | None = None,
    ) -> "ContactEvaluation":
        """Measure the precision of a predictor of :meth:`fit_contacts` over proteins that were not selected.

        Parameters
        ----------
        predictor : ContactPredictor
            Selected heads or fitted coefficients, of a model that the store holds.
        proteins : str or sequence of str, optional
            Identifiers of the proteins to evaluate (default: all that are not of a selected cluster).
        level : float, default 0.95
            Confidence level of the intervals, between 0 and 1.
        replicates : int, default 1000
            Number of bootstrap replicates over clusters (0: no intervals).
        seed : int, default 0
            Random seed of the bootstrap.
        scheduler : str or Client, optional
            Dask scheduler that does the work, as an address or client (default: threads of this machine).
        progress : bool, default False
            Show a progress bar on standard error.
        timeout : float, optional
            Time limit in seconds (default: none).

        Returns
        -------
        ContactEvaluation
            An `xarray.Dataset`: precision by range and list length, with intervals.

        Raises
        ------
        QueryError
            If the model holds no such protein, or one is of a selected cluster.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> predictor = store.fit_contacts(k=2, select=3)
        >>> store.evaluate_contacts(predictor).sizes["protein"]
        5
        """
        from .queries.contacts.prediction import evaluate_predictor

        with self.reading():
            return evaluate_predictor(
                self, predictor, proteins, level=level, replicates=replicates, seed=seed, scheduler=scheduler,
                progress=progress, timeout=timeout,
            )  # fmt: skip

    def probe(
        self,
        condition: str,
        *,
        metric: Literal["auto", "f1", "precision"] = "auto",
        sources: Literal["embeddings", "attention"] | Sequence[Literal["embeddings", "attention"]] = (
            "embeddings",
            "attention",
        ),
        cluster_by: str = "protein",
        test_share: float = 0.2,
        examples: int = 131_072,
        balanced: bool = False,
        model: str | None = None,
        level: float = 0.95,
        replicates: int = 1000,
        seed: int = 0,
        scheduler: "str | Client | None" = None,
        progress: bool = False,
        timeout: float | None = None,
    ) -> "Probing":
        """Train a linear classifier of a property on each layer, and measure it on other proteins.

        The probe of embeddings reads the output of a layer, the probe of attention the weights of its heads. The
        classifier is scikit-learn's logistic regression (C = 1) on standardised features. Pairs are unordered and six
        or more apart (Vig et al. 2021, section 3.3).

        Parameters
        ----------
        condition : str
            SQL condition to predict, on columns of residues (``ss4 = 'helix'``, ``binding_site``, ``rsa < 0.2``) or on
            pairs (``contact``, ``distance < 12``, ``pair.bond``). Residues or pairs for which it is NULL are left out.
        metric : {'auto', 'f1', 'precision'}, default 'auto'
            Score. 'f1': F1. 'precision': precision of the best-scored L/5 pairs or L/20 residues of each protein of
            length L. 'auto': precision for pairs and for properties that fewer than a tenth of the residues have, else
            F1, as in Vig et al. 2021.
        sources : {'embeddings', 'attention'} or sequence of them, default both
            Representations to probe.
        cluster_by : str, default 'protein'
            'protein', or a column of the table proteins, such as a sequence family: no cluster is both trained and
            tested on, and the bootstrap draws whole clusters. A protein whose column is NULL is a cluster of its own.
        test_share : float, default 0.2
            Expected share of the clusters that are tested on, between 0 and 1.
        examples : int, default 131072
            Largest number of residues or pairs to train on, drawn at random if there are more. It bounds the memory.
        balanced : bool, default False
            Give true and false examples the same total weight (scikit-learn's ``class_weight='balanced'``).
        model : str, optional
            Name of the model; needed if the store has several.
        level : float, default 0.95
            Confidence level of the intervals, between 0 and 1.
        replicates : int, default 1000
            Number of bootstrap replicates over the clusters tested on (0: no intervals).
        seed : int, default 0
            Random seed of the split into clusters, of the draw of examples and of the bootstrap.
        scheduler : str or Client, optional
            Dask scheduler that does the work, as an address or client (default: threads of this machine).
        progress : bool, default False
            Show a progress bar on standard error.
        timeout : float, optional
            Time limit in seconds (default: none).

        Returns
        -------
        Probing
            An `xarray.Dataset` over (probe, layer), with scores, intervals and differences between layers.

        Raises
        ------
        QueryError
            If the condition cannot be read, the model does not store what is probed, or there are no examples.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> scores = store.probe("aa = 'C'", sources=["attention"], replicates=0).to_table()
        >>> scores["layer"].tolist()
        [0, 1, 2, 3, 4, 5]
        """
        from .queries.probe.probe import probe

        with self.reading():
            return probe(
                self, condition, metric=metric, sources=sources, cluster_by=cluster_by,
                test_share=test_share, examples=examples, balanced=balanced, model=model, level=level,
                replicates=replicates, seed=seed, scheduler=scheduler, progress=progress,
                timeout=timeout,
            )  # fmt: skip

    def view(
        self,
        protein: str,
        *,
        model: str | None = None,
        layer: int | None = None,
        head: int | None = None,
        threshold: float = 0.3,
        separation: int = 6,
        sites: str | None = None,
        structure: str | os.PathLike[str] | None = None,
        chain: str | None = None,
        timeout: float | None = None,
    ) -> "View":
        """Show the attention of a head in one protein: as a matrix, as arcs, and on the structure.

        Parameters
        ----------
        protein : str
            Identifier of the protein.
        model : str, optional
            Name of the model; needed if the store has several.
        layer, head : int, optional
            Head to show first, both counted from 0 (default: the head whose share of contacts in this protein has the
            highest lower bound, by Wilson's interval of 95 %).
        threshold : float, default 0.3
            Minimum attention weight for an arc to be drawn, at least the model's arc floor, with at most three
            decimals.
        separation : int, default 6
            Minimum separation of the ends of an arc, in residues. Contacts have at least 6.
        sites : str, optional
            Boolean property of residues to highlight (default: the first of binding_site, binding_site_ligand,
            binding_site_record and active_site that is true of any residue).
        structure : path, optional
            PDB or mmCIF file to draw, plain or gzip (default: the Cα atoms in the store). Contacts are those of the
            store.
        chain : str, optional
            Chain of that file to draw (default: the chain that best matches the protein).
        timeout : float, optional
            Time limit in seconds (default: none).

        Returns
        -------
        View
            ``.matrix()`` and ``.along()`` return figures, ``.html()`` the page, ``.save(path)`` writes a file.

        Raises
        ------
        QueryError
            If there is no such protein, model, head or property, the threshold is not possible, or the structure is of
            another protein.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> store.view("1ABA_A", layer=5, head=4).save("1ABA_A.html")
        """
        from .queries.view.view import view

        with self.reading():
            return view(
                self, protein, model=model, layer=layer, head=head, threshold=threshold,
                separation=separation, sites=sites, structure=structure, chain=chain, timeout=timeout,
            )  # fmt: skip

    def report(
        self,
        output: str | os.PathLike[str],
        *,
        models: str | Sequence[str] | None = None,
        properties: str | Sequence[str] | None = None,
        paper: bool = False,
        threshold: float = 0.3,
        cluster_by: str = "protein",
        min_arcs: int = 100,
        min_proteins: int = 5,
        replicates: int = 1000,
        seed: int = 0,
        scheduler: "str | Client | None" = None,
        progress: bool = False,
        timeout: float | None = None,
    ) -> "Report":
        """Measure what every model's heads attend to, and write it as a page, figures and tables.

        For each property, the report shows the share of each head, the best heads selected on one half of the clusters
        and measured on the other half, and the mean share of each layer with its centre of gravity. It compares the
        similarity of amino acids by attention with BLOSUM62, and several models with each other on the proteins that
        all of them have (Vig et al. 2021).

        Parameters
        ----------
        output : path
            Folder for the page, figures and tables. Files of the same names in it are replaced.
        models : str or sequence of str, optional
            Names of the models to report (default: all).
        properties : str or sequence of str, optional
            'contact', 'aa' (amino acids), or names of properties of residues or pairs (default: all).
        paper : bool, default False
            Also report the form of Vig et al. 2021: all arcs count, and unknown counts as false.
        threshold : float, default 0.3
            Minimum attention weight for a pair to count as an arc.
        cluster_by : str, default 'protein'
            'protein', or a column of the table proteins, such as a sequence family: the bootstrap draws whole clusters.
        min_arcs : int, default 100
            Minimum number of arcs for a head to be ranked.
        min_proteins : int, default 5
            Minimum number of proteins (clusters, with `cluster_by`) with arcs for a head to be ranked.
        replicates : int, default 1000
            Number of bootstrap replicates over clusters (0: no intervals).
        seed : int, default 0
            Random seed of the bootstrap and of the halves.
        scheduler : str or Client, optional
            Dask scheduler that does the work, as an address or client (default: threads of this machine).
        progress : bool, default False
            Show a progress bar on standard error.
        timeout : float, optional
            Time limit in seconds (default: none).

        Returns
        -------
        Report
            Paths of the page, figures and tables, the measured values, and the parts that are missing.

        Raises
        ------
        QueryError
            If there is no such model or property, an option is not possible, or the folder cannot be written.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> store.report("demo-report", properties=["contact"], replicates=0).page.name
        'index.html'
        """
        from .runtime.libraries import load_matplotlib

        load_matplotlib()
        from .queries.report.report import report

        with self.reading():
            return report(
                self, user_path(output), models=models, properties=properties, paper=paper,
                threshold=threshold, cluster_by=cluster_by, min_arcs=min_arcs, min_proteins=min_proteins,
                replicates=replicates, seed=seed, scheduler=scheduler, progress=progress, timeout=timeout,
            )  # fmt: skip

    def verify(self, *, progress: bool = False) -> "list[Problem]":
        """Check every digest, checksum, count and sum of the store as it is on disk.

        :func:`attnstore.verify` checks a store that is too damaged to be opened.

        Parameters
        ----------
        progress : bool, default False
            Show a progress bar on standard error.

        Returns
        -------
        list of Problem
            One for each damaged part; empty if the store is intact.

        Raises
        ------
        StoreError
            If a newer version wrote a part of the store.

        Examples
        --------
        >>> store.verify()
        []
        """
        from .integrity import verify

        return verify(self.path, progress=progress)


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    path : path
        Folder of the store.

    Returns
    -------
    Store
        The store as it is now. What is ingested later is seen when the store is opened again.

    Raises
    ------
    StoreError
        If it is not a store, is damaged, or was written by a newer version.
    MachineError
        If the machine cannot read it: the disk, open files, or too little address space.

    Examples
    --------
    >>> store = attnstore.open("demo.attn")
    >>> store.models["esm2"].document.layers
    6
    """
    low = opened.open_store(path)
    return Store(low.path, low.models, low.document)
