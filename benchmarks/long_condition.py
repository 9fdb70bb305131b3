"""Processor time of planning a condition of 400 pairs of terms, alone and in a query.

python benchmarks/long_condition.py
"""

import time
from collections.abc import Callable

from attnstore.queries.sql.block import take_apart
from attnstore.queries.sql.condition import parse
from attnstore.queries.sql.statement import read_statement
from attnstore.queries.sql.tree import Columns

COLUMNS = Columns((("pos", "INTEGER"), ("aa", "VARCHAR"), ("x", "INTEGER")), (("id", "VARCHAR"),))
TERMS, RUNS = 400, 5


def plan_clause(text: str) -> None:
    parse(text, clause="where", columns=COLUMNS)


def plan_query(text: str) -> None:
    statement = read_statement(f"SELECT layer, head, count(*) FROM attention WHERE {text} GROUP BY ALL")
    for block in statement.blocks:
        take_apart(statement, block, COLUMNS)


def least(plan: Callable[[str], None]) -> float:
    """Seconds of the fastest of some runs, each of another text, so that nothing is kept."""
    spent = []
    for run in range(RUNS):
        pairs = (f"(source.x = {k} AND target.x = {k + 1})" for k in range(run, TERMS + run))
        text = " OR ".join(pairs)
        begun = time.process_time()
        plan(text)
        spent.append(time.process_time() - begun)
    return min(spent)


for name, plan in (("a clause", plan_clause), ("a query", plan_query)):
    print(f"{name}: {least(plan):.3f} s")
