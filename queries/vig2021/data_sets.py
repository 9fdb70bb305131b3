"""The four data sets of Vig et al. 2021 in the layout of TAPE and of the paper's code: names, places, what is asked."""

from dataclasses import dataclass
from pathlib import Path

_TAPE = "http://s3.amazonaws.com/songlabdata/proteindata/data_pytorch"
_PROVIS = "https://github.com/salesforce/provis, in data/"

#: Parts of the data sets. The paper measured on the first.
SPLITS = ("train", "valid")


@dataclass(frozen=True)
class DataSet:
    """One of the data sets.

    Attributes
    ----------
    name : of its store and its report
    folders : below the data folder, where its files are looked for: first that of TAPE or the paper's code
    stem : of its files, before the split
    source : where it is published
    properties : that the paper measures on it, by name as :func:`attnstore.queries.report.report.report` takes them
    words : these, for people
    """

    name: str
    folders: tuple[str, ...]
    stem: str
    source: str
    properties: tuple[str, ...]
    words: str

    def published_path(self, data: Path, split: str) -> Path:
        """Where the file is in the published layout."""
        return data / self.folders[0] / f"{self.stem}_{split}.lmdb"

    def find(self, data: Path, split: str) -> Path | None:
        """The file, a folder with `data.mdb` or a file alone; None where there is none."""
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
