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
    from .queries.alignment import Alignment
    from .queries.contacts.contact_result import ContactEvaluation, ContactMap
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
        """The attention matrix of a protein.

        Weights come from the codes: each is the mean of its bin in its head, and lies within the bin's edges.

        Parameters
        ----------
        protein : str
            Id.
        layer, head : int, optional
            From 0; all of them where None.
        model : str, optional
            May be left out where the store has one.

        Returns
        -------
        xarray.DataArray
            float32 [source, target], after [layer] and [head] where all were asked for. Source attends to target.
            Rows do not sum to one: the weight that goes to special tokens is in the coordinate `special` of `source`,
            where marginals were kept.

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
        """The attention matrix of a protein, with the bounds within which each weight lies.

        Parameters
        ----------
        protein : str
            Id.
        layer, head : int, optional
            From 0; all of them where None.
        model : str, optional
            May be left out where the store has one.

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
        """The representations of a protein's residues, as each layer hands them on.

        Parameters
        ----------
        protein : str
            Id.
        layer : int, optional
            0 is what the first layer is given, the embeddings, and n what layer n, counted from 1, hands
            on; all of them where None.
        model : str, optional
            May be left out where the store has one.

        Returns
        -------
        xarray.DataArray
            float16 [residue, feature], after [layer] where all were asked for.

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
        statement: str,
        *,
        timeout: float | None = None,
    ) -> "Relation":
        """One SELECT over ``proteins``, ``members``, ``residues``, ``pairs``, ``properties``, ``property_sources``,
        ``excluded``, ``arcs``, ``heads``, ``models`` and ``skipped``, in DuckDB, which can touch no other file.

        Parameters
        ----------
        statement : str
            Exactly one SELECT of DuckDB's SQL.
        timeout : float, optional
            Seconds that an answer may take; None for any.

        Returns
        -------
        Relation
            The rows are found when they are asked for: ``.df()``, ``.fetchall()``, ``.to_arrow_table()``, …

        Raises
        ------
        QueryError
            If it is not exactly one SELECT, or does not bind.

        Examples
        --------
        >>> store.sql("SELECT count(*) FROM residues").fetchall()
        [(133526,)]
        """
        from .catalog_sql import relation

        with self.as_opened():
            return relation(self, statement, timeout=timeout)

    def proteins(self) -> "Relation":
        """The proteins, a row each with id, length, sequence and properties: ``.df()``, ``.to_arrow_table()``, …"""
        return self.sql("SELECT * FROM proteins ORDER BY protein_index")

    def residues(self) -> "Relation":
        """The residues, a row each with protein, pos, aa, coordinates and properties."""
        return self.sql("SELECT * FROM residues ORDER BY protein_index, pos")

    def pairs(self) -> "Relation":
        """The pairs of which a property is listed; a row without ends is for all others of its protein."""
        return self.sql("SELECT * FROM pairs ORDER BY protein_index, source NULLS FIRST, target")

    def properties(self) -> "Relation":
        """The dictionary of properties: type, unit, meaning, source, and how many values are known and true."""
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
        """Give the proteins of the store properties, and coordinates where a protein has none yet.

        This object stays as it was opened; the store with the properties is returned.

        Parameters
        ----------
        *inputs : path or pd.DataFrame or pa.Table
            Files and folders that `ingest` reads, DSSP's output, tables (.csv, .tsv, .parquet, MMseqs2's
            clusters), and frames of pandas or with ``__arrow_c_stream__``; records and rows of proteins
            that are not in the store are left out, and a warning lists the first of them.
        fetch : sequence of str, default ()
            PDB ids and UniProt accessions, to be fetched.
        on : sequence of str, optional
            Key columns of tables: the protein's id, for residues then the position, for pairs then source
            and target; by default `id` or `protein`, `pos`, `source` and `target`.
        columns : sequence of str or mapping of str to str, optional
            Those of a table to take, or what each is to be called; by default all others. Of other files,
            the properties to take, or what each is to be called.
        kinds : mapping of str to {'boolean', 'integer', 'float', 'category'}, optional
            'boolean', 'integer', 'float' or 'category', by property; by default what a table's values
            show.
        units, descriptions : mapping of str to str, optional
            Of a table's properties.
        numbering : {'0', '1', 'author'}, default '0'
            Of positions in tables: from '0', from '1', or 'author' as in the structure ('52A' with
            insertion code).
        symmetric : bool, default False
            Pairs of a table hold in both directions.
        missing : sequence of str, default ()
            Cells of tables that stand for a missing value, in columns of text too. In columns of numbers
            and booleans NA, N/A, #N/A, null, None, nan, - and . do so anyway, with a warning, and an
            empty cell does everywhere.
        delimiter : str, optional
            Of tables of text: what separates cells ('tab' is one, too), what stands before decimals ('.'
            or ','), and how characters are encoded; by default what the file shows.
        decimal : {'.', ','}, optional
            Of tables of text: what separates cells ('tab' is one, too), what stands before decimals ('.'
            or ','), and how characters are encoded; by default what the file shows.
        encoding : str, optional
            Of tables of text: what separates cells ('tab' is one, too), what stands before decimals ('.'
            or ','), and how characters are encoded; by default what the file shows.
        absent : {'null', 'false'}, default 'null'
            What it means that a source names no feature of a kind in a protein, or a table has no row for
            a residue: 'null', nothing is known, or 'false', there is none.
        match : {'id', 'sequence'}, default 'id'
            Find a record's protein by its 'id', or failing that by equal 'sequence'.
        mismatch : {'refuse', 'align', 'skip'}, default 'refuse'
            Of a record whose sequence is not the store's: 'refuse' it, 'align' both and carry over what
            fits, if nine in ten residues are the same, or 'skip' it.
        replace : bool, default False
            Let values take the place of those that were known before of the same protein.
        drop : sequence of str, default ()
            Properties to drop first.
        name : str, default 'a table in memory'
            Of frames, for the dictionary.
        ligand_distance : float, optional
            Residues with a heavy atom at most so many Å from one of a ligand are its binding site; by
            default those of BioLiP's criterion, two pairs of atoms within the sum of their van der Waals
            radii + 0.5 Å.
        dssp : bool, default False
            Run mkdssp on structure files.
        predicted : bool, default False
            B-factors of structure files that declare no experiment are pLDDT, also where no file says so.

        Returns
        -------
        Store
            The store, opened again.

        Raises
        ------
        AttnstoreError
            In one sentence what is wrong with an input; the store is as it was. Of properties that a protein
            has already from another source, the values stay, with a warning; an error says so where there is nothing
            else to add.

        Examples
        --------
        >>> store = store.annotate("stability.csv", units={"ddg": "kcal/mol"})
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
        """Write the tables of a store that `attnstore sql` knows; whole, or not at all.

        Parameters
        ----------
        target : path
            File to write for 'duckdb', folder for 'parquet' (``<table>.parquet``); there is nothing there
            yet.
        format : {'duckdb', 'parquet'}, default 'duckdb'
            'duckdb' or 'parquet'.
        arcs : bool, default False
            Also the arcs of every model, most of a store's size.

        Returns
        -------
        list of str
            The tables' names.

        Raises
        ------
        AttnstoreError
            There is something at the target, or it cannot be written.

        Examples
        --------
        >>> store.export("demo.duckdb")
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
            'pairs', 'marginals', 'arcs' or 'codes', to force one on every block.
        memory_limit : int or str, optional
            Bytes, or e.g. '4GB', that cells, rows and DuckDB may take; None for half of the machine's
            memory.
        disk_limit : int or str, optional
            Bytes, or e.g. '50GB', of temporary files that DuckDB may write; None for 10 GB, and at most
            half of what is free in the system's temporary folder. They are removed on any end of the
            process.
        timeout : float, optional
            Seconds that the answer may take; None for any number.
        scheduler : str or Client, optional
            None for threads, or the address or `distributed.Client` of a Dask cluster.
        progress : bool, default False
            Draw a progress bar on standard error.

        Returns
        -------
        Result
            A pandas frame. Where weights come from codes, columns that follow from sums or extremes of weights have
            bounds beside them at the end, `<name>_min` and `<name>_max`, within which the exact value lies.

        Raises
        ------
        QueryError
            It cannot be answered; the message quotes the part and names the cure.
        StoreError
            What is read is damaged.

        Examples
        --------
        >>> store.query("SELECT layer, avg(weight) FROM attention WHERE weight >= 0.3 GROUP BY ALL")
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
        """Answer as :meth:`query` does, in Arrow batches: rows are computed only while they are read.

        Parameters
        ----------
        sql : str
            Exactly one SELECT.
        tier : {'pairs', 'marginals', 'arcs', 'codes'}, optional
            'pairs', 'marginals', 'arcs' or 'codes', to force one on every block.
        memory_limit : int or str, optional
            Bytes, or e.g. '4GB', that cells, rows and DuckDB may take; None for half of the machine's
            memory.
        disk_limit : int or str, optional
            Bytes, or e.g. '50GB', of temporary files that DuckDB may write; None for 10 GB, and at most
            half of what is free in the system's temporary folder. They are removed on any end of the
            process.
        timeout : float, optional
            Seconds that the answer may take; None for any number.
        scheduler : str or Client, optional
            None for threads, or the address or `distributed.Client` of a Dask cluster.
        progress : bool, default False
            Draw a progress bar on standard error.

        Returns
        -------
        pyarrow.RecordBatchReader
            The question is in the metadata of the schema, as JSON under `attnstore`.

        Raises
        ------
        QueryError
            It cannot be answered; the message quotes the part and names the cure.
        StoreError
            What is read is damaged.

        Examples
        --------
        >>> for batch in store.stream("SELECT * FROM attention WHERE weight >= 0.9"):
        ...     print(batch.num_rows)
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
            'pairs', 'marginals', 'arcs' or 'codes', to force one on every block.
        memory_limit : int or str, optional
            Bytes, or e.g. '4GB', that cells, rows and DuckDB may take; None for half of the machine's
            memory.
        disk_limit : int or str, optional
            Bytes, or e.g. '50GB', of temporary files that DuckDB may write; None for 10 GB, and at most
            half of what is free in the system's temporary folder. They are removed on any end of the
            process.
        timeout : float, optional
            Seconds that the answer may take; None for any number.

        Returns
        -------
        str
            For each block, the tier that is read and why, the conditions, and the cost; then the total.

        Raises
        ------
        QueryError
            It cannot be answered; the message quotes the part and names the cure.
        StoreError
            What is read is damaged.

        Examples
        --------
        >>> print(store.explain("SELECT layer, count(*) FROM attention WHERE weight >= 0.3 GROUP BY ALL"))
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

        The count form is p(f) = arcs where f is true / arcs where f is known, an arc being an ordered pair with
        attention ≥ θ (Vig et al. 2021, eq. 1, which counts unknown as false: `paper`). The weighted form is
        Σα where f is true / Σα where f is known.

        Parameters
        ----------
        predicate : str
            F, an SQL condition over ``source.*``, ``target.*``, ``protein.*``, ``pair.*``,
            ``separation``, ``distance``, ``distance_ca``, ``contact`` and ``contact_ca``.
        where : str, optional
            Pairs for which this is not true take no part.
        threshold : float or {'auto'}, default 'auto'
            Θ; 'auto' is 0.3 in the count form and none in the weighted form; None is every edge of the
            codebook and 0, in one pass: the curve of the share against the threshold.
        weighted : bool, default False
            The weighted form.
        background : {'eligible', 'separation', 'protein', 'paper', 'none'}, default 'eligible'
            'eligible' (all pairs that pass `where` and that the model can attend to), 'separation'
            (matched to each head's separations), 'protein' (matched to the proteins that hold its arcs),
            'paper', or 'none', without which there is no enrichment and no test.
        paper : bool, default False
            The paper's form: unknown counts as false, its background, its ranking (by share, heads with
            more than `min_arcs` arcs), Wald intervals at 0.05/m.
        model : str, optional
            Name; may be left out where the store has one.
        average : {'micro', 'macro'}, default 'micro'
            'micro', the ratio of sums over all proteins, or 'macro', the mean over clusters of a
            cluster's own share, in which each counts once; it has a background and a bootstrap interval
            in kind, and no test (see :class:`~attnstore.queries.statistics.macro.MacroAverage`).
        cluster_by : str, default 'protein'
            What the bootstrap draws, `average` averages and `split` divides: 'protein', or a column of
            proteins, such as a sequence cluster, so that homologous families count once; where it is NULL
            a protein stands alone.
        split : bool, default False
            Rank heads on one half of the clusters and report them on the other, for a head picked as the
            largest of many on the same data looks better than it is (see
            :func:`~attnstore.queries.statistics.summary.summarise_halves`).
        min_arcs : int, default 100
            A head with fewer known arcs is marked, not ranked (`paper`: with as many or fewer).
        min_proteins : int, optional
            Nor is a head whose known arcs lie in fewer proteins (clusters, with `cluster_by`); by default
            5, the least for which there is an interval, and 0 in the paper's form, which has no such
            minimum.
        rank_by : {'lower', 'share', 'enrichment'}, optional
            What heads are ranked by: 'lower', the lower bound of the interval, so that few arcs of few
            proteins do not lead by luck; 'share'; or 'enrichment'. By default 'lower', and 'share' in the
            paper's form and where there is no interval. Heads whose share is below their background come
            last, save in the paper's form.
        level : float, default 0.95
            Confidence of the Wilson and bootstrap intervals.
        replicates : int, optional
            Of the bootstrap over clusters, from which the interval is made (see
            :func:`~attnstore.queries.statistics.cluster_intervals.cluster_interval`; none of fewer than
            five clusters); 0 for none; by default 1,000 at one threshold, and none for a curve, of which
            every replicate is as large as the curve. With fewer than 200 intervals are wider than they
            need be.
        seed : int, default 0
            Of the bootstrap and of the halves.
        tier : {'marginals', 'arcs', 'codes'}, optional
            'marginals', 'arcs' or 'codes', to force one; a curve from arcs begins at the arc floor.
        scheduler : str or Client, optional
            A Dask client or a scheduler's address, to spread the segments over a cluster that sees the
            store under the same path; by default threads.
        progress : bool, default False
            Draw a progress bar on standard error.
        timeout : float, optional
            Seconds that the answer may take; None for any number.

        Returns
        -------
        Alignment
            An `xarray.Dataset` over (layer, head), of a curve (threshold, layer, head); what was asked stands in its
            attributes. A curve has no tests: thresholds that were scanned ask for another correction than heads.

        Raises
        ------
        QueryError
            If the question cannot be answered; the message quotes the clause and names the cure.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> store.align("contact", where="separation >= 6", threshold=0.3).to_table().head(3)
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
            Id.
        method : {'head', 'topk', 'logistic'}, default 'topk'
            'head' (one head), 'topk' (the mean of the k best) or 'logistic' (a regression on all).
        layer, head : int, optional
            Of method 'head', both or neither; the best head is chosen where neither is given.
        k : int, optional
            Of method 'topk'; the best of 1, 2, 3, 5, 7, 10 and 20 on the selected proteins where None.
        c : float, optional
            Of method 'logistic', inverse strength of its L1 penalty; 0.15, as Rao et al. 2021 have it,
            where None.
        apc : bool, default True
            Correct maps by their average product.
        select : int or str or sequence of str, optional
            Proteins to choose on: how many to draw (10 where None), each of another cluster and with
            known contacts; an SQL condition on `proteins`; or ids.
        rank_range : {'all', 'short', 'medium', 'long'}, optional
            Of methods 'head' and 'topk': heads are ranked by their precision in this range ('all',
            'short', 'medium' or 'long') and this list ('L', 'L/2' or 'L/5'); 'all' and 'L' where None.
        rank_top : {'L', 'L/2', 'L/5'}, optional
            Of methods 'head' and 'topk': heads are ranked by their precision in this range ('all',
            'short', 'medium' or 'long') and this list ('L', 'L/2' or 'L/5'); 'all' and 'L' where None.
        atom : {'cb', 'ca'}, default 'cb'
            'cb' or 'ca': residues are in contact whose Cβ, or Cα, are less than 8 Å apart.
        seed : int, default 0
            Of the draw of proteins and of the bootstrap.
        cluster_by : str, default 'protein'
            'protein', or a column of `proteins`: heads and coefficients are chosen on other clusters than
            those evaluated, always; a protein whose column is NULL is a cluster of its own.
        model : str, optional
            Name; may be left out where the store has one.
        scheduler : str or Client, optional
            Address of a Dask scheduler or a `distributed.Client`; threads where None.
        progress : bool, default False
            Draw a progress bar on standard error.
        timeout : float, optional
            Seconds that the answer may take; None for any number.

        Returns
        -------
        ContactMap
            float64 [i, j] scores of all pairs; no method learns from pairs less than six residues apart.

        Raises
        ------
        QueryError
            If an option cannot be, or a protein is of a cluster that was chosen on.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> store.contacts("1ABA_A", k=3).to_table(5)
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

        Heads and coefficients are chosen on proteins of other clusters than those evaluated.

        Parameters
        ----------
        proteins : str or sequence of str, optional
            Ids to evaluate; None for all, without those of clusters that were chosen on, which are
            counted.
        method : {'head', 'topk', 'logistic'}, default 'topk'
            'head' (one head), 'topk' (the mean of the k best) or 'logistic' (a regression on all).
        layer, head : int, optional
            Of method 'head', both or neither; the best head is chosen where neither is given.
        k : int, optional
            Of method 'topk'; the best of 1, 2, 3, 5, 7, 10 and 20 on the selected proteins where None.
        c : float, optional
            Of method 'logistic', inverse strength of its L1 penalty; 0.15, as Rao et al. 2021 have it,
            where None.
        apc : bool, default True
            Correct maps by their average product.
        select : int or str or sequence of str, optional
            Proteins to choose on: how many to draw (10 where None), each of another cluster and with
            known contacts; an SQL condition on `proteins`; or ids.
        rank_range : {'all', 'short', 'medium', 'long'}, optional
            Of methods 'head' and 'topk': heads are ranked by their precision in this range ('all',
            'short', 'medium' or 'long') and this list ('L', 'L/2' or 'L/5'); 'all' and 'L' where None.
        rank_top : {'L', 'L/2', 'L/5'}, optional
            Of methods 'head' and 'topk': heads are ranked by their precision in this range ('all',
            'short', 'medium' or 'long') and this list ('L', 'L/2' or 'L/5'); 'all' and 'L' where None.
        atom : {'cb', 'ca'}, default 'cb'
            'cb' or 'ca': residues are in contact whose Cβ, or Cα, are less than 8 Å apart.
        level : float, default 0.95
            Of the bootstrap interval over clusters, where precision is measured.
        replicates : int, default 1000
            Of the bootstrap interval over clusters, where precision is measured.
        seed : int, default 0
            Of the draw of proteins and of the bootstrap.
        cluster_by : str, default 'protein'
            'protein', or a column of `proteins`: heads and coefficients are chosen on other clusters than
            those evaluated, always; a protein whose column is NULL is a cluster of its own.
        model : str, optional
            Name; may be left out where the store has one.
        scheduler : str or Client, optional
            Address of a Dask scheduler or a `distributed.Client`; threads where None.
        progress : bool, default False
            Draw a progress bar on standard error.
        timeout : float, optional
            Seconds that the answer may take; None for any number.

        Returns
        -------
        ContactEvaluation
            An `xarray.Dataset`: precision by range and list length, with intervals. With method 'head' and neither
            layer nor head, every head is evaluated next to the chosen one.

        Raises
        ------
        QueryError
            If an option cannot be, or a protein is of a cluster that was chosen on.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> store.contact_precision(method="head", select=20).to_table()
        """
        from .queries.contacts.prediction import contact_precision

        with self.reading():
            return contact_precision(
                self, proteins, method=method, layer=layer, head=head, k=k, c=c, apc=apc, select=select,
                rank_range=rank_range, rank_top=rank_top, atom=atom, level=level, replicates=replicates,
                seed=seed, cluster_by=cluster_by, model=model, scheduler=scheduler, progress=progress,
                timeout=timeout,
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

        The embedding probe sees what a layer hands on, the attention probe the weights of the layer's heads; see
        :class:`~attnstore.queries.probe.features.Embeddings` and
        :class:`~attnstore.queries.probe.features.Attention`. The classifier is scikit-learn's logistic regression
        (C = 1) on standardised features. Pairs are unordered and six or more apart, as in the paper.

        Parameters
        ----------
        condition : str
            What is to be told: an SQL condition on columns of residues (``ss4 = 'helix'``,
            ``binding_site``, ``rsa < 0.2``) or on pairs in the language of `align` (``contact``,
            ``distance < 12``, ``pair.bond``); residues or pairs for which it is NULL take no part.
        metric : {'auto', 'f1', 'precision'}, default 'auto'
            'f1', 'precision' (of the best-scored L/5 pairs or L/20 residues of each protein, L being its
            length), or 'auto': as in the paper precision of pairs, F1 of residues, but precision where
            fewer than a tenth of those learnt from are true.
        sources : {'embeddings', 'attention'} or sequence of them, default both
            'embeddings', 'attention' or both.
        cluster_by : str, default 'protein'
            'protein', or a column of proteins, such as a sequence cluster: learnt from and tested on are
            different clusters, and the bootstrap draws them; where it is NULL a protein stands alone.
        test_share : float, default 0.2
            Expected share of clusters that are tested on, see
            :func:`~attnstore.queries.probe.probe_split.tested`.
        examples : int, default 131072
            Residues or pairs to learn from, drawn evenly where there are more; they bound the memory
            taken.
        balanced : bool, default False
            Weigh true and false examples so that both count as much (scikit-learn's 'balanced'); the
            paper does not.
        model : str, optional
            Name; may be left out where the store has one.
        level : float, default 0.95
            Of the bootstrap intervals over the clusters tested on.
        replicates : int, default 1000
            Of the bootstrap intervals over the clusters tested on.
        seed : int, default 0
            Of the clusters tested on, of the draw of examples and of the bootstrap.
        scheduler : str or Client, optional
            A Dask client or a scheduler's address; by default threads.
        progress : bool, default False
            Draw a progress bar on standard error.
        timeout : float, optional
            Seconds that the answer may take; None for any number.

        Returns
        -------
        Probing
            An `xarray.Dataset` over (probe, layer).

        Raises
        ------
        QueryError
            If the condition cannot be read, the model lacks what is probed, or there is nothing to learn or to test on.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> store.probe("aa = 'C'", sources=["attention"]).to_table()
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
        """Look at one protein: the attention of a head as a matrix, along the sequence, and on the structure.

        Parameters
        ----------
        protein : str
            Id.
        model : str, optional
            Name; may be left out where the store has one.
        layer, head : int, optional
            From 0, both or neither; without them the head whose share of contacts in this protein has the
            largest lower bound, by Wilson's interval of 95 %.
        threshold : float, default 0.3
            Arcs of this weight or more are shown at first; not below the model's arc floor, three
            decimals at most.
        separation : int, default 6
            And whose ends lie so far apart along the chain; 6 leaves out what cannot be a contact.
        sites : str, optional
            A boolean property of residues to highlight; the first of binding_site, binding_site_ligand,
            binding_site_record and active_site that is true of any residue where None.
        structure : path, optional
            PDB or mmCIF file (.gz too) to draw; without it the Cα that the store holds. Contacts are the
            store's, whichever is drawn.
        chain : str, optional
            Of that file; the one that agrees best where None.
        timeout : float, optional
            Seconds that the answer may take; None for any number.

        Returns
        -------
        View
            ``.matrix()`` and ``.along()`` are figures, ``.html()`` the page, ``.save(path)`` writes either.

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
        directory: str | os.PathLike[str],
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

        Of every property: the share of each head, the best heads picked on one half of the clusters and measured on the
        other, and the mean share of each layer with the centre of gravity; the similarity of amino acids by attention
        beside BLOSUM62; and of several models a comparison on the proteins that all of them hold (Vig et al. 2021).

        Parameters
        ----------
        directory : path
            Is made; files of the same names in it are replaced.
        models : str or sequence of str, optional
            Names; all where None.
        properties : str or sequence of str, optional
            'contact', 'aa' (amino acids), or names of properties of residues or pairs; all where None.
        paper : bool, default False
            Show the paper's form beside each (see :func:`attnstore.queries.align.align`).
        threshold : float, default 0.3
            As `align` has them, for everything.
        cluster_by : str, default 'protein'
            As `align` has them, for everything.
        min_arcs : int, default 100
            As `align` has them, for everything.
        min_proteins : int, default 5
            As `align` has them, for everything.
        replicates : int, default 1000
            As `align` has them, for everything.
        seed : int, default 0
            As `align` has them, for everything.
        scheduler : str or Client, optional
            As `align` has them, for everything.
        progress : bool, default False
            Draw a progress bar on standard error.
        timeout : float, optional
            Seconds that the report may take; None for any number.

        Returns
        -------
        Report
            The page, its figures and tables, and what is not shown.

        Raises
        ------
        QueryError
            If there is no such model or property, an option cannot be, or the directory cannot be written.
        StoreError
            If what is read is damaged.

        Examples
        --------
        >>> store.report("report", properties=["contact"]).page
        PosixPath('report/index.html')
        """
        from .runtime.drawing import load_matplotlib

        load_matplotlib()
        from .queries.report.report import report

        with self.reading():
            return report(
                self, user_path(directory), models=models, properties=properties, paper=paper,
                threshold=threshold, cluster_by=cluster_by, min_arcs=min_arcs, min_proteins=min_proteins,
                replicates=replicates, seed=seed, scheduler=scheduler, progress=progress, timeout=timeout,
            )  # fmt: skip

    def verify(self) -> list[str]:
        """Check every digest, checksum, count and sum of the store as it is on disk.

        Returns
        -------
        list of str
            A sentence for each damaged part; empty if the store is sound.

        Raises
        ------
        StoreError
            If a newer version wrote a part of the store.

        Examples
        --------
        >>> store.verify()
        []
        """
        from .verify import verify

        return list(map(str, verify(self.path)))


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    path : path
        Folder of the store.

    Returns
    -------
    Store
        The store as it is now; a later ingest is seen by the next call.

    Raises
    ------
    StoreError
        If it is not a store, is damaged, or was written by a newer version.
    MachineError
        If the machine cannot read it: the disk, open files, or too little address space.

    Examples
    --------
    >>> import attnstore
    >>> store = attnstore.open("demo.attn")
    """
    low = opened.open_store(path)
    return Store(low.path, low.models, low.document)
