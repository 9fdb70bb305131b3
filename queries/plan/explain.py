"""A plan in words: what is read, by which tier and why, where each condition is evaluated, and what it takes."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from ..sql.statement import Statement
from ..sql.syntax import render
from ..sql.weight_bands import Bands
from .blocks import BlockPlan
from .tiers import bytes_to_read

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Forecast:
    """What a block takes.

    Attributes
    ----------
    seconds : to find its cells or rows
    rows : that it gives; there is no forecast for cells
    size : bytes of the rows
    """

    seconds: float
    rows: int
    size: int

    def first(self, number: float) -> "Forecast":
        """Of the first rows alone, where reading stops at them; of all where it is infinite."""
        share = min(number / max(self.rows, 1), 1.0)
        return Forecast(self.seconds * share, int(min(number, self.rows)), int(self.size * share))


def explained(statement: Statement, number: int, plan: BlockPlan | None, fallback: str, memory: tuple[int, int]) -> str:
    """Lines about one block.

    Parameters
    ----------
    statement : that it is a block of
    number : of the block, from 0
    plan : how it is answered; None where DuckDB answers it over arcs
    fallback : why, in that case
    memory : bytes that its cells or rows take at most, and the limit
    """
    title = f"block {number + 1} of {len(statement.blocks)}"
    if plan is None:
        return f"{title}: DuckDB, over arcs joined with residues, because {fallback}; exact, and slow"
    question = plan.question
    lines = [f"{title}: {'rows' if question.rows else 'cells'}"]
    for one in plan.models:
        model, choice, heads = one.model, one.choice, one.scan.heads
        entries = int(heads.sum()) * model.manifest.total("pairs")
        size = bytes_to_read(model, choice, heads)
        kind = "exact" if choice.exact else "within bounds"
        lines.append(f"  model {model.name}: {choice.tier}, {kind} ({choice.reason})")
        lines.append(
            f"    {int(heads.sum())} of {heads.size} heads, {len(model.manifest.segments)} segments, "
            f"{_short(entries)} attention entries; {_short(size)}B to read"
        )
    lines += [f"  by DuckDB, once per row of {table}: {sql}" for table, sql in _terms(plan)]
    lines += [f"  by DuckDB, once per protein: {render(part)}" for part in question.proteins]
    lines += [f"  by DuckDB, once per head: {render(part)}" for part in question.heads]
    lines += [f"    decided only when it runs: {render(part)}" for part in plan.undecided]
    lines += [f"  on pairs, which must pass: {part.text}" for part in question.pairs]
    keys = [one.key.expression.text for one in (*plan.keys, *plan.protein_keys)]
    lines += [f"  cells apart by: {', '.join(keys)}"] if keys and not question.rows else []
    lines += [f"  summed over pairs: {', '.join(question.cells.measures)}"] if question.cells.measures else []
    if len(plan.need.bands.lower) > 1:
        lines.append(f"  weights: {_bands(plan.need.bands, plan.need.taken)}")
    if plan.need.reverse is not None:
        lines.append(f"  weights the other way round: {_bands(plan.need.reverse)}")
    lines += [f"  by DuckDB, on cells: {render(part)}" for part in question.left]
    what = "rows, streamed" if question.rows else f"at most {_short(memory[0])}B of cells"
    lines.append(f"  memory: {what}, limit {_short(memory[1])}B")
    return "\n".join(lines)


def in_all(forecasts: "Sequence[Forecast]", own: float) -> str:
    """What all blocks take together, and what planning took.

    Parameters
    ----------
    forecasts : of each block
    own : seconds that planning took, which an answer does, too
    """
    seconds = own + sum(one.seconds for one in forecasts)
    shown = f"{seconds:.2g}" if seconds < 100 else f"{seconds:.0f}"
    parts = [f"about {shown} s on this machine, by a sample"]
    parts += [f"about {_short(one.rows).strip()} rows, {_short(one.size)}B" for one in forecasts if one.size]
    return f"in total: {'; '.join(parts)}"


def _short(number: float) -> str:
    for size, unit in _UNITS:
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g} "


def _terms(plan: BlockPlan) -> list[tuple[str, str]]:
    found: dict[str, list[str]] = {}
    for term in plan.vectors.values:
        if term.table != "constant" and not term.sql.startswith("code of "):
            found.setdefault(term.table, []).append(term.sql)
    return [(table, "; ".join(sql)) for table, sql in found.items()]


def _bands(bands: Bands, taken: np.ndarray | None = None) -> str:
    edges = [f"{edge:g}" for edge in bands.lower.tolist()] + ["1"]
    shown = [f"[{low}, {high})" for low, high in pairwise(edges)]
    if taken is not None:
        shown = [f"{text}{'' if take else ' out'}" for text, take in zip(shown, taken, strict=True)]
    return " ".join(shown[:12]) + (f" … {len(shown)} bands" if len(shown) > 12 else "")
