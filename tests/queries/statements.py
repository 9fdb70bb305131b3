"""Random statements over `attention`, each in two renderings: ours, and one that DuckDB answers from every entry.

Kinds of blocks are drawn, by what may be asked of weights:

- ``open``: thresholds at edges only, which codes answer;
- ``both``: the same above a threshold that is an edge at or above the arc floor: arcs and codes answer;
- ``arcs``: above any threshold at or above the floor, with thresholds between edges, expressions that only DuckDB
  evaluates and aggregates that only DuckDB has: arcs alone answer;
- ``source``, ``target``: sums of weights by properties of one end, without thresholds: marginals and codes answer.

`reverse_weight` stands in open blocks alone, for an arc does not know the weight of its reverse.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from .brute_force import FROM
from .fragments import ENDS, Draw, Text, aggregates, asked, conditions, fill, keys, one_of, same, values, wheres


@dataclass(frozen=True)
class Statement:
    """A statement of the language, and what a test must know of it.

    Attributes
    ----------
    ours, plain : of the language, and over `entries`
    weighty : of each column, whether it depends on weights in more than counts
    kinds : of its blocks
    ordered : whether the order of its rows is defined
    limit : of rows in no defined order, or None
    top : whether it is one block, whose approximate columns are followed by their bounds
    """

    ours: str
    plain: str
    weighty: tuple[bool, ...]
    kinds: frozenset[str]
    ordered: bool = False
    limit: int | None = None
    top: bool = True


@dataclass(frozen=True)
class Block:
    """One SELECT over `attention`."""

    text: Text
    weighty: tuple[bool, ...]
    ordered: bool


def _item(text: Text, alias: str | None) -> Text:
    """An item of a SELECT list; where it has no name, DuckDB's rendering asks for the one that ours should have."""
    if alias is not None:
        return fill(f"{{}} AS {alias}", text)
    if text.ours == text.plain:
        return text
    name = text.ours.replace('"', '""')
    return Text(text.ours, f'{text.plain} AS "={name}"')


@st.composite
def blocks(
    draw: Draw,
    kind: str,
    models: Sequence[str],
    *,
    group: Sequence[str] | None = None,
    most: int = 3,
    exact: bool = False,
    closed: bool = False,
) -> Block:
    """An aggregating block.

    `group` are keys, by default any; `exact` allows no weighty values; a `closed` one is for other statements to
    build on: its columns are k0, k1, ..., a0, a1, ..., without ORDER BY.
    """
    chosen = list(map(same, group)) if group is not None else draw(st.lists(keys(kind), max_size=3, unique=True))
    model = None
    if "model" not in [key.ours for key in chosen]:
        if len(models) > 1 and group is None and draw(st.booleans()):
            chosen.append(same("model"))
        elif len(models) > 1 or draw(st.integers(0, 4)) == 4:
            model = draw(st.sampled_from(models))
    where = draw(wheres(kind, model))
    least = 0 if chosen and not closed else 1
    found = draw(st.lists(aggregates(kind, exact=True) if exact else values(kind), min_size=least, max_size=most))
    if kind in ENDS:
        found.insert(0, draw(aggregates(kind, weighty=True)))

    # In a list without names, two items of one name would be told apart by their places alone.
    aliases = [f"k{n}" for n in range(len(chosen))], [f"a{n}" for n in range(len(found))]
    named = [[alias if closed or draw(st.booleans()) else None for alias in part] for part in aliases]
    items = [_item(text, alias) for text, alias in zip(chosen + found, itertools.chain(*named), strict=True)]
    weighty = [text.weighty for text in chosen + found]

    clauses = [where]
    by = None
    places = [str(n + 1) for n in range(len(chosen))]
    if chosen:
        by = draw(st.sampled_from(["expressions", "places", "all", "aliases"]))
        if by == "all":
            clauses.append(same("GROUP BY ALL"))
        elif by == "places":
            clauses.append(same("GROUP BY " + ", ".join(places)))
        else:
            group_by = [
                same(alias) if by == "aliases" and alias is not None else key
                for key, alias in zip(chosen, named[0], strict=True)
            ]
            clauses.append(fill("GROUP BY " + ", ".join(["{}"] * len(group_by)), *group_by))
        if draw(st.integers(0, 3)) == 3:
            clauses.append(draw(havings(kind)))
    ordered = False
    if chosen and not closed:
        # DuckDB has neither QUALIFY nor every window beside GROUP BY ALL.
        if by != "all" and draw(st.integers(0, 3)) == 3:
            windows, qualify = draw(windowed(chosen))
            items += [_item(window, f"w{n}") for n, window in enumerate(windows)]
            weighty += [False] * len(windows)
            clauses += qualify
        ordered = draw(st.booleans())
        if ordered:
            first = draw(
                st.lists(st.sampled_from(asked(kind, ["count(*) DESC", "avg(contact) NULLS FIRST"])), max_size=1)
            )
            total = [f"{place}{draw(st.sampled_from(['', ' DESC', ' DESC NULLS LAST']))}" for place in places]
            order = ", ".join(first + total)
            limit = draw(st.sampled_from(["", " LIMIT 3", " LIMIT 4 OFFSET 1"]))
            plain = order.replace("avg(contact)", "avg(contact::INTEGER)")
            clauses.append(Text(f"ORDER BY {order}{limit}", f"ORDER BY {plain}{limit}"))
    select = fill(", ".join(["{}"] * len(items)), *items)
    tail = [clause for clause in clauses if clause.ours]
    text = fill(" ".join(["SELECT {} FROM {}", *["{}"] * len(tail)]), select, Text("attention", FROM), *tail)
    return Block(text, tuple(weighty), ordered)


@st.composite
def havings(draw: Draw, kind: str) -> Text:
    """A HAVING clause on what is exact in each tier that the block must be answered from."""
    renderings = {
        "HAVING count(*) >= 4": "HAVING count(*) >= 4",
        "HAVING count(*) > 1 AND max(separation) > 4": "HAVING count(*) > 1 AND max(separation) > 4",
        "HAVING avg(contact) IS NOT NULL": "HAVING avg(contact::INTEGER) IS NOT NULL",
        "HAVING avg(source.binding) > 0.3": "HAVING avg(source.binding::INTEGER) > 0.3",
        **({"HAVING sum(weight) > 0.7": "HAVING sum(weight) > 0.7"} if kind == "arcs" else {}),
    }
    text = draw(st.sampled_from(asked(kind, list(renderings))))
    return Text(text, renderings[text])


@st.composite
def windowed(draw: Draw, chosen: Sequence[Text]) -> tuple[list[Text], list[Text]]:
    """Windows over the groups, and a QUALIFY clause or none."""
    first = chosen[0]
    total = fill(", ".join(["{}"] * len(chosen)), *chosen)
    numbered = fill("row_number() OVER (PARTITION BY {} ORDER BY count(*) DESC, {})", first, total)
    windows = [
        same("sum(count(*)) OVER ()"),
        fill("count(*) / sum(count(*)) OVER (PARTITION BY {})", first),
        fill("rank() OVER (ORDER BY count(*) DESC)"),
        numbered,
    ]
    chosen_windows = draw(st.lists(st.sampled_from(windows), min_size=1, max_size=2, unique=True))
    qualify = [fill("QUALIFY {} <= 2", numbered)] if draw(st.booleans()) else []
    return chosen_windows, qualify


# Statements.


#: Of blocks that may ask of both ends.
KINDS = st.sampled_from(["open", "both", "arcs"])


@st.composite
def single(draw: Draw, models: Sequence[str]) -> Statement:
    """One aggregating block."""
    kind = draw(st.one_of(KINDS, st.sampled_from(ENDS)))
    block = draw(blocks(kind, models))
    return Statement(block.text.ours, block.text.plain, block.weighty, frozenset({kind}), block.ordered)


_ROW = ("model", "protein", "layer", "head", "source", "target", "weight")


@st.composite
def rows(draw: Draw, models: Sequence[str]) -> Statement:
    """A block that does not aggregate: rows."""
    kind = draw(KINDS)
    where = draw(wheres(kind, draw(st.sampled_from([None, *models]))))
    more = one_of(
        ["source.aa", "target.ss8 AS state", "contact", "separation", "distance AS apart", "protein.family",
         "source.aa || target.aa AS both", "target.fold"]
    )  # fmt: skip
    extra = draw(st.lists(more, max_size=3, unique=True))
    star = draw(st.booleans())
    columns = [*map(same, _ROW), *([] if star else extra)]
    plain = ", ".join(column.plain for column in columns)
    ours = "*" if star else ", ".join(column.ours for column in columns)
    order, limit = "", None
    # From codes a weight is known to within its bin, and so is the order.
    if draw(st.booleans()):
        by_weight = "weight DESC, " if kind == "arcs" else ""
        order = f" ORDER BY {by_weight}{', '.join(_ROW[:6])} LIMIT 7"
    elif draw(st.booleans()):
        limit = 5
    ends = f" LIMIT {limit}" if limit is not None else order
    return Statement(
        f"SELECT {ours} FROM attention {where.ours}{ends}",
        f"SELECT {plain} FROM {FROM} {where.plain}{order}",
        tuple(column.ours == "weight" for column in columns),
        frozenset({kind}),
        bool(order),
        limit,
    )


def _statement(text: Text, weighty: Sequence[bool], kinds: Sequence[str], *, ordered: bool = False) -> Statement:
    return Statement(text.ours, text.plain, tuple(weighty), frozenset(kinds), ordered, top=False)


@st.composite
def compound(draw: Draw, models: Sequence[str]) -> Statement:
    """Blocks within other statements: joined with tables and with each other, united, nested."""
    kinds = [draw(KINDS) for _ in range(2)]
    model = ["model"] if len(models) > 1 else []
    on = ["layer", "head", *model]

    def block(which: int, group: Sequence[str]) -> Text:
        return draw(blocks(kinds[which], models, group=group, most=2, exact=kinds[which] != "arcs", closed=True)).text

    form = draw(st.sampled_from(["nested", "proteins", "residues", "join", "union", "scalar", "again"]))
    if form == "nested":
        inner = block(0, on)
        text = fill("SELECT k0, count(*) AS n, max(a0) AS most FROM ({}) AS b WHERE k1 < 2 GROUP BY k0", inner)
        return _statement(text, [False, False, kinds[0] == "arcs"], kinds[:1])
    if form == "proteins":
        inner = block(0, ["protein", "target.aa", *model])
        text = fill(
            "WITH b AS ({}) SELECT p.family, b.k1, count(*) AS n, max(a0) AS most"
            " FROM b JOIN proteins AS p ON p.id = b.k0 WHERE p.length > 5 GROUP BY ALL HAVING n > 1",
            inner,
        )
        return _statement(text, [False, False, False, kinds[0] == "arcs"], kinds[:1])
    if form == "residues":
        inner = block(0, ["protein", "target", *model])
        text = fill(
            "SELECT b.*, r.ss8 FROM ({}) AS b JOIN residues AS r ON r.protein = b.k0 AND r.pos = b.k1"
            " WHERE r.ss8 IS NOT NULL",
            inner,
        )
        return _statement(text, [], kinds[:1])
    if form == "join":
        text = fill(
            "WITH x AS ({}), y AS ({}) SELECT k0, k1, x.a0 AS one, y.a0 AS other FROM x LEFT JOIN y USING (k0, k1)"
            + (" WHERE x.k2 = y.k2" if model else ""),
            block(0, on),
            block(1, on),
        )
        return _statement(text, [False, False, kinds[0] == "arcs", kinds[1] == "arcs"], kinds)
    if form == "union":
        counted = [
            fill("SELECT k0, count(*) AS n, '{}' AS side FROM ({}) AS b GROUP BY k0", same(side), block(which, on))
            for which, side in enumerate(("left", "right"))
        ]
        return _statement(fill("{} UNION ALL {} ORDER BY side, k0", *counted), [False] * 3, kinds, ordered=True)
    if form == "scalar":
        restricted = f"model = '{models[0]}'"
        whole = draw(conditions(kinds[1], 2))
        prefix = Text("", "")
        if kinds[1] != "open":
            prefix = Text("weight >= 0.3 AND ", "weight >= 0.3::FLOAT AND ")
        text = fill(
            f"SELECT layer, count(*) / nullif((SELECT count(*) FROM {{0}} WHERE {restricted} AND {{1}}{{2}}), 0) AS n"
            f" FROM {{0}} WHERE {restricted} GROUP BY layer",
            Text("attention", FROM),
            prefix,
            whole,
        )
        return _statement(text, [False, False], ["open", kinds[1]])
    # One block read twice: a model against another, or a layer against the next.
    inner = block(0, ["layer", "head", "model"])
    text = fill(
        "WITH b AS ({}) SELECT x.k0, x.k1, y.k1 AS other, x.a0 AS one, y.a0 AS two FROM b AS x JOIN b AS y"
        f" ON x.k0 = y.k0 WHERE x.k2 = '{models[0]}' AND y.k2 = '{models[-1]}'",
        inner,
    )
    return _statement(text, [False] * 3 + [kinds[0] == "arcs"] * 2, kinds[:1])


def statements(models: Sequence[str]) -> st.SearchStrategy[Statement]:
    """Statements for a store that holds `models`."""
    return st.one_of(single(models), single(models), single(models), rows(models), compound(models))
