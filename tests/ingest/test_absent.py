"""Absent is not negative, unless it is asked to be."""

from pathlib import Path

import numpy as np
import pytest

import attnstore
from attnstore.catalog.property import UNKNOWN_IF_NONE
from attnstore.ingest import ingest_proteins
from attnstore.readers import text
from attnstore.readers.inputs import READERS, Options, read_inputs

DATA = Path(__file__).parents[1] / "data"
FILES = [DATA / "uniprot" / "bacsu.xml.gz", *sorted((DATA / "structures").glob("*.gz"))]

FEATURES = {
    prop.name for reader in READERS for prop in reader.PROPERTIES
    if prop.kind == "boolean" and prop.absent.startswith(UNKNOWN_IF_NONE)
}  # fmt: skip


def test_features_of_structures_and_of_uniprot_are_told_apart_from_other_properties():
    assert {"binding_site", "binding_site_ligand", "binding_site_record", "helix", "strand", "turn", "disulfide",
            "protein_modification", "modified_residue", "disulfide_bonded", "active_site", "transmembrane",
            "signal"} <= FEATURES  # fmt: skip
    assert not {"reviewed", "disordered", "b_factor"} & FEATURES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_on_request_a_feature_that_is_not_named_is_absent(path):
    """What is given stays; what is not is FALSE, but for residues that the structure does not resolve."""
    asked = [prop for reader in READERS if reader.accepts(path, text.head(path)) for prop in reader.PROPERTIES]
    offered = {prop.name: prop for prop in asked if prop.name in FEATURES}
    assert offered
    plain = list(read_inputs([path], Options(accessibility=False)))
    negative = list(read_inputs([path], Options(accessibility=False, absent="false")))
    filled = 0
    for before, after in zip(plain, negative, strict=True):
        given = {annotation.property.name: annotation for annotation in before.annotations}
        told = {annotation.property.name: annotation for annotation in after.annotations}
        assert given.keys() | offered.keys() == told.keys()
        assert after.source.name == str(path)
        for name, annotation in told.items():
            if name in given:
                assert annotation.values.equals(given[name].values)
                assert annotation.otherwise == given[name].otherwise
            elif annotation.property.level == "pair":
                filled += 1
                assert (len(annotation.values), annotation.otherwise) == (0, False)
            else:
                filled += 1
                known = np.ones(len(after.sequence), bool) if after.structure is None else after.structure.author_known
                assert annotation.values.to_pylist() == [False if seen else None for seen in known]
            if name in offered:
                assert annotation.property.absent.startswith("FALSE")
    assert filled


def test_the_dictionary_says_which(tmp_path):
    source = DATA / "uniprot" / "bacsu.xml.gz"
    for absent, said in (("null", "NULL where a protein has no such feature"), ("false", "FALSE")):
        ingest_proteins(tmp_path / absent, [source], absent=absent)
        rows = attnstore.open(tmp_path / absent).sql("SELECT name, absent, known FROM properties").fetchall()
        entries = {name: (text, known) for name, text, known in rows}
        assert entries["active_site"][0] == said
        if absent == "false":
            assert entries["active_site"][1] == attnstore.open(tmp_path / absent).document.residues
