"""What a model did not keep cannot be read: the tiers that are left, and what is said where none is."""

from collections.abc import Mapping, Sequence
from typing import Final, TypeVar

from ...format.documents import ingest_with

K = TypeVar("K", bound=str)
T = TypeVar("T")

#: Tiers that a model may not have kept. Those of pairs need nothing but lengths.
STORED: Final = ("marginals", "arcs", "codes")


def among_kept(able: Mapping[K, T], unable: Mapping[K, str], keep: Sequence[str]) -> tuple[dict[K, T], dict[str, str]]:
    """Tiers that can answer and were kept; and of the others why they cannot."""
    kept = {tier: answer for tier, answer in able.items() if tier not in STORED or tier in keep}
    reasons = {str(tier): why for tier, why in unable.items()}
    return kept, reasons | {tier: f"{tier} were not kept" for tier in STORED if tier not in keep}


def why_not(able: Mapping[K, T], unable: Mapping[str, str], works: Mapping[str, str], keep: tuple[str, ...]) -> str:
    """Why nothing answers, and what does.

    Parameters
    ----------
    able : tiers that would answer, had they been kept
    unable : why each tier cannot
    works : what could be asked of each tier instead
    keep : what was kept
    """
    others = () if {"arcs", "codes"} & set(keep) else STORED
    asked = [tier for tier in STORED if tier in (*able, *others, "arcs", "codes")]
    cures = [works[tier] for tier in asked if tier in keep] + [ingest_with(keep, tier) for tier in list(able)[:1]]
    return f"{', and '.join(unable[tier] for tier in asked)}; {', or '.join(cures)}"
