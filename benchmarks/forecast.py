"""Forecasts by `explain`, and measurements: seconds, rows and bytes of a dozen questions.

python benchmarks/forecast.py demo.attn
"""

import re
import sys
import time

import attnstore

QUESTIONS = (
    "SELECT * FROM attention LIMIT 3",
    "SELECT * FROM attention LIMIT 100000",
    "SELECT protein, layer, source, target, weight FROM attention WHERE protein = '1ABA_A' AND weight >= 0.01",
    "SELECT protein, source, target, weight FROM attention ORDER BY weight DESC LIMIT 100",
    "SELECT protein, source, target, weight FROM attention WHERE separation >= 24 ORDER BY weight DESC LIMIT 100",
    "SELECT protein, source, target, weight FROM attention WHERE layer = 5 ORDER BY weight LIMIT 100",
    "SELECT source, target, weight FROM attention WHERE weight >= 0.3",
    "SELECT source.aa, target.aa, separation, weight FROM attention WHERE weight >= 0.1 AND contact",
    "SELECT layer, head, source, target, weight FROM attention WHERE layer = 0 AND head = 0",
    "SELECT layer, head, avg(contact) FROM attention WHERE weight >= 0.3 AND separation >= 6 GROUP BY ALL",
    "SELECT layer, head, avg(contact) FROM attention WHERE weight >= 0.05 GROUP BY ALL",
    "SELECT layer, head, count(*) FROM attention WHERE weight >= 0.02 GROUP BY ALL",
    "SELECT layer, source.aa, target.aa, avg(weight) FROM attention GROUP BY ALL",
    "SELECT target.aa, sum(weight) FROM attention GROUP BY ALL",
    "SELECT floor(separation / 10) AS s, avg(contact) FROM attention GROUP BY ALL",
)
_UNITS = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "": 1.0}


def main(path: str) -> None:
    """Print a row a question."""
    store = attnstore.open(path)
    for sql in QUESTIONS[:1] + QUESTIONS[9:10]:
        store.query(sql)  # libraries and kernels
    print("| seconds said | seconds | rows said | rows | MB said | MB | question |\n|---|---|---|---|---|---|---|")
    for sql in QUESTIONS:
        told = store.explain(sql).splitlines()[-1]
        begun = time.perf_counter()
        result = store.query(sql)
        seconds = time.perf_counter() - begun
        said = re.search(r"about ([\d.]+) s", told)
        rows = re.search(r"about ([\d.]+) ?([kMGT]?) ?rows, ([\d.]+) ?([kMGT]?) ?B", told)
        shown = ["", "", "", ""]
        if rows:
            number, size = (float(rows[at]) * _UNITS[rows[at + 1]] for at in (1, 3))
            shown = [f"{number:,.0f}", f"{len(result):,}", f"{size / 1e6:.3g}", f"{result.to_arrow().nbytes / 1e6:.3g}"]
        print(f"| {said[1] if said else ''} | {seconds:.2g} | {' | '.join(shown)} | `{sql}` |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
