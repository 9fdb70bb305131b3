"""The proteins of the catalog for a model, and the plan of its segments."""

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..catalog.reader import connect, current_catalog
from ..errors import ModelError, StoreError
from ..format.documents import PLAN_FILE, Manifest, ModelDocument, Skipped, StoreDocument
from .compute import SequenceInput
from .model.tokens import ResidueTokens
from .plan import PlannedSegment, plan_segments, write_plan


def catalog_proteins(
    store: Path,
    document: ModelDocument,
    *,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    plan: Sequence[PlannedSegment] = (),
) -> dict[str, SequenceInput]:
    """Proteins of the catalog by id, in its order: all, the first ones, or some drawn with a seed.

    The selection includes all proteins that `plan` has in a segment with a selected one: a segment with half of them
    would be committed as complete.
    """
    with contextlib.closing(connect(current_catalog(store, StoreDocument.read(store)))) as connection:
        rows = connection.execute(
            "SELECT id, sequence, sequence_sha256 FROM proteins ORDER BY protein_index"
        ).fetchall()
    chosen = rows[:limit]
    if sample is not None and sample < len(rows):
        chosen = [rows[index] for index in np.random.default_rng(seed).choice(len(rows), sample, replace=False)]
    wanted = {name for name, _, _ in chosen}
    for segment in plan:
        if not wanted.isdisjoint(segment.proteins):
            wanted.update(segment.proteins)
    return {
        name: SequenceInput(sequence, sha256, min(len(sequence), document.max_residues))
        for name, sequence, sha256 in rows
        if name in wanted
    }


def take_proteins(
    proteins: dict[str, SequenceInput],
    document: ModelDocument,
    tokens: ResidueTokens,
    manifest: Manifest,
    *,
    strict: bool = False,
) -> tuple[dict[str, SequenceInput], Manifest]:
    """Select the proteins that the model can run on; the others are added to the manifest with the reason.

    Raises
    ------
    ModelError
        If one cannot be tokenised, with `strict`.
    """
    known_skips = {entry.protein for entry in manifest.skipped}
    skipped = list(manifest.skipped)
    chosen: dict[str, SequenceInput] = {}
    for name, protein in proteins.items():
        if name in known_skips:
            continue
        length, stored = len(protein.sequence), protein.stored
        reason = None
        if stored < length and document.long == "skip":
            reason = f"{length} residues are more than {document.max_residues}"
        else:
            try:
                tokens.encode(protein.sequence[:stored])
            except ModelError as error:
                if strict:
                    raise ModelError(f"{name}: {error}.") from None
                reason = str(error)
        if reason is None:
            chosen[name] = protein
        else:
            skipped.append(Skipped(name, reason))
    return chosen, replace(manifest, skipped=tuple(skipped))


def extended_plan(
    directory: Path,
    document: ModelDocument,
    recorded: list[PlannedSegment],
    proteins: dict[str, SequenceInput],
    committed: Collection[int],
) -> list[PlannedSegment]:
    """Return the recorded plan, with new segments for new proteins, and record it."""
    if any(number >= len(recorded) for number in committed):
        raise StoreError(
            f"{directory / PLAN_FILE} is missing or not that of the segments there: bring it back, or run "
            "`attnstore.repair(store.path)`."
        )
    planned = {name for segment in recorded for name in segment.proteins}
    new = [(name, protein.stored) for name, protein in proteins.items() if name not in planned]
    if not new:
        return recorded
    plan = recorded + plan_segments(
        new,
        heads=document.layers * document.heads,
        segment_entries=document.segment_entries,
        batch_pairs=document.batch_pairs,
        first_number=len(recorded),
    )
    write_plan(directory, plan)
    return plan
