"""`x = ANY([a, b])`, which DuckDB's parser takes for a subquery, as comparisons with what is in the list."""

from .dialect import RefusalError
from .syntax import COMPARISONS, Tree, expression, render, replace_children


def without_quantifiers(node: Tree) -> Tree:
    """The same expression with `= ANY([…])` and `<> ALL([…])` as IN, other comparisons with a list as OR.

    The parser has turned ALL into NOT ANY before. Comparisons with what a subquery finds are left as they are.

    Raises
    ------
    RefusalError
        A list is not written out.
    """
    node = replace_children(node, without_quantifiers)
    members = _members(node)
    if members is None:
        return node
    operator = COMPARISONS.get(node["comparison_type"])
    value = render(node["child"])
    if operator is None:
        raise RefusalError("it compares with a list", f"write the comparisons one by one, e.g. {value} IN (1, 2)")
    texts = [render(member) for member in members]
    if not texts:
        sql = "FALSE"
    elif operator == "=":
        sql = f"{value} IN ({', '.join(texts)})"
    else:
        sql = " OR ".join(f"({value} {operator} {text})" for text in texts)
    place = {key: node[key] for key in ("alias", "query_location", "query_location_length")}
    return {**expression(f"({sql})"), **place}


def _members(node: Tree) -> list[Tree] | None:
    """What is in the list that a node compares with; None if it does not compare with one."""
    if node["class"] != "SUBQUERY" or node["subquery_type"] != "ANY":
        return None
    inner = node["subquery"]["node"]
    listed = inner["select_list"][0] if inner.get("select_list") else {}
    if listed.get("function_name") != "unnest" or inner["from_table"]["type"] != "EMPTY" or inner["where_clause"]:
        return None
    values = listed["arguments"][0]["expression"]
    if values["type"] == "ARRAY_CONSTRUCTOR":
        return list(values["children"])
    if values.get("function_name") != "list_value":
        text = ".".join(node["child"].get("column_names") or [render(node["child"])])
        raise RefusalError(
            f"{render(values)} is not written out", f"write list_contains({render(values)}, {text}), or {text} IN (…)"
        )
    return [argument["expression"] for argument in values["arguments"]]
