"""Contacts by loops over pairs of residues, from the formulas alone."""

import itertools
import math

import numpy as np

#: Smallest and largest separation of each range.
RANGES = {"all": (6, math.inf), "short": (6, 11), "medium": (12, 23), "long": (24, math.inf)}
DIVISORS = {"L": 1, "L/2": 2, "L/5": 5}


def contact_map(weights, apc):
    """F_ij = α_ij + α_ji, less F_i· F_·j / F_·· where asked, of weights [source, target]."""
    length = len(weights)
    symmetric = [[float(weights[i][j]) + float(weights[j][i]) for j in range(length)] for i in range(length)]
    if not apc:
        return np.array(symmetric)
    rows = [math.fsum(row) for row in symmetric]
    total = math.fsum(rows)
    return np.array([[symmetric[i][j] - rows[i] * rows[j] / total for j in range(length)] for i in range(length)])


def labelled(points, span="all"):
    """{(i, j): in contact} for pairs of a range whose distance is known."""
    low, high = RANGES[span]
    known = {}
    for i, j in itertools.combinations(range(len(points)), 2):
        away = math.dist(map(float, points[i]), map(float, points[j]))
        if low <= j - i <= high and not math.isnan(away):
            known[i, j] = away < 8
    return known


def precision(scores, contacts, length, divisor):
    """Share of contacts in the best-scored pairs; pairs of equal score at the end of the list count by their mean."""
    if not any(contacts.values()):
        return math.nan
    wanted = min(max(1, length // divisor), len(contacts))
    ordered = sorted(contacts, key=lambda pair: -scores[pair])
    hits, taken = 0.0, 0
    for _, tied in itertools.groupby(ordered, key=lambda pair: scores[pair]):
        true = [contacts[pair] for pair in tied]
        part = min(len(true), wanted - taken)
        hits += sum(true) * part / len(true)
        taken += part
    return hits / wanted


def precisions(scores, points):
    """[range, top] of one protein."""
    return np.array(
        [
            [precision(scores, labelled(points, span), len(points), divisor) for divisor in DIVISORS.values()]
            for span in RANGES
        ]
    )
