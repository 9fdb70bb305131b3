"""The results that Vig et al. 2021 (arXiv 2006.15222) published on the heads of five models.

The figures are in ``vig2021_top_heads.json``: bar heights read off the vector figures that were published with the
paper's code (github.com/salesforce/provis, reports/attention_analysis, BSD-3), to ±0.1 percentage points. There layers
and heads are counted from 1; here and everywhere else they are counted from 0.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from ...errors import QueryError
from ...format.documents import ModelDocument

#: Properties whose ten best heads are published, by their names in a report and in the file.
PROPERTIES = ("contact", "binding_site", "protein_modification")

#: Name for `recognise` that means none of the five models.
OTHER = "other"

Head = tuple[int, int]


@dataclass(frozen=True)
class PublishedModel:
    """One of the five models.

    Attributes
    ----------
    name : str
        The paper's.
    source : str or None
        Hub id; None of TAPE's, which is not on the hub.
    architecture : str
        Its class in transformers.
    layers, heads : int
        Its shape.
    """

    name: str
    source: str | None
    architecture: str
    layers: int
    heads: int


#: In the paper's order, with the shapes of its table of models.
MODELS = (
    PublishedModel("TapeBert", None, "BertModel", 12, 12),
    PublishedModel("ProtAlbert", "Rostlab/prot_albert", "AlbertModel", 12, 64),
    PublishedModel("ProtBert", "Rostlab/prot_bert", "BertModel", 30, 16),
    PublishedModel("ProtBert-BFD", "Rostlab/prot_bert_bfd", "BertModel", 30, 16),
    PublishedModel("ProtXLNet", "Rostlab/prot_xlnet", "XLNetModel", 30, 16),
)


@dataclass(frozen=True)
class Figures:
    """The published results of one property in one model.

    Attributes
    ----------
    background : share by chance, from 0 to 1
    heads : share of the ten best heads, from 0 to 1, by layer and head from 0; the best first
    """

    background: float
    heads: Mapping[Head, float]


def figures(model: str, property: str) -> Figures:  # noqa: A002 - the word for it
    """The published results of a property, one of `PROPERTIES`, in a model, by the paper's name for it."""
    found = _document()["models"][model][property]
    heads = {head_of(label): percent / 100 for label, percent in found["top_heads_percent"].items()}
    return Figures(found["background_percent"] / 100, MappingProxyType(heads))


def source() -> str:
    """Where the figures are from."""
    return str(_document()["source"])


@cache
def _document() -> dict[str, Any]:
    text = files(__package__).joinpath("vig2021_top_heads.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def head_of(label: str) -> Head:
    """Layer and head, from 0, of the paper's label, from 1: '12-4' is (11, 3)."""
    layer, head = label.split("-")
    return int(layer) - 1, int(head) - 1


def label_of(layer: int, head: int) -> str:
    """The paper's label of a layer and a head, from 0."""
    return f"{layer + 1}-{head + 1}"


def check_name(asked: str | None) -> None:
    """Raise QueryError unless it is the paper's name of a model, 'other' or None."""
    names = [model.name for model in MODELS]
    if asked not in (*names, OTHER, None):
        raise QueryError(f"{asked!r} is no model of the paper: try {', '.join(names)} or {OTHER}.")


def recognise(document: ModelDocument, asked: str | None = None) -> tuple[PublishedModel | None, str]:
    """Find which of the five a model is, and how it was recognised.

    Parameters
    ----------
    document : ModelDocument
        Document of the model in the store.
    asked : str, optional
        The paper's name of the model to compare with, or 'other'; None to recognise it by hub id or name or, if only
        one of the five has that architecture with as many layers and heads, by its shape.

    Raises
    ------
    QueryError
        If no model has the requested name, or the model has another shape.
    """
    check_name(asked)
    shape = f"{document.layers} layers × {document.heads} heads"
    if asked == OTHER:
        return None, "as asked"
    if asked is not None:
        (named,) = (model for model in MODELS if model.name == asked)
        if (named.layers, named.heads) != (document.layers, document.heads):
            raise QueryError(
                f"{document.source} has {shape}, and {asked} {named.layers} × {named.heads}: they cannot be compared "
                "head by head; leave the name out."
            )
        return named, "as asked"
    alike = [
        model
        for model in MODELS
        if (model.architecture, model.layers, model.heads) == (document.architecture, document.layers, document.heads)
    ]
    given = _word(document.source.rstrip("/").rsplit("/", 1)[-1])
    for model in alike:
        if given in {_word(model.name), _word((model.source or "").rsplit("/", 1)[-1])}:
            return model, "by its name"
    if len(alike) == 1:
        return alike[0], f"by its shape: {document.architecture}, {shape}"
    if alike:
        names = " and ".join(model.name for model in alike)
        return None, f"{names} have its shape: name one to compare with"
    return None, f"none of the five has its shape: {document.architecture}, {shape}"


def _word(name: str) -> str:
    """Only letters and digits: `prot_bert_bfd` and `ProtBert-BFD` are the same name."""
    return re.sub(r"[^a-z0-9]", "", name.lower())
