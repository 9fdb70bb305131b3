"""Random conditions, aggregates and keys over `attention`: what `statements` puts blocks together from.

Each is drawn for a kind of block; see there. It is a `Text` in two renderings: ours, and DuckDB's over `entries`, in
which thresholds are cast to float32 and what only we have is spelt out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Draw = Callable[..., Any]

ENDS = ("source", "target")


@dataclass(frozen=True)
class Text:
    """A piece of a statement in both renderings, and whether its value depends on weights in more than counts."""

    ours: str
    plain: str
    weighty: bool = False


def same(text: str) -> Text:
    """What is written alike in both."""
    return Text(text, text)


def fill(template: str, *parts: Text) -> Text:
    """The parts in the places of a template, in both renderings."""
    return Text(
        template.format(*(part.ours for part in parts)),
        template.format(*(part.plain for part in parts)),
        any(part.weighty for part in parts),
    )


def one_of(texts: Sequence[str]) -> st.SearchStrategy[Text]:
    """Strategy of one of several that are written alike in both."""
    return st.sampled_from([same(text) for text in texts])


def asked(kind: str, texts: Sequence[str]) -> list[str]:
    """Those of `texts` that a block of a kind may hold: of one end there is no other, and no pair."""
    if kind not in ENDS:
        return list(texts)
    (other,) = set(ENDS) - {kind}
    beyond = (other, "separation", "distance", "contact", "min(weight", "max(weight")
    return [text for text in texts if not any(word in text for word in beyond)]


def filled(template: str, *parts: st.SearchStrategy[Text]) -> st.SearchStrategy[Text]:
    """Strategy of a template filled with drawn parts."""
    return st.builds(lambda *texts: fill(template, *texts), *parts)


# Conditions. Numbers are dyadic and divided by powers of two only, so that comparisons of them are exact.

EDGES = ("0.3", "0.05", "0.1", "0.01", "0.5", "0.001", "0.012", "0.25", "0.99", "1e-4", "0.0012", "9e-1", "0")
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
