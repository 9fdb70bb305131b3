"""Labels moved by one residue: what the paper's released code makes of sites and modifications for ProtXLNet.

In github.com/salesforce/provis (051fe89), `compute_edge_features.py` opens the data sets of sites and modifications
with their default tokenizer, TAPE's, whatever the model. For it `datasets.py` puts an entry before the labels and one
after them. Of an XLNet, whose special tokens come last, `convert_item` then removes the last two entries: the entry
before the labels stays and stands at the first residue, each other residue gets the label of the one before it, and
the last residue's label is lost.
"""

from collections.abc import Sequence
from pathlib import Path

from ...annotate.annotation import annotate
from ...catalog_sql import relation
from ...format.documents import ModelDocument
from ...opened import open_store

#: The properties whose labels are moved.
MOVED = ("binding_site", "protein_modification")

#: What the property with moved labels is called, after the name of the other.
ENDING = "_as_published"


def moves_labels(document: ModelDocument) -> bool:
    """Whether the released code moves the labels for a model."""
    return document.architecture == "XLNetModel"


def asked(properties: Sequence[str]) -> tuple[str, ...]:
    """Names of properties, those with moved labels in place of the others."""
    return tuple(key + ENDING if key in MOVED else key for key in properties)


def move_labels(store: Path, properties: Sequence[str]) -> None:
    """Add to a store the properties with moved labels, FALSE at every first residue."""
    for key in [key for key in properties if key in MOVED]:
        frame = relation(open_store(store), f"SELECT protein AS id, pos, {key} AS label FROM residues").df()
        frame = frame.sort_values(["id", "pos"], ignore_index=True)
        moved = frame["label"].astype("boolean").shift(1)
        moved[frame["pos"] == 0] = False
        name = key + ENDING
        annotate(
            store, [frame[["id", "pos"]].assign(**{name: moved})], kinds={name: "boolean"}, replace=True,
            descriptions={name: f"{key} of the residue before, as the code of Vig et al. 2021 has it for ProtXLNet"},
            name=f"{key}, moved by one residue",
        )  # fmt: skip
