"""Statements are values: planning and answering change no tree that the parser or a step before them made."""

import copy
import warnings

import pytest

import attnstore
from attnstore.queries import query as queries
from attnstore.queries.sql import block, condition, dialect, statement, syntax
from attnstore.queries.sql.condition import parse
from tests.synthetic import random_proteins, write_store

from .oracle import COLUMNS

STATEMENTS = [
    "SELECT a.layer, avg(a.contact), avg(weight) FROM attention AS a WHERE a.weight >= 0.1 GROUP BY ALL",
    "SELECT * EXCLUDE (model) REPLACE (layer + 1 AS layer) FROM attention ORDER BY weight DESC LIMIT 7",
    "SELECT COLUMNS('layer|head'), count(*) FROM attention WHERE target.aa = ANY(['C', 'D']) GROUP BY ALL ORDER BY ALL",
    "SELECT separation AS s, s * 2 AS t, count(*) AS n FROM attention WHERE t > 9 GROUP BY ALL HAVING n > 1 ORDER BY 1",
    "SELECT layer, head, median(separation), max(distance) FROM attention WHERE weight >= 0.1 GROUP BY ALL ORDER BY 3",
    (
        "SELECT layer, head, count(*) AS n FROM attention WHERE NOT contact GROUP BY ALL "
        "QUALIFY row_number() OVER (PARTITION BY layer ORDER BY n) = 1 ORDER BY ALL"
    ),
    (
        "WITH c AS (SELECT protein, count(*) AS n FROM attention WHERE weight BETWEEN 0.1 AND 0.5 GROUP BY ALL) "
        "SELECT layer, avg(weight), (SELECT max(n) FROM c) AS n FROM attention "
        "WHERE protein IN (SELECT protein FROM c) AND layer IN (SELECT max(layer) FROM attention) GROUP BY ALL"
    ),
    (
        "SELECT * FROM (SELECT layer, count(contact) AS c FROM attention GROUP BY ALL) UNION ALL "
        "SELECT head, sum(CASE WHEN weight >= 0.2 THEN 1 ELSE 0 END) FROM attention GROUP BY ALL ORDER BY ALL"
    ),
]


class _Dict(dict):
    def _refuse(self, *_args, **_options):
        raise AssertionError("a tree is changed in place")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __deepcopy__(self, memo):
        return {key: copy.deepcopy(value, memo) for key, value in self.items()}


class _List(list):
    _refuse = _Dict._refuse

    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = pop = remove = _refuse
    reverse = sort = _refuse

    def __deepcopy__(self, memo):
        return [copy.deepcopy(value, memo) for value in self]


def _frozen(value):
    if isinstance(value, dict):
        return _Dict({key: _frozen(child) for key, child in value.items()})
    return _List(map(_frozen, value)) if isinstance(value, list) else value


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("values") / "store"
    write_store(path, random_proteins(5, [30, 12, 25]), per_segment=2)
    return attnstore.open(path)


@pytest.fixture
def frozen(monkeypatch):
    """Trees of the parser, and those that steps make of them, refuse to be changed."""
    parsed, made = dialect.serialise, syntax._with
    for module in (dialect, statement, syntax):
        monkeypatch.setattr(module, "serialise", lambda sql: _frozen(parsed(sql)))
    monkeypatch.setattr(syntax, "_with", lambda value, others: _frozen(made(value, others)))


@pytest.mark.parametrize("sql", STATEMENTS)
def test_statements_are_answered_over_frozen_trees(store, frozen, sql):
    store.query(sql)
    store.explain(sql)


def test_conditions_are_split_on_frozen_trees(frozen):
    texts = ["source.score <> ALL([1, 2]) AND contact", "source.aa IN (target.aa, 'C') OR NOT (distance < 8) IS TRUE"]
    for text in texts:
        parse(text, clause="where", columns=COLUMNS)


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_tree_is_the_same_before_and_after(store, monkeypatch, sql):
    read, before = [], []

    def reading(text):
        read.append(statement.read_statement(text))
        before.append(copy.deepcopy((read[-1].tree, [one.node for one in read[-1].blocks])))
        return read[-1]

    def taking(*args):
        question = block.take_apart(*args)
        read.append(question)
        before.append(copy.deepcopy((question.block.node, question.proteins, question.heads, question.left)))
        return question

    monkeypatch.setattr(queries, "read_statement", reading)
    monkeypatch.setattr(queries, "take_apart", taking)
    store.query(sql)
    assert len(read) > 1
    for one, tree in zip(read, before, strict=True):
        if isinstance(one, statement.Statement):
            assert (one.tree, [each.node for each in one.blocks]) == tree
        else:
            assert (one.block.node, one.proteins, one.heads, one.left) == tree


def test_frozen_trees_are_noticed_when_they_are_changed():
    tree = _frozen(dialect.serialise("SELECT 1"))
    with pytest.raises(AssertionError, match="in place"):
        tree["statements"][0]["node"]["select_list"] = []
    with pytest.raises(AssertionError, match="in place"):
        tree["statements"][0]["node"]["modifiers"].append(1)


@pytest.mark.parametrize(
    "condition",
    [
        "layer = (SELECT max(layer) FROM attention WHERE weight >= 0.1)",
        "protein IN (SELECT protein FROM attention WHERE weight >= 0.1 GROUP BY protein)",
        "weight > 0.05 AND head NOT IN (SELECT head FROM attention WHERE contact GROUP BY head HAVING count(*) > 9999)",
    ],
)
def test_explain_leaves_conditions_on_other_blocks_undecided(store, condition):
    """They were asked of relations without rows, so that no head or protein took part."""
    sql = f"SELECT layer, head, avg(weight) FROM attention WHERE {condition} GROUP BY ALL"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = store.explain(sql)
    assert "decided only when it runs" in plan
    assert "__block" not in plan
    assert "__block" not in store.query(sql).plan


def test_a_long_condition_is_rendered_and_typed_in_few_calls(monkeypatch):
    """Not one for each of its 800 terms."""
    calls = {"parser": 0, "types": 0}
    locked, typed = syntax.locked_parser, condition.types_of

    def counted(name, function):
        def call(*args):
            calls[name] += 1
            return function(*args)

        return call

    for module in (dialect, syntax):
        monkeypatch.setattr(module, "locked_parser", counted("parser", locked))
    monkeypatch.setattr(condition, "types_of", counted("types", typed))
    text = " OR ".join(f"(source.score = {k} AND target.score = {k + 1})" for k in range(400))
    expression = parse(text, clause="where", columns=COLUMNS)
    assert len(expression.terms) == 401
    assert calls["types"] == 1
    assert calls["parser"] <= 6
