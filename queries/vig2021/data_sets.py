"""The four data sets of Vig et al. 2021 in the layout of TAPE and of the paper's code: names, places, what is asked.

Also what the code makes of their labels: it moves those of sites and modifications by one residue for ProtXLNet.

In github.com/salesforce/provis (051fe89), `compute_edge_features.py` opens the data sets of sites and modifications
with their default tokenizer, TAPE's, for every model. For this tokenizer `datasets.py` adds an entry before the labels
and one after them. For an XLNet, whose special tokens come last, `convert_item` then removes the last two entries: the
entry before the labels stays at the first residue, each other residue gets the label of the one before it, and the last
residue's label is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...annotate.annotation import annotate
from ...catalog_sql import relation
from ...format.documents import ModelDocument
from ...opened import open_store

_TAPE = "http://s3.amazonaws.com/songlabdata/proteindata/data_pytorch"
_PROVIS = "https://github.com/salesforce/provis, in data/"

#: Splits of the data sets. The paper measured on the first.
SPLITS = ("train", "valid")

#: The properties whose labels are moved.
MOVED = ("binding_site", "protein_modification")

#: Suffix of the name of a property with moved labels.
ENDING = "_as_published"


@dataclass(frozen=True)
class DataSet:
    """One of the data sets.

    Attributes
    ----------
    name : name of its store and its report
    folders : below the data folder, in which its files are looked for: first that of TAPE or the paper's code
    stem : name of its files, before the split
    source : where it is published
    properties : properties that the paper measures on it, as :func:`attnstore.queries.report.report.report` names them
    words : the same, for people
    """

    name: str
    folders: tuple[str, ...]
    stem: str
    source: str
    properties: tuple[str, ...]
    words: str

    def published_path(self, data: Path, split: str) -> Path:
        """Path of the file in the published layout."""
        return data / self.folders[0] / f"{self.stem}_{split}.lmdb"

    def find(self, data: Path, split: str) -> Path | None:
        """The file, a folder with `data.mdb` or a single file; None if there is none."""
        places = (data / folder / f"{self.stem}_{split}.lmdb" for folder in (*self.folders, "."))
        return next((place for place in places if place.exists()), None)


DATA_SETS = (
    DataSet("proteinnet", ("proteinnet",), "proteinnet", f"{_TAPE}/proteinnet.tar.gz", ("contact", "aa"),
            "contacts and amino acids"),
    DataSet("binding_site", ("binding_sites", "binding_site"), "binding_site", _PROVIS, ("binding_site",),
            "binding sites"),
    DataSet("protein_modification", ("protein_modifications", "protein_modification"), "protein_modification", _PROVIS,
            ("protein_modification",), "modifications"),
    DataSet("secondary_structure", ("secondary_structure",), "secondary_structure",
            f"{_TAPE}/secondary_structure.tar.gz", ("ss4",), "helix, strand and turn"),
)  # fmt: skip


def moves_labels(document: ModelDocument) -> bool:
    """Whether the released code moves the labels for a model."""
    return document.architecture == "XLNetModel"


def question_names(properties: Sequence[str]) -> tuple[str, ...]:
    """Names of properties, with those of moved labels instead of the others."""
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
