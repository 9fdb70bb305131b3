"""What it means that a source names no feature of a kind: on request, that there is none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..catalog.property import NEGATIVE, UNKNOWN_IF_NONE, Property, at, between
from .record import Record


def negatives(record: Record, offered: Iterable[Property]) -> Record:
    """Return the record with FALSE where its source could have named a feature and named none.

    Parameters
    ----------
    record
        As its reader gives it.
    offered
        All that the reader may give.

    Returns
    -------
    The record with every boolean property that is NULL for proteins without a feature of its kind: FALSE throughout
    where the record lacks it, but NULL at residues that a structure does not resolve.
    """
    given = {(one.property.level, one.property.name): one for one in record.annotations}
    known = None if record.structure is None else record.structure.author_known
    for prop in offered:
        if prop.kind == "boolean" and prop.absent.startswith(UNKNOWN_IF_NONE):
            # What else a NULL stands for, as a residue that is not resolved, it stands for still.
            rest = prop.absent.partition(";")[1:]
            negative = replace(prop, absent=NEGATIVE + "".join(rest))
            key = (prop.level, prop.name)
            if key in given:
                # Its description may depend on how the file was read.
                same = replace(given[key].property, absent=negative.absent)
                given[key] = replace(given[key], property=same)
            elif prop.level == "residue":
                given[key] = at(negative, len(record.sequence), (), known)
            elif prop.level == "pair":
                given[key] = between(negative, (), otherwise=False)
    return replace(record, annotations=tuple(given.values()))
