"""Computing one planned segment: from the model to the segment's contents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..format.documents import ModelDocument, Skipped
from ..format.segment_values import MARGINALS, LocalProteins
from ..format.segment_writer import SegmentContents
from .model.language_model import LanguageModel, spans_of
from .plan import PlannedSegment, cost
from .receiver_cpu import FailedItemsError, HostReceiver, Items
from .receiver_gpu import DeviceReceiver


@dataclass(frozen=True)
class SequenceInput:
    """A protein for the model.

    Attributes
    ----------
    sequence : the whole sequence
    sequence_sha256 : its digest
    stored : number of residues that the model sees, from the first
    """

    sequence: str
    sequence_sha256: str
    stored: int


@dataclass
class Budget:
    """The budget of a batch (:func:`~attnstore.ingest.plan.cost`), lowered when memory runs out."""

    pairs: float = float("inf")


class Stopped(Exception):  # noqa: N818 - nothing went wrong
    """The computation of a segment was stopped on request."""


@dataclass(frozen=True, eq=False)
class Computed:
    """The result of a segment whose last step is pending, for example the copy from a GPU.

    Attributes
    ----------
    proteins : ids, in the segment's order
    failed : reasons, by index in the segment
    gather : returns the receiver's contents; those of failed proteins are undefined
    hidden : float16 [layers + 1, residues, width]; None if not kept
    """

    proteins: tuple[str, ...]
    failed: dict[int, str]
    gather: Callable[[], SegmentContents]
    hidden: npt.NDArray[np.float16] | None

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Proteins that failed, with the reasons."""
        return tuple(Skipped(self.proteins[index], reason) for index, reason in sorted(self.failed.items()))

    def contents(self) -> SegmentContents | None:
        """The contents to write; None if no protein could be computed."""
        if len(self.failed) == len(self.proteins):
            return None
        contents = replace(self.gather(), hidden=self.hidden)
        if not self.failed:
            return contents
        keep = np.ones(len(self.proteins), bool)
        keep[list(self.failed)] = False
        return _only(contents, keep)


def compute_segment(
    planned: PlannedSegment,
    proteins: dict[str, SequenceInput],
    document: ModelDocument,
    language_model: LanguageModel,
    budget: Budget,
    *,
    stopped: Callable[[], bool] = lambda: False,
    advance: Callable[[int], object] = lambda residues: None,
) -> Computed:
    """Run a segment's batches and collect its contents.

    A batch that does not fit in memory is halved and tried again. A protein that fails by itself, or whose attention is
    invalid, is left out, and the others of its batch are computed without it.

    Parameters
    ----------
    planned : the segment
    proteins : by id; proteins of the segment that are missing here are left out
    document : settings, among them what to keep
    language_model : model to run
    budget : budget of a batch, lowered when memory runs out
    stopped : called before every batch
    advance : called with the residues of each batch when it is done

    Raises
    ------
    Stopped
        If `stopped` returns true.
    """
    own = planned.among(proteins)
    local = LocalProteins(
        id=tuple(own),
        sequence_sha256=tuple(protein.sequence_sha256 for protein in own.values()),
        length=np.array([len(protein.sequence) for protein in own.values()], np.int64),
        stored=np.array([protein.stored for protein in own.values()], np.int64),
    )
    kept = (document.layers, document.heads, document.edges, document.arc_floor, document.keep)
    receiver: HostReceiver | DeviceReceiver
    if language_model.device.type == "cpu":
        receiver = HostReceiver(local, *kept)
    else:
        receiver = DeviceReceiver(local, *kept, language_model.device)
    run = _Run(document, language_model, local, list(own.values()), receiver, budget, stopped, advance)
    first = 0
    for batch in planned.batches:
        size = sum(name in own for name in batch)
        run.batch(range(first, first + size))
        first += size
    # From a GPU the copies begin now, while the next segment is computed.
    gather = receiver.finish().contents if isinstance(receiver, DeviceReceiver) else receiver.finish
    return Computed(local.id, run.failed, gather, run.hidden)


@dataclass(eq=False)
class _Run:
    """The batches of one segment while they go through the model."""

    document: ModelDocument
    language_model: LanguageModel
    local: LocalProteins
    proteins: Sequence[SequenceInput]
    receiver: HostReceiver | DeviceReceiver
    budget: Budget
    stopped: Callable[[], bool]
    advance: Callable[[int], object]
    failed: dict[int, str] = field(default_factory=dict)
    hidden: npt.NDArray[np.float16] | None = None

    def batch(self, indices: Sequence[int]) -> None:
        """Run the proteins of these local indices together, or in parts if they do not fit in memory."""
        if self.stopped():
            raise Stopped
        if not indices:
            return
        price = cost(len(indices), int(self.local.stored[list(indices)].max()))
        if price > self.budget.pairs and len(indices) > 1:
            self._halves(indices)
            return
        try:
            self._forward(indices)
        except FailedItemsError as error:
            for item in error.items:
                self.failed[indices[item]] = str(error)
            self.batch([index for index in indices if index not in self.failed])
            return
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            # The traceback refers to the frames of the forward pass, which refer to the tensors that fill the memory.
            error.__traceback__ = None
            if len(indices) == 1:
                self.failed[indices[0]] = f"out of memory on {self.language_model.device}, alone in its batch"
                return
            self.budget.pairs = price / 2
            self._halves(indices)
            return
        self.advance(int(self.local.stored[list(indices)].sum()))

    def _halves(self, indices: Sequence[int]) -> None:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        middle = len(indices) // 2
        self.batch(indices[:middle])
        self.batch(indices[middle:])

    def _forward(self, indices: Sequence[int]) -> None:
        model, local, chosen = self.language_model, self.local, list(indices)
        tokens = [self._tokens(self.proteins[index]) for index in indices]
        lengths = local.stored[chosen]
        prefix = len(model.tokens.prefix)
        self.receiver.begin(
            Items(
                start=np.array(spans_of(model.tokens, tokens).begin, np.int64) + prefix,
                prefix=prefix,
                length=lengths,
                protein=np.array(chosen, np.int64),
                pair_offset=local.pair_offset[chosen],
                residue_offset=local.residue_offset[chosen],
            )
        )
        states = model.forward(tokens, self.receiver, hidden="hidden" in self.document.keep)
        if states is not None:
            self._keep_hidden(states, indices)
        self.receiver.end()

    def _tokens(self, protein: SequenceInput) -> list[int]:
        tokens = self.language_model.tokens.encode(protein.sequence[: protein.stored])
        if self.document.randomize == "sequence":
            assert self.document.seed is not None
            # It depends only on the protein's own digest, not on the other proteins or their order.
            digest = int(protein.sequence_sha256[:16], 16)
            order = np.random.default_rng([self.document.seed, digest]).permutation(len(tokens))
            return [tokens[index] for index in order]
        return tokens

    def _keep_hidden(self, states: Sequence[torch.Tensor], indices: Sequence[int]) -> None:
        if self.hidden is None:
            layers, _, width = states[0].shape
            self.hidden = np.empty((layers, int(self.local.residue_offset[-1]), width), np.float16)
        halves = [state.to(torch.float16) for state in states]
        beyond = [item for item, state in enumerate(halves) if not bool(torch.isfinite(state).all())]
        if beyond:
            raise FailedItemsError("its hidden states hold a value that is NaN or too large for float16", beyond)
        for index, state in zip(indices, halves, strict=True):
            place = int(self.local.residue_offset[index])
            self.hidden[:, place : place + state.shape[1]] = state.cpu().numpy()


def _out_of_memory(error: BaseException) -> bool:
    """Whether an error means out of memory: CUDA has a class for it, a CPU's allocator raises a plain RuntimeError."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)


def _only(contents: SegmentContents, keep: npt.NDArray[np.bool_]) -> SegmentContents:
    """A segment's contents without some of its proteins."""
    proteins = contents.proteins
    chosen = np.flatnonzero(keep)
    fewer = LocalProteins(
        tuple(proteins.id[index] for index in chosen),
        tuple(proteins.sequence_sha256[index] for index in chosen),
        proteins.length[chosen],
        proteins.stored[chosen],
    )
    pairs = np.repeat(keep, proteins.stored**2)
    residues = np.repeat(keep, proteins.stored)
    changed: dict[str, Any] = {name: _along(getattr(contents, name), residues, -1) for name in MARGINALS}
    arcs = contents.arcs
    if arcs is not None:
        among = keep[arcs["protein"]]
        number = np.cumsum(keep) - 1
        arcs = {name: column[among] for name, column in arcs.items()}
        arcs["protein"] = number[arcs["protein"]].astype(np.uint32)
    return replace(
        contents, proteins=fewer, codes=_along(contents.codes, pairs, -1), arcs=arcs,
        hidden=_along(contents.hidden, residues, 1), **changed,
    )  # fmt: skip


def _along(array: npt.NDArray[Any] | None, keep: npt.NDArray[np.bool_], axis: int) -> npt.NDArray[Any] | None:
    return None if array is None else np.compress(keep, array, axis)
