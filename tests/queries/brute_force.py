"""The virtual table `attention` made real: every entry of small random stores as a row of DuckDB.

Weights come from the float32 matrices that the stores were made from, distances from numpy; nothing here reads what
the engine wrote but the catalog's tables. A statement over `attention` is answered by the same statement with
`attention` replaced by `FROM`, and with what DuckDB has no word for (`weighted_avg`, `avg` of a boolean) spelt out.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

import attnstore
from attnstore.catalog.connection import literal
from attnstore.catalog.property import SQL_TYPES
from attnstore.format.codebook import DEFAULT
from attnstore.format.documents import StoreDocument
from tests.synthetic import Protein, random_proteins, write_model, write_store

#: What `attention` stands for. Bare `source`, `target` and `protein` are columns of `entries`.
FROM = (
    "entries AS attention"
    " JOIN ends AS source ON source.residue_key = attention.source_key"
    " JOIN ends AS target ON target.residue_key = attention.target_key"
    " JOIN proteins AS protein ON protein.id = attention.protein"
)

#: Properties beyond those of every catalog, with NULLs in each: column, type, and SQL for its value.
#: Numbers are small and dyadic, so that sums of them are exact in any order.
#: Kind of a property, as the dictionary has it, by DuckDB's type of its column.
KINDS = {kind: name for name, kind in SQL_TYPES.items()}

RESIDUE_PROPERTIES = {
    "binding": ("BOOLEAN", "CASE WHEN {0} % 5 = 0 THEN NULL ELSE {0} % 3 = 0 END"),
    "score": ("BIGINT", "CASE WHEN {0} % 7 = 0 THEN NULL ELSE ({0} % 6)::BIGINT - 2 END"),
    "hydropathy": ("DOUBLE", "CASE WHEN {0} % 6 = 0 THEN NULL ELSE ({0} % 16)::DOUBLE / 4 - 1.5 END"),
    "ss8": ("VARCHAR", "[NULL, 'H', 'E', '', 'é'][({0} % 5)::INTEGER + 1]"),
    "fold": ("VARCHAR", "[NULL, 'coil', 'helix', 'strand'][({0} % 4)::INTEGER + 1]"),
}
PROTEIN_PROPERTIES = {
    "family": ("VARCHAR", "[NULL, 'kinase', 'globin'][({0} % 3)::INTEGER + 1]"),
    "resolution": ("DOUBLE", "CASE WHEN {0} % 4 = 0 THEN NULL ELSE 1.5 + ({0} % 4)::DOUBLE / 4 END"),
}


@dataclass(frozen=True, eq=False)
class Sample:
    """A store, and a connection that holds all of its entries."""

    store: attnstore.Store
    connection: duckdb.DuckDBPyConnection

    def answer(self, statement: str) -> pa.Table:
        """What DuckDB says to a statement in which `FROM` stands for `attention`.

        A column called `=x` comes back under the name that DuckDB gives to the expression x.
        """
        table = self.connection.sql(statement).to_arrow_table()
        return table.rename_columns([self.name(name[1:]) if name[0] == "=" else name for name in table.column_names])

    def name(self, expression: str) -> str:
        """DuckDB's name of an output column; its own aggregates of any type stand in for those that it lacks."""
        stand_in = expression.replace("weighted_avg(", "approx_count_distinct(").replace("avg(", "entropy(")
        described = self.connection.execute(f"DESCRIBE SELECT {stand_in} FROM {FROM} GROUP BY ALL").fetchall()
        name: str = described[0][0]
        return name.replace("entropy(", "avg(").replace("approx_count_distinct(", "weighted_avg(")


def models_of(seed: int) -> tuple[str, ...]:
    """Names of the models in the store of `seed`."""
    return ("first", "second") if seed % 2 else ("first",)


def random_sample(path: Path, seed: int) -> Sample:
    """A random store at `path`: one model or two of other shapes, truncated or not, few proteins to a segment.

    A tenth of the weights stand on an edge of the codebook or one ulp beside it.
    """
    rng = np.random.default_rng(seed)
    lengths = [13, 1, *rng.integers(3, 18, 3).tolist()]
    truncate = 11 if seed % 3 == 2 else 10**6
    first = [plant(protein, rng) for protein in random_proteins(seed, lengths, truncate=truncate)]
    write_store(path, first, per_segment=1 + seed % 3, name="first")
    held = {"first": first}
    if "second" in models_of(seed):
        other = random_proteins(seed + 1000, lengths[:4], layers=3, heads=2)
        # The second model saw the same sequences, each whole, but not all of them.
        held["second"] = [
            plant(replace(protein, attention=seen.attention), rng)
            for protein, seen in zip(first[:4], other, strict=True)
        ]
        write_model(path, held["second"], per_segment=2, name="second")
    add_properties(path, seed)
    return sample(path, held)


def sample(path: Path, models: Mapping[str, Sequence[Protein]]) -> Sample:
    """The store at `path`, which holds `models`, with its entries."""
    store = attnstore.open(path)
    return Sample(store, expand(store.catalog_path, models))


def plant(protein: Protein, rng: np.random.Generator, share: float = 0.1) -> Protein:
    """The protein with some weights moved to edges of the codebook, exactly or by one ulp."""
    attention = protein.attention.copy()
    weights = attention[:, :, 1:-1, 1:-1]
    chosen = rng.random(weights.shape) < share
    edges = rng.choice(DEFAULT.edges, weights.shape).view(np.int32) + rng.integers(-1, 2, weights.shape, np.int32)
    weights[chosen] = edges.astype(np.int32).view(np.float32)[chosen]
    return replace(protein, attention=attention)


def add_properties(path: Path, seed: int = 0) -> None:
    """Give the catalog of a store the properties above, drawn by `seed`."""
    key = f"hash({{}}, {seed}, '{{}}')"
    add_columns(
        path,
        residues={n: (t, v.format(key.format("protein, pos", n))) for n, (t, v) in RESIDUE_PROPERTIES.items()},
        proteins={n: (t, v.format(key.format("id", n))) for n, (t, v) in PROTEIN_PROPERTIES.items()},
    )


def add_columns(path: Path, **tables: Mapping[str, tuple[str, str]]) -> None:
    """Rewrite the catalog of a store with more columns, each of a type and with SQL for its value."""
    document = StoreDocument.read(path)
    assert document.catalog is not None
    catalog = path / document.catalog
    with duckdb.connect(str(catalog)) as connection:
        for table, columns in tables.items():
            for name, (kind, value) in columns.items():
                connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
                connection.execute(f"UPDATE {table} SET {name} = ({value})")
                row = [name, "residue" if table == "residues" else "protein", KINDS[kind]]
                listed = (
                    "INSERT INTO properties (name, level, type, description, absent, known) "
                    f"VALUES (?, ?, ?, 'made up', 'unknown', (SELECT count({name}) FROM {table}))"
                )
                connection.execute(listed, row)
        connection.execute("CHECKPOINT")
    digest = hashlib.sha256(catalog.read_bytes()).hexdigest()
    replace(document, catalog_sha256=digest).write(path)


def expand(catalog: Path, models: Mapping[str, Sequence[Protein]]) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB of `entries`, one row for every weight, and of the tables of a catalog."""
    connection = duckdb.connect(":memory:")
    connection.execute(f"ATTACH {literal(catalog)} AS stored (READ_ONLY)")
    for table in ("proteins", "residues", "members", "properties"):
        connection.execute(f"CREATE TABLE {table} AS FROM stored.main.{table}")
    connection.execute("DETACH stored")
    # `protein` would be ambiguous beside that of `entries`.
    connection.execute(
        "CREATE TABLE ends AS SELECT * EXCLUDE (protein), protein || ':' || pos AS residue_key FROM residues"
    )
    parts = [_entries(name, protein) for name, proteins in models.items() for protein in proteins]
    incoming = pa.concat_tables(parts)
    connection.register("incoming", incoming)
    connection.execute("CREATE TABLE entries AS FROM incoming")
    connection.unregister("incoming")
    return connection


def _entries(model: str, protein: Protein) -> pa.Table:
    weights = protein.weights
    layer, head, source, target = (axis.ravel().astype(np.int32) for axis in np.indices(weights.shape))
    separation = np.abs(source - target)
    columns = {
        "model": pa.array([model] * layer.size, pa.string()),
        "protein": pa.array([protein.id] * layer.size, pa.string()),
        "layer": layer,
        "head": head,
        "source": source,
        "target": target,
        "weight": weights.ravel(),
        "reverse_weight": weights.swapaxes(2, 3).ravel(),
        "separation": separation,
    }
    for suffix, atom in (("", "cb"), ("_ca", "ca")):
        distance = np.full(layer.size, np.nan)
        if protein.structure is not None:
            xyz = getattr(protein.structure, atom).astype(np.float64)
            step = xyz[source] - xyz[target]
            distance = np.sqrt(step[:, 0] ** 2 + step[:, 1] ** 2 + step[:, 2] ** 2)
        unknown = np.isnan(distance)
        columns[f"distance{suffix}"] = pa.array(distance, mask=unknown)
        columns[f"contact{suffix}"] = pa.array((separation >= 6) & (distance < 8), mask=unknown & (separation >= 6))
    columns |= {"distance_cb": columns["distance"], "contact_cb": columns["contact"]}
    for end, position in (("source", source), ("target", target)):
        columns[f"{end}_key"] = pa.array([f"{protein.id}:{at}" for at in position])
    return pa.table(columns)
