"""How a question is answered: which tier of which model, exactly or within bounds, and what that takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ...errors import QueryError
from ...format.codebook import Codebook
from ...format.documents import ingest_with
from ..engine.cells import Scan, Tier
from ..engine.groups import FREE_SIZE
from ..sql.block import Question
from ..sql.columns import is_of
from ..sql.syntax import Tree, columns_in, expression, replace_children
from ..sql.tree import Expression, Leaf, one_end
from ..sql.weight_bands import Bands, cut, values

if TYPE_CHECKING:
    from ...opened import Model

#: All tiers, the cheapest first.
TIERS: tuple[Tier, ...] = ("pairs", "marginals", "arcs", "codes")
#: Those that a model may not have kept. Pairs need nothing but lengths.
STORED: Final = TIERS[1:]

#: Values that a number computed from both ends is taken to have, when memory is estimated.
FREE_VALUES = 1024


@dataclass(frozen=True, eq=False)
class Needs:
    """What a question wants of attention, whichever model it is asked of.

    Attributes
    ----------
    bands, taken : of the weight, and which take part by WHERE
    reverse : bands of the weight of the pair the other way round; None where nothing asks for it
    sums, extremes : whether sums and extremes of weights are wanted
    end : the one end that everything depends on; None if both
    rows : whether pairs are wanted, not what is counted of them
    separations : whether arcs are distinguished by separation, whatever `end` says
    """

    bands: Bands
    taken: npt.NDArray[np.bool_]
    reverse: Bands | None
    sums: bool
    extremes: bool
    end: str | None
    rows: bool = False
    separations: bool = False

    @property
    def least(self) -> np.float32:
        """The least weight that takes part; above all weights where none does."""
        return self.bands.lower[np.argmax(self.taken)] if self.taken.any() else np.float32(2)

    @property
    def weights(self) -> bool:
        """Whether weights matter at all."""
        return self.sums or self.extremes or len(self.bands.lower) > 1 or not self.taken.all()


def least_weight(question: Question) -> np.float32:
    """The least weight that passes WHERE, or a bound below it; raises RefusalError as `needs` does."""
    alone = [_of_weight_alone(condition) for condition in question.left]
    conditions = [*question.weights, *(part for part in alone if ("weight",) in columns_in(part))]
    lower = cut(conditions).lower
    taken = np.ones(len(lower), bool)
    for condition in conditions:
        taken &= np.array([value in (True, None) for value in values(condition, lower)])
    return np.float32(lower[np.argmax(taken)]) if taken.any() else np.float32(2)


@lru_cache(maxsize=16)  # asked when a statement is taken apart, and again when the block is planned
def needs(question: Question) -> Needs:
    """What a question wants; raises RefusalError if a function of the weight is not made of steps."""
    cells = question.cells
    steps = {column: [tree for (name, _), (_, tree) in cells.steps.items() if name == column] for column in _COLUMNS}
    bands = cut([*steps["weight"], *question.weights])
    taken = np.ones(len(bands.lower), bool)
    for condition in question.weights:
        taken &= np.array([value is True for value in values(condition, bands.lower)])
    for condition in question.left:
        alone = _of_weight_alone(condition)
        if ("weight",) in columns_in(alone):
            taken &= np.array([value is not False for value in values(alone, bands.lower)])
    asked = {*cells.sums, *cells.extremes}
    reverse = (
        cut(steps["reverse_weight"], "reverse_weight") if steps["reverse_weight"] or "reverse_weight" in asked else None
    )
    weighted = any(measure.weighted for measure in cells.measures.values())
    return Needs(
        bands,
        taken,
        reverse,
        bool(cells.sums) or weighted,
        bool(cells.extremes),
        one_end(expressions(question)),
        question.rows,
    )


_COLUMNS = ("weight", "reverse_weight")


def _of_weight_alone(condition: Tree) -> Tree:
    """A condition with NULL for whatever is not of the weight: where it is FALSE even so, it is FALSE anyhow."""
    if condition["class"] == "CONJUNCTION" or condition["type"] == "OPERATOR_NOT":
        return replace_children(condition, _of_weight_alone)
    return condition if is_of(condition, "weight") else expression("CAST(NULL AS BOOLEAN)")


def expressions(question: Question) -> list[Expression]:
    """Everything of a question that is evaluated on pairs."""
    cells = question.cells
    own = [key.expression for key in cells.keys.values()] + [one.expression for one in cells.measures.values()]
    return [*question.pairs, *own]


@dataclass(frozen=True)
class Choice:
    """A tier, whether it answers exactly, and why it was taken."""

    tier: Tier
    exact: bool
    reason: str


@dataclass(frozen=True)
class Wording:
    """How those who ask name what they ask, in messages.

    Attributes
    ----------
    asked : of it as an object, "the tier … cannot answer …"
    refused : that it has no answer, "… of model …"
    tiers : the tiers there are to choose from, "tier … is …"
    works : what could be asked of each tier instead
    unable : why a tier that is not to choose from cannot answer, where `choose` does not know
    """

    asked: str
    refused: str
    tiers: str
    works: Mapping[str, str]
    unable: Mapping[str, str] = field(default_factory=dict)


def wording(said: str, model: "Model", need: Needs) -> Wording:
    """Of a block whose conditions on the weight are `said` in the user's words."""
    floor = model.document.arc_floor
    works = {
        "marginals": "ask for sums of weights by properties of one end, without a threshold",
        "arcs": f"ask for weight >= {floor:g} or more{', without reverse_weight' if need.reverse else ''}",
        "codes": "compare the weight by >= or < with edges of the codebook",
    }
    return Wording(said, f"{said} cannot be answered", f"not one of {', '.join(TIERS)}", works)


def choose(
    need: Needs, model: "Model", tier: str | None, words: Wording, tiers: Sequence[Tier] = TIERS, *, exact: bool = True
) -> Choice:
    """The first tier kept that answers exactly, else the first within bounds; or the one asked for, if it can.

    Parameters
    ----------
    need, model : what is asked of what
    tier : the one asked for
    words : for messages
    tiers : those to choose from, the one to be preferred first
    exact : whether one that is exact is preferred to all others

    Raises
    ------
    QueryError
        If none can, or not the one asked for; the message says why and names the cure.
    """
    keep = model.document.keep
    able, unable = _tiers(need, model)
    able = {name: able[name] for name in tiers if name in able}
    kept: dict[str, Choice] = {name: choice for name, choice in able.items() if name not in STORED or name in keep}
    missing: dict[str, str] = {name: f"{name} were not kept" for name in STORED if name not in keep}
    reasons: dict[str, str] = {**unable, **words.unable, **missing}
    if tier is not None:
        if tier not in (*tiers, *STORED):
            raise QueryError(f"tier {tier!r} is {words.tiers}.")
        if tier not in kept:
            raise QueryError(f"the tier {tier} cannot answer {words.asked} of model {model.name}: {reasons[tier]}.")
        return kept[tier]
    if kept:
        return min(kept.values(), key=lambda choice: exact and not choice.exact)
    # The message names the missing tiers that would answer, and all if none of the large ones was kept.
    others = () if {"arcs", "codes"} & set(keep) else STORED
    listed = [name for name in STORED if name in (*able, *others, "arcs", "codes")]
    cures = [words.works[name] for name in listed if name in keep]
    cures += [ingest_with(keep, name) for name in list(able)[:1]]
    why = f"{', and '.join(reasons[name] for name in listed)}; {', or '.join(cures)}"
    raise QueryError(f"{words.refused} of model {model.name}: {why}.")


def _tiers(need: Needs, model: "Model") -> tuple[dict[Tier, Choice], dict[str, str]]:
    """Tiers that can answer, were they kept; and why the others cannot."""
    able: dict[Tier, Choice] = {}
    unable: dict[str, str] = {}
    floor = model.document.arc_floor
    if need.weights or need.reverse or need.rows:
        unable["pairs"] = "pairs alone say nothing of weights"
    else:
        able["pairs"] = Choice("pairs", True, "nothing of the weights is asked, so pairs are counted")
    if need.rows:
        unable["marginals"] = "marginals hold sums over pairs, and rows are asked for"
    elif not need.sums:
        unable["marginals"] = "marginals hold sums of weights, not numbers of arcs"
    elif need.extremes:
        unable["marginals"] = "marginals hold sums of weights alone"
    elif len(need.bands.lower) > 1 or not need.taken.all() or need.reverse:
        unable["marginals"] = "marginals know no threshold"
    elif need.end is None:
        unable["marginals"] = "marginals answer questions about one end only"
    elif need.separations:
        unable["marginals"] = "marginals know no separation"
    else:
        able["marginals"] = Choice("marginals", True, "sums of weights by one end, without a threshold")
    if need.reverse:
        unable["arcs"] = "arcs do not hold the weight the other way round where it is small"
    elif need.least >= np.float32(floor):
        able["arcs"] = Choice("arcs", True, f"all weights asked for are at or above the arc floor, {floor:g}")
    else:
        unable["arcs"] = f"arcs begin at {floor:g}"
    split = _split_code(need.bands, need.taken, model.codebook)
    if split is None and need.reverse:
        split = _split_code(need.reverse, np.ones(len(need.reverse.lower), bool), model.codebook)
    if split is not None:
        below, above = model.codebook.nearest_edges(split)
        unable["codes"] = f"{split:.6g} is no edge of the codebook; the nearest are {below:g} and {above:g}"
    elif need.sums or need.extremes or (need.reverse and need.rows):
        able["codes"] = Choice("codes", False, "weights from codes lie within the bounds of their bins")
    else:
        able["codes"] = Choice("codes", True, "every threshold is an edge of the codebook")
    return able, unable


def _split_code(bands: Bands, taken: Any, codebook: Codebook) -> float | None:
    """Where a band that takes part begins or ends within a code; None where codes separate the bands."""
    for k in range(1, len(bands.lower)):
        if taken[k] or taken[k - 1]:
            cut_at = float(bands.lower[k])
            if codebook.code_of(cut_at) is None and cut_at < codebook.upper[-1]:
                return cut_at
    return None


def bytes_to_read(model: "Model", choice: Choice, heads: npt.NDArray[np.bool_]) -> int:
    """Bytes of the files that a tier's share of the heads takes, about."""
    share = float(heads.mean())
    total = 0
    for segment in model.segments:
        if choice.tier == "arcs":
            total += int(sum(part.size for part in segment.arc_parts) * share)
        elif choice.tier in ("codes", "marginals"):
            folder = (
                segment.directory / {"codes": "codes.zarr/codes", "marginals": "marginals.zarr/received"}[choice.tier]
            )
            total += int(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) * share)
    return total


def most_cells(scan: Scan, lengths: npt.NDArray[np.int64], *, by_protein: bool) -> int:
    """Cells there can be at most.

    Parameters
    ----------
    scan : Scan
    lengths : residues of every protein
    by_protein : whether proteins are distinguished
    """
    sizes = {"source": 1.0, "target": 1.0, "separation": 1.0}
    others = 1.0
    for key in scan.keys:
        if isinstance(key.node, Leaf) and key.node.end in sizes:
            sizes[key.node.end] *= key.size
        else:
            others *= min(key.size, FREE_VALUES) if key.size == FREE_SIZE else key.size
    # A protein has no more combinations of one end's properties than residues, and of all no more than pairs.
    length = lengths.astype(np.float64)
    each = np.minimum(np.prod([np.minimum(size, length) for size in sizes.values()], axis=0) * others, length**2)
    groups = each.sum() if by_protein else min(float(np.prod([*sizes.values(), others])), each.sum())
    *_, bands, reverse = scan.shape
    return int(scan.heads.sum() * groups * bands * reverse)
