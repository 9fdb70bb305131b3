"""How fast two installations of attnstore answer the same questions: one's Python and another's, in turns.

Run: python benchmarks/compare.py STORE PYTHON [--with PYTHON] [--repeats 7]

PYTHON is the interpreter of the installation before, --with that of the one after (this one unless given). Each keeps
one process; the two are asked each question in turn, so that what else the machine does meets both alike. The store
is one of ESM-2 8M with coordinates, such as `python benchmarks/query.py --store STORE` leaves or `attnstore demo`
makes. The last column is the median of the ratios, turn by turn: above 1, the one after is faster.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from attnstore.runtime.table_output import text_table

FAR = "separation >= 6"
PER_HEAD = f"SELECT layer, head, avg(contact), count(*) FROM attention WHERE weight >= 0.3 AND {FAR}"
PER_HEAD_ALL = f"{PER_HEAD} GROUP BY layer, head"
PER_HEAD_ONE = f"{PER_HEAD} AND layer = 5 AND head = 4 GROUP BY layer, head"
#: What is asked: a name, the method of a store, its arguments.
QUESTIONS: list[tuple[str, str, str, dict[str, Any]]] = [
    *(
        (f"contacts at {threshold}, {tier}{words}", "align", "contact",
         {"where": FAR, "tier": tier, "threshold": threshold, "background": background})
        for background, words in (("eligible", ""), ("none", ", no background"))
        for threshold, tier in ((0.3, "arcs"), (0.05, "arcs"), (0.3, "codes"))
    ),
    ("contacts at every threshold, codes", "align", "contact", {"where": FAR, "threshold": None}),
    ("contacts, background by separation", "align", "contact", {"where": FAR, "background": "separation"}),
    ("share of weight on cysteines, marginals", "align", "target.aa = 'C'", {"weighted": True}),
    ("weight on contacts, codes", "align", "contact", {"where": FAR, "weighted": True}),
    ("SQL: contacts per head, arcs", "query", PER_HEAD_ALL, {"tier": "arcs"}),
    ("SQL: contacts per head, codes", "query", PER_HEAD_ALL, {"tier": "codes"}),
    ("SQL: contacts of one head, codes", "query", PER_HEAD_ONE, {"tier": "codes"}),
    ("SQL: three rows", "query", "SELECT * FROM attention LIMIT 3", {}),
]  # fmt: skip
#: One installation: a line "method, argument, options" in, a line of seconds of wall and processor time out.
ASKED = """
import ast, sys, time, warnings
import attnstore
warnings.simplefilter("ignore")
for line in sys.stdin:
    method, argument, options = ast.literal_eval(line)
    wall, processor = time.perf_counter(), time.process_time()
    getattr(attnstore.open(sys.argv[1]), method)(argument, **options)
    print(time.perf_counter() - wall, time.process_time() - processor, flush=True)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("before", metavar="PYTHON", help="interpreter of the installation before")
    parser.add_argument("--with", dest="after", default=sys.executable, help="that of the one after")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    for file in options.store.rglob("*"):
        if file.is_file():
            file.read_bytes()  # into the page cache
    pair = [
        subprocess.Popen(
            [python, "-c", ASKED, str(options.store.resolve())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
        )
        for python in (options.before, options.after)
    ]  # fmt: skip
    rows = [row(pair, question, options.repeats) for question in QUESTIONS]
    for process in pair:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    print(text_table(pd.DataFrame(rows)))


def row(
    pair: list["subprocess.Popen[str]"], question: tuple[str, str, str, dict[str, Any]], repeats: int
) -> dict[str, Any]:
    """Ask both in turns, who begins changing; a first turn compiles and is left out."""
    name, *asked = question
    turns = []
    for turn in range(repeats + 1):
        order = (0, 1) if turn % 2 else (1, 0)
        seconds = {at: ask(pair[at], asked) for at in order}
        turns.append((seconds[0], seconds[1]))
    kept = turns[1:]
    wall, processor = ([before[at] / after[at] for before, after in kept] for at in (0, 1))
    return {
        "question": name,
        "before, s": statistics.median(before[0] for before, _ in kept),
        "after, s": statistics.median(after[0] for _, after in kept),
        "processor time: before / after": statistics.median(processor),
        "before / after": statistics.median(wall),
    }


def ask(process: "subprocess.Popen[str]", asked: list[Any]) -> tuple[float, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    print(repr(asked), file=process.stdin, flush=True)
    wall, processor = map(float, process.stdout.readline().split())
    return wall, processor


if __name__ == "__main__":
    main()
