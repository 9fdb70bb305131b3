"""How often do intervals of a share hold the truth where clusters are few? A simulation with known truth.

Run: python benchmarks/interval_coverage.py [--worlds N] [--replicates N]

Each world is a draw of clusters: a number of arcs each, and how many of them are true. The truth is the share over
all clusters that could be drawn, E[true] / E[arcs]. Printed are, for each scenario and number of clusters, the share
of worlds whose nominal 95 % interval holds the truth, and its mean width: of the percentiles of the bootstrap, and of
`cluster_interval`, which attnstore prints. Everything follows from the seed.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from attnstore.queries.statistics.bootstrap import PoissonBootstrap, replicate_weights
from attnstore.queries.statistics.cluster_intervals import cluster_interval
from attnstore.runtime.table_output import text_table

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]
Scenario = Callable[[np.random.Generator, Shape], tuple[Array, Array]]

CLUSTERS = (5, 10, 30, 100)
SEED = 20210101

#: Worlds that share the weights of the bootstrap, and so its noise.
_BLOCK = 100


def _within(rng: np.random.Generator, arcs: Array, share: float, alike: float) -> Array:
    """True arcs: each cluster has its own share, beta-distributed about the common one; `alike` correlates its arcs."""
    spread = (1 - alike) / alike
    return rng.binomial(arcs, rng.beta(share * spread, (1 - share) * spread, arcs.shape))


def _even(rng: np.random.Generator, shape: Shape) -> Array:
    return 1 + rng.poisson(29, shape)


def _even_sizes(share: float, alike: float) -> Scenario:
    def draw(rng: np.random.Generator, shape: Shape) -> tuple[Array, Array]:
        arcs = _even(rng, shape)
        return _within(rng, arcs, share, alike), arcs

    return draw


def _skewed_sizes(rng: np.random.Generator, shape: Shape) -> tuple[Array, Array]:
    arcs = 1 + np.floor(rng.lognormal(3, 1, shape)).astype(int)
    return _within(rng, arcs, 0.3, 0.1), arcs


def _few_arcs(rng: np.random.Generator, shape: Shape) -> tuple[Array, Array]:
    arcs = 1 + rng.poisson(1, shape)
    return _within(rng, arcs, 0.3, 0.2), arcs


def _size_and_share(sigma: float, slope: float) -> Scenario:
    """Clusters whose log size and logit of the share go together."""

    def draw(rng: np.random.Generator, shape: Shape) -> tuple[Array, Array]:
        z = rng.normal(size=shape)
        arcs = 1 + np.floor(20 * np.exp(sigma * z)).astype(int)
        return rng.binomial(arcs, expit(-1 + slope * z + 0.3 * rng.normal(size=shape))), arcs

    return draw


SCENARIOS: dict[str, Scenario] = {
    "plain": _even_sizes(0.3, 0.1),
    "size and share": _size_and_share(0.7, 0.5),
    "size against share": _size_and_share(0.7, -0.5),
    "size and share, strongly": _size_and_share(1.0, 1.0),
    "skewed sizes": _skewed_sizes,
    "two arcs a cluster": _few_arcs,
    "near 0": _even_sizes(0.03, 0.1),
    "near 0, few clusters true": _even_sizes(0.01, 0.3),
    "near 1": _even_sizes(0.97, 0.2),
}


def simulate(
    scenario: str, clusters: int, *, worlds: int, replicates: int, seed: int = SEED, level: float = 0.95
) -> tuple[Array, Array, Array]:
    """Whether each world's interval holds the truth, bool [worlds], of `cluster_interval` and of percentiles; its ends.

    Returns
    -------
    held, held_percentile : bool [worlds]
    ends : float64 [4, worlds], those of `cluster_interval` and of the percentiles
    """
    draw = SCENARIOS[scenario]
    rng = np.random.default_rng([seed, clusters, list(SCENARIOS).index(scenario)])
    truth_true, truth_arcs = draw(rng, (2_000_000,))
    truth = truth_true.sum() / truth_arcs.sum()
    ends = np.concatenate(
        [
            _intervals(*draw(rng, (clusters, min(_BLOCK, worlds - begin))), replicates, seed + begin, level)
            for begin in range(0, worlds, _BLOCK)
        ],
        axis=1,
    )
    held = (ends[0::2] <= truth) & (truth <= ends[1::2])
    return held[0], held[1], ends


def _intervals(true: Array, arcs: Array, replicates: int, seed: int, level: float) -> Array:
    """Ends of both kinds, float64 [4, worlds]; a column of `true` and `arcs` is a world."""
    weights = replicate_weights([f"cluster {number}" for number in range(len(arcs))], replicates, seed)
    bootstrap = PoissonBootstrap.partial(true, arcs, weights)
    with np.errstate(invalid="ignore"):
        ratios = bootstrap.numer / bootstrap.denom
    percentile = np.nanquantile(ratios, [(1 - level) / 2, (1 + level) / 2], axis=0)
    found = cluster_interval(bootstrap, true.sum(axis=0), arcs.sum(axis=0), (arcs > 0).sum(axis=0), level)
    return np.concatenate([found, percentile])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=4000)
    parser.add_argument("--replicates", type=int, default=1000)
    options = parser.parse_args()
    rows = []
    for scenario in SCENARIOS:
        for clusters in CLUSTERS:
            held, percentile, ends = simulate(scenario, clusters, worlds=options.worlds, replicates=options.replicates)
            width, before = (np.mean(ends[high] - ends[high - 1]) for high in (1, 3))
            rows.append(
                {
                    "scenario": scenario if clusters == CLUSTERS[0] else "",
                    "clusters": clusters,
                    "percentile": f"{percentile.mean():.1%}",
                    "width": f"{100 * before:.1f}",
                    "printed": f"{held.mean():.1%}",
                    "width ": f"{100 * width:.1f}",
                }
            )
    print(text_table(pd.DataFrame(rows)))
    print(f"\nNominal 95 %; {options.worlds:,} worlds each, {options.replicates:,} replicates; widths in points.")


if __name__ == "__main__":
    main()
