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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from .brute_force import FROM

Draw = Callable[..., Any]

ENDS = ("source", "target")


@dataclass(frozen=True)
class Text:
    """A piece of a statement in both renderings, and whether its value depends on weights in more than counts."""

    ours: str
    plain: str
    weighty: bool = False


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


def same(text: str) -> Text:
    return Text(text, text)


def fill(template: str, *parts: Text, weighty: bool = False) -> Text:
    return Text(
        template.format(*(part.ours for part in parts)),
        template.format(*(part.plain for part in parts)),
        weighty or any(part.weighty for part in parts),
    )


def one_of(texts: Sequence[str]) -> st.SearchStrategy[Text]:
    return st.sampled_from([same(text) for text in texts])


def asked(kind: str, texts: Sequence[str]) -> list[str]:
    """Those of `texts` that a block of a kind may hold: of one end there is no other, and no pair."""
    if kind not in ENDS:
        return list(texts)
    (other,) = set(ENDS) - {kind}
    beyond = (other, "separation", "distance", "contact", "min(weight", "max(weight")
    return [text for text in texts if not any(word in text for word in beyond)]


def filled(template: str, *parts: st.SearchStrategy[Text], weighty: bool = False) -> st.SearchStrategy[Text]:
    return st.builds(lambda *texts: fill(template, *texts, weighty=weighty), *parts)


# Conditions. Numbers are dyadic and divided by powers of two only, so that comparisons of them are exact.

EDGES = ("0.3", "0.05", "0.1", "0.01", "0.5", "0.001", "0.012", "0.25", "0.99", "1e-4", "0.0012", "3e-1", "0")
BETWEEN_EDGES = ("0.123", "0.0501", "0.3333333", "0.875", "0.9999")

BOOLEANS = [
    "contact", "contact_ca", "source.binding", "target.binding", "target.aa = 'C'", "source.aa = target.aa",
    "separation >= 6", "distance < 10", "protein.family = 'kinase'", "source.score > target.score",
    "source.fold = 'helix'",
]  # fmt: skip
NUMBERS = [
    "separation", "source.score", "target.score", "target.hydropathy", "source.hydropathy", "source", "target.pos",
    "distance", "distance_ca", "protein.length", "protein.resolution", "target.author_number",
    "source.score + target.score", "abs(source.hydropathy - target.hydropathy)",
]  # fmt: skip
STRINGS = ["source.aa", "target.aa", "source.ss8", "target.ss8", "protein.family", "'C'", "'H'", "''"]
CONSTANTS = ["0", "1", "-1", "2.5", "4", "7"]
COMPARISONS = one_of(["=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM"])
OF_PAIRS = [
    *BOOLEANS, "separation < 3", "separation BETWEEN 2 AND 5", "separation IN (1, 4)", "contact IS NULL",
    "source < target", "target - source = 1", "source.fold = target.fold", "coalesce(contact, FALSE)",
    "distance_cb IS NOT NULL", "source.ss8 IN ('H', 'E')", "target.aa LIKE 'C%'", "source.ss8 IS NULL",
    "regexp_matches(target.aa, '[AC]')", "protein = 'p0'", "protein.id IN ('p0', 'p2', 'p4')", "protein.length > 9",
    "source.pos % 2 = 0",
]  # fmt: skip
HEADS = one_of(["layer = 1", "head < 2", "layer < 1", "head IN (0, 2)", "layer <> head", "layer >= 1 AND head = 0"])
AT_EDGES = st.builds(
    lambda template, edge: Text(template.format(edge), template.format(f"{edge}::FLOAT")),
    st.sampled_from(["weight >= {}", "weight < {}", "{} <= weight", "{} > weight"]),
    st.sampled_from(EDGES),
)
ANYWHERE = st.one_of(
    AT_EDGES,
    st.builds(
        lambda template, one, other: Text(
            template.format(one, other), template.format(f"{one}::FLOAT", f"{other}::FLOAT")
        ),
        st.sampled_from(["weight > {}", "weight <= {}", "weight >= {}", "weight < {}", "weight BETWEEN {} AND {}"]),
        st.sampled_from(EDGES + BETWEEN_EDGES),
        st.sampled_from(EDGES + BETWEEN_EDGES),
    ),
)
REVERSE = AT_EDGES.map(
    lambda text: Text(*(each.replace("weight", "reverse_weight") for each in (text.ours, text.plain)))
)
#: What only DuckDB evaluates.
HARD = one_of(
    ["source.aa || target.aa IN ('AC', 'CA')", "separation % 2 = 0", "source.aa LIKE target.ss8",
     "sqrt(distance) < 2.7", "CASE WHEN contact THEN source.binding ELSE target.binding END"]
)  # fmt: skip


def _nested(leaves: st.SearchStrategy[Text], most: int) -> st.SearchStrategy[Text]:
    return st.recursive(
        leaves.map(lambda leaf: fill("({})", leaf)),
        lambda inner: st.one_of(
            filled("({} AND {})", inner, inner),
            filled("({} OR {})", inner, inner),
            filled("(NOT {})", inner),
            filled("({} IS {})", inner, one_of(["TRUE", "NOT TRUE", "FALSE", "NOT NULL"])),
        ),
        max_leaves=most,
    )


def conditions(kind: str, most: int = 5) -> st.SearchStrategy[Text]:
    """Conditions on pairs, heads and weights, nested."""
    numbers, strings = asked(kind, NUMBERS), one_of(asked(kind, STRINGS))
    of_pairs = st.one_of(
        one_of(asked(kind, OF_PAIRS)),
        filled("{} {} {}", one_of(numbers), COMPARISONS, one_of(CONSTANTS + numbers)),
        filled("{} {} {}", strings, COMPARISONS, strings),
    )
    of_weights = {"open": [AT_EDGES, REVERSE], "both": [AT_EDGES], "arcs": [ANYWHERE, HARD]}.get(kind, [])
    return _nested(st.one_of(of_pairs, of_pairs, HEADS, *of_weights), most)


@st.composite
def wheres(draw: Draw, kind: str, model: str | None) -> Text:
    """A WHERE clause, or nothing; `model` is one to restrict it to."""
    terms = []
    if kind == "both":
        edge = draw(st.sampled_from(["0.3", "0.05", "0.1"]))
        terms.append(Text(f"weight >= {edge}", f"weight >= {edge}::FLOAT"))
    elif kind == "arcs":
        template = draw(st.sampled_from(["weight >= {}", "weight > {}", "{} < weight", "weight BETWEEN {} AND 0.9"]))
        theta = draw(st.sampled_from(["0.3", "0.05", "0.0501", "0.123"]))
        terms.append(Text(template.format(theta), template.format(f"{theta}::FLOAT").replace("0.9", "0.9::FLOAT")))
    if model is not None:
        terms.append(same(f"model = '{model}'"))
    if draw(st.booleans()):
        terms.append(draw(conditions(kind)))
    if draw(st.booleans()):
        terms.reverse()
    return fill("WHERE " + " AND ".join(["{}"] * len(terms)), *terms) if terms else same("")


# Aggregates.

#: Of ours and of DuckDB's rendering; {0} is a value, {1} the FILTER clause. DuckDB's own are of numbers only.
_OF_BOOLEANS = {name: f"{name}(({{0}})::INTEGER){{1}}" for name in ("avg", "sum")}
_OF_NUMBERS = {name: f"{name}({{0}}){{1}}" for name in ("avg", "sum", "min", "max")}
_OF_WEIGHTS = {
    "sum(weight)": "sum(weight::DOUBLE){0}",
    "avg(weight)": "avg(weight::DOUBLE){0}",
    "min(weight)": "min(weight){0}",
    "max(weight)": "max(weight){0}",
    "sum(weight * separation)": "sum(weight::DOUBLE * separation){0}",
    "avg(weight * target.score)": "avg(weight::DOUBLE * target.score){0}",
    "sum(source.score * weight)": "sum(source.score * weight::DOUBLE){0}",
    "sum(2 * weight + separation)": "sum(2 * weight::DOUBLE + separation){0}",
}
_OF_REVERSES = {
    text.replace("weight", "reverse_weight"): plain.replace("weight", "reverse_weight")
    for text, plain in list(_OF_WEIGHTS.items())[:4]
}
#: Aggregates of DuckDB alone.
_OTHER = ["median(weight)", "quantile_cont(weight, 0.9)", "stddev_samp(separation)", "sum(contact::INTEGER * weight)",
          "max(weight * separation)", "sum(weight * weight)", "count_if(source.aa = target.aa)",
          "count(DISTINCT source.aa || target.aa)", "max(ascii(source.aa || target.aa))"]  # fmt: skip
_COUNTED = [
    "*",
    "target.aa",
    "contact",
    "source.ss8",
    "protein.resolution",
    *(f"DISTINCT {x}" for x in ("target.aa", "protein")),
]


@st.composite
def aggregates(draw: Draw, kind: str, *, exact: bool = False, weighty: bool = False) -> Text:
    """An aggregate; `exact` ones are the same to the bit in whatever order they are summed, `weighty` ones not."""
    where = draw(st.one_of(st.none(), st.none(), conditions(kind, 2)))
    clause = same("") if where is None else fill(" FILTER (WHERE {})", where)
    families = ([] if weighty else ["count", "share"]) + ([] if exact or weighty else ["number"])
    family = draw(st.sampled_from(families + ([] if exact else ["weight", "weighted"])))
    booleans, numbers = asked(kind, BOOLEANS), asked(kind, NUMBERS)
    if family == "count":
        return fill(f"count({draw(st.sampled_from(asked(kind, _COUNTED)))}){{}}", clause)
    if family == "share":
        value = draw(one_of(booleans) if kind in ENDS else st.one_of(one_of(booleans), AT_EDGES))
        name = draw(st.sampled_from(list(_OF_BOOLEANS)))
        return Text(f"{name}({value.ours}){clause.ours}", _OF_BOOLEANS[name].format(value.plain, clause.plain))
    if family == "number":
        number = draw(st.sampled_from(numbers))
        name = draw(st.sampled_from(list(_OF_NUMBERS)))
        return Text(f"{name}({number}){clause.ours}", _OF_NUMBERS[name].format(number, clause.plain))
    if family == "weighted":
        weighted = draw(st.sampled_from(booleans + numbers))
        known = f"({weighted}) IS NOT NULL" + (f" AND {where.plain}" if where is not None else "")
        return Text(
            f"weighted_avg({weighted}){clause.ours}",
            f"(sum(weight::DOUBLE * ({weighted})::DOUBLE){clause.plain} / sum(weight::DOUBLE) FILTER (WHERE {known}))",
            True,
        )
    if kind == "arcs" and draw(st.booleans()):
        other = draw(st.sampled_from(_OTHER))
        return Text(other + clause.ours, other + clause.plain, "weight" in other)
    renderings = {**_OF_WEIGHTS, **(_OF_REVERSES if kind == "open" else {})}
    text = draw(st.sampled_from(asked(kind, list(renderings))))
    return Text(text + clause.ours, renderings[text].format(clause.plain), True)


def values(kind: str) -> st.SearchStrategy[Text]:
    """What may stand in a SELECT list: aggregates, and arithmetic between them."""
    one = aggregates(kind)
    return st.one_of(
        one,
        one,
        filled("{} / {}", one, one),
        filled("{} - {}", one, aggregates(kind, exact=True)),
        filled("100.0 * {} / nullif(count(*), 0)", one),
        filled("coalesce({}, -1)", one),
        filled("CASE WHEN count(*) >= 5 THEN {} END", one),
        filled("CASE WHEN {} > 1 THEN 'many' ELSE 'few' END", aggregates(kind, exact=True)),
    )


# Keys.

KEYS = [
    "layer", "head", "protein", "source.aa", "target.aa", "target.ss8", "source.fold", "target.binding",
    "protein.family", "protein.length", "protein.resolution", "contact", "separation", "source", "target.pos",
    "source.score",
]  # fmt: skip
EXPRESSIONS = [
    "source.aa || target.aa", "separation // 4", "floor(separation / 5)", "least(separation, 8)",
    "CASE WHEN separation < 3 THEN 'near' WHEN separation < 8 THEN 'middle' ELSE 'far' END", "source.aa = target.aa",
    "source < target", "upper(target.ss8)", "layer * 10 + head", "head % 2", "coalesce(target.ss8, '-')",
    "source.hydropathy > 0", "distance < 8", "target - source", "floor(distance / 4)",
]  # fmt: skip
WEIGHT_BINS = [
    Text("weight >= 0.3", "weight >= 0.3::FLOAT"),
    Text(
        "CASE WHEN weight >= 0.3 THEN 'strong' WHEN weight >= 0.1 THEN 'middling' ELSE 'weak' END",
        "CASE WHEN weight >= 0.3::FLOAT THEN 'strong' WHEN weight >= 0.1::FLOAT THEN 'middling' ELSE 'weak' END",
    ),
]
#: Codes cannot tell a weight of one from others above 0.99, nor find the steps of any expression.
FINE_BINS = [
    Text("weight > 0.123", "weight > 0.123::FLOAT"),
    same("floor(weight * 10)"),
    same("least(floor(weight * 20), 9)"),
]


def keys(kind: str) -> st.SearchStrategy[Text]:
    """What may stand in GROUP BY."""
    plain, expressions = one_of(asked(kind, KEYS)), one_of(asked(kind, EXPRESSIONS))
    if kind in ENDS:
        return st.one_of(plain, plain, expressions)
    return st.one_of(plain, plain, expressions, st.sampled_from(WEIGHT_BINS + (FINE_BINS if kind == "arcs" else [])))


# Blocks.


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
