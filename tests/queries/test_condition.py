"""Reading, checking and splitting clauses."""

import duckdb
import pytest

from attnstore.errors import QueryError
from attnstore.queries.sql import dialect
from attnstore.queries.sql.condition import parse
from attnstore.queries.sql.tree import Columns, Leaf, Operation, Quantity, Term

RESIDUES = {
    "pos": "INTEGER",
    "aa": "VARCHAR",
    "x": "INTEGER",
    "hydropathy": "FLOAT",
    "flag": "BOOLEAN",
    "fold": "ENUM('strand', 'helix')",
    "day": "DATE",
    "odd name": "INTEGER",
    'quote"d': "INTEGER",
    "scores": "INTEGER[]",
}
PROTEINS = {"id": "VARCHAR", "length": "INTEGER", "sequence": "VARCHAR", "class": "VARCHAR"}
COLUMNS = Columns(tuple(RESIDUES.items()), tuple(PROTEINS.items()))


def read(text, clause="predicate"):
    return parse(text, clause=clause, columns=COLUMNS)


# Each with what the message must say: the problem and the cure.
REFUSALS = [
    # Not one expression
    ("", ["it is empty", "write a condition"]),
    ("  \n ", ["it is empty"]),
    ("contact AND", ["cannot parse it", "write one SQL expression"]),
    ("contact contact", ["write one SQL expression"]),
    ("contact; contact", ["write one SQL expression"]),
    ("contact, contact", ["write one SQL expression"]),
    ("contact) AND (contact", ["write one SQL expression"]),
    ("contact) FROM range(3) --", ["write one SQL expression"]),
    ("DROP TABLE residues", ["write one SQL expression"]),
    ("contact AS c", ["write one SQL expression"]),
    ("SELECT TRUE", ["subquery"]),
    ("(SELECT TRUE)", ["subquery", "scalar functions"]),
    ("source.aa IN (SELECT 'C')", ["subquery"]),
    ("EXISTS (SELECT 1)", ["subquery"]),
    ("source.x = ANY(SELECT 1)", ["subquery"]),
    ("count(*) > 1", ["count_star() is an aggregate", "one pair at a time"]),
    ("sum(source.x) > 1", ["sum() is an aggregate", "scalar functions"]),
    ("sum(source.x) OVER () > 1", ["window function"]),
    ("row_number() OVER () > 1", ["window function"]),
    ("*", ["it uses *"]),
    ("source.*", ["it uses *"]),
    ("COLUMNS('x') = 1", ["it uses *"]),
    ("source.x = ?", ["a parameter"]),
    ("source.x = $1", ["a parameter"]),
    ("#1", ["positional reference"]),
    ("source.aa COLLATE nocase = 'c'", ["COLLATE"]),
    ("len(list_filter([1], lambda y: y > 0)) = source.x", ["lambda"]),
    # Functions
    ("read_text('/etc/passwd') = 'x'", ["read_text() is a table function"]),
    ("unnest([TRUE])", ["unnest() is a table function"]),
    ("query('SELECT 1')", ["query() is a table function"]),
    ("getenv('HOME') = 'x'", ["no function getenv()", "scalar function of DuckDB"]),
    ("random() < 0.5", ["random() may read outside data or answer differently"]),
    ("now() IS NULL", ["now() may"]),
    ("today() IS NULL", ["today() may"]),
    ("current_date IS NULL", ["there is no current_date"]),
    ("uuid() = 'x'", ["uuid() may"]),
    ("gen_random_uuid() = 'x'", ["gen_random_uuid() may"]),
    ("nextval('s') = 1", ["nextval() may"]),
    ("currval('s') = 1", ["currval() may"]),
    ("current_setting('threads') = 1", ["current_setting() may"]),
    ("getvariable('v') = 1", ["getvariable() may"]),
    ("setseed(0.5) IS NULL", ["setseed() may"]),
    ("sleep_ms(1) IS NULL", ["sleep_ms() may"]),
    ("write_log('x') IS NULL", ["write_log() may"]),
    ("error('x')", ["error() may"]),
    ("pg_sleep(1) IS NULL", ["pg_sleep() may"]),
    ("current_localtimestamp() IS NULL", ["current_localtimestamp() may"]),
    ("__cast(source.x) IS NULL", ["__cast() may"]),
    ("version() = 'x'", ["version() is a table function"]),
    ("json_group_array(source.x) IS NULL", ["json_group_array() may"]),
    ("main.abs(source.x) = 1", ["schema of abs()", "call abs() without it"]),
    ("frobnicate(source.x) = 1", ["no function frobnicate()"]),
    # Names
    ("source.hydropaty > 1", ["no source.hydropaty", "did you mean source.hydropathy?", "aa, x, hydropathy"]),
    ("protein.lenght < 3", ["did you mean protein.length?", "columns of protein are id, length"]),
    ("target.zzzzzz = 1", ["no target.zzzzzz; the columns of target are pos, aa"]),
    ("sourc.aa = 'C'", ["no table sourc", "did you mean source?", "source, target, protein"]),
    ("db.source.aa = 'C'", ["no table db"]),
    ("source.aa.b = 'C'", ["too many parts", "source.<column>"]),
    ("contacts", ["no contacts", "did you mean contact?"]),
    ("separatoin > 3", ["did you mean separation?", "names are separation, distance"]),
    ("qqq", ["there is no qqq; the names are separation"]),
    ("aa = 'C'", ["aa has no end", "say source.aa or target.aa"]),
    ("AA = 'C'", ["say source.aa or target.aa"]),
    ("length < 3", ["say protein.length"]),
    ("weight > 0.1", ["weight", "threshold="]),
    ("layer = 1", ["layer", "in the result"]),
    ("head = 1", ["head", "in the result"]),
    ("model = 'esm'", ["model="]),
    ("user = 'me'", ["user"]),
    ("source.rowid = 1", ["no source.rowid"]),
    # Types
    ("target.x", ["its type is INTEGER, not BOOLEAN", "compare it, e.g. target.x IS NOT NULL"]),
    ("source.aa", ["its type is VARCHAR", "source.aa = 'C'"]),
    ("distance", ["its type is DOUBLE", "distance < 8"]),
    ("source.x + 1", ["its type is INTEGER", "(source.x + 1) IS NOT NULL"]),
    ("separation", ["its type is INTEGER", "separation >= 6"]),
    ("1", ["its type is INTEGER"]),
    ("source", ["its type is INTEGER"]),
    ("source.flag + 1 = 2", ["DuckDB does not accept it", "No function matches"]),
    ("sqrt(source.aa, 2) = 1", ["DuckDB does not accept it"]),
    ("source.x AND contact", ["source.x is a number where a boolean is expected", "source.x = 1"]),
    ("NOT (distance + separation)", ["is a number where a boolean is expected"]),
    ("distance IS TRUE", ["distance is a number where a boolean"]),
    ("source.aa = target.x", ["source.aa and target.x are a number and a string", "one kind"]),
    ("contact = 1", ["contact and 1 are a boolean and a number", "TRUE or FALSE"]),
    ("distance = '5'", ["number and a string", "quotes off numbers"]),
    ("source.day < target.day", ["source.day of type DATE cannot meet the other end", "cast it"]),
    ("source.scores = target.scores", ["type INTEGER[] cannot meet the other end"]),
    ("(source.x, target.x) IN ((1, 2))", ["cannot meet the other end"]),
    # Beyond what pairs are evaluated in
    ("source.aa || target.aa = 'CC'", ["source.aa || target.aa mixes both ends", "AND, OR, NOT", "greatest"]),
    ("concat(source.aa, target.aa) = 'CC'", ["mixes both ends", "works on one end alone"]),
    ("source.aa LIKE target.aa", ["mixes both ends"]),
    ("distance % 2 = 0", ["distance % 2 mixes", "+ - * /"]),
    ("sqrt(distance) < 2", ["mixes both ends"]),
    ("CASE WHEN contact THEN source.flag END", ["mixes both ends"]),
    ("CAST(contact AS INTEGER) = 1", ["mixes both ends"]),
    ("substr(protein.sequence, source.pos, 1) = 'C'", ["mixes both ends"]),
    ("greatest(source.flag, target.flag)", ["greatest of BOOLEAN", "use AND or OR"]),
    ("least(source.fold, target.fold) = 'helix'", ["least of ENUM", "cast each to VARCHAR"]),
    ("coalesce(source.fold, target.fold) < target.fold", ["an ENUM is ordered across the ends", "VARCHAR"]),
    # Not DuckDB's, nor one expression but for the parentheses it is put into
    ("source.flag), (source.flag", ["write one SQL expression"]),
    ("source.x) = ANY([1]", ["write one SQL expression"]),
    ("source.flag OR contact) IS NOT NULL AND (source.flag", ["write one SQL expression"]),
    ("source.x BETWEEN SYMMETRIC 3 AND 1", ["cannot parse it"]),
    ("source.x! = 6", ["! behind a value", "write <> for unequal"]),
    # A list or an interval is no value that pairs are compared by.
    ("source.x IN [target.x, 1]", ["mixes both ends"]),
    ("[source.x] = [target.x]", ["of type INTEGER[] cannot meet the other end"]),
    ("INTERVAL (source.x) DAY = INTERVAL (target.x) DAY", ["of type INTERVAL cannot meet the other end"]),
    ("source.x::DATETIME = target.x", ["cannot meet the other end"]),
]


@pytest.mark.parametrize(("text", "said"), REFUSALS)
@pytest.mark.parametrize("clause", ["predicate", "where"])
def test_refusals_quote_the_clause_and_say_the_cure(text, said, clause):
    with pytest.raises(QueryError) as caught:
        read(text, clause)
    message = str(caught.value)
    assert message.startswith(f"{clause} `{' '.join(text.split())}` cannot be answered: ")
    for part in said:
        assert part in message
    assert "\n" not in message
    assert message.endswith(".")


def test_a_clause_nested_beyond_reason_is_refused():
    with pytest.raises(QueryError, match="cannot be answered") as caught:
        read("(" * 5000 + "contact" + ")" * 5000)
    assert len(str(caught.value)) < 600


def test_a_long_list_is_fine():
    assert read(f"source.x IN ({', '.join(map(str, range(20_000)))})").ends == {"source"}


def test_a_long_chain_is_fine():
    text = " OR ".join(f"source.x - target.x = {number}" for number in range(400))
    root = read(text).root
    assert isinstance(root, Operation)
    assert (root.op, len(root.operands)) == ("or", 400)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("source.flag", {"source"}),
        ("target.aa = 'C' AND target.x > 1", {"target"}),
        ("protein.length > 1", {"protein"}),
        ("protein = 'a'", {"protein"}),
        ("1 < 2", set()),
        ("NULL", set()),
        ("contact", {"pair"}),
        ("separation > 2 AND source.flag", {"pair", "source"}),
        ("source.aa = target.aa", {"source", "target"}),
        ("protein.length > source.x", {"protein", "source"}),
        ("source < target OR distance < 8 OR protein.length < 3", {"source", "target", "pair", "protein"}),
    ],
)
def test_ends(text, ends):
    assert read(text).ends == ends


def test_each_maximal_one_ended_part_is_one_term():
    expression = read("regexp_matches(upper(source.aa), '[CW]') AND source.x + 1 > 2 OR NOT contact")
    assert expression.terms == (Term("residues", "(regexp_matches(upper(aa), '[CW]') AND ((x + 1) > 2))", "boolean"),)
    assert expression.root == Operation(
        "or",
        "boolean",
        (
            Leaf("source", expression.terms[0]),
            Operation("not", "boolean", (Quantity("contact_cb"),)),
        ),
    )


def test_both_ends_share_a_term():
    expression = read("abs(source.x) = abs(target.x)")
    assert expression.terms == (Term("residues", "abs(x)", "number"),)


def test_names_are_rendered_as_stored_and_quoted():
    expression = read('source."ODD name" = target."quote""d" AND protein.CLASS = source.AA')
    assert [term.sql for term in expression.terms] == ['"odd name"', '"quote""d"', '"class"', "aa"]


def test_a_string_that_looks_like_sql_stays_a_string():
    expression = read("source.aa = target.aa AND source.aa = 'x'') OR source.aa'")
    assert expression.terms[-1].sql == "(aa = 'x'') OR source.aa')"


@pytest.mark.parametrize(
    ("text", "quantities", "atoms"),
    [
        ("contact", {"contact_cb"}, {"cb"}),
        ("distance < 8 OR distance_cb < 7", {"distance_cb"}, {"cb"}),
        ("contact_ca AND distance_cb < 4", {"contact_ca", "distance_cb"}, {"ca", "cb"}),
        ("separation = 1", set(), set()),
        ("source.flag", set(), set()),
    ],
)
def test_what_is_needed(text, quantities, atoms):
    expression = read(text)
    assert expression.quantities == quantities
    assert expression.atoms == atoms


def test_an_expression_is_a_key():
    assert hash(read("contact AND source.flag")) == hash(read("contact AND source.flag"))
    assert read("contact AND source.flag") == read("contact AND source.flag")
    assert read("contact AND source.flag") != read("contact AND target.flag")


def test_every_function_that_is_allowed_exists_and_is_a_scalar():
    """The list comes from DuckDB's catalogue: none of these may slip into it with another version."""
    known = dialect.functions()
    assert {"regexp_matches", "upper", "abs", "coalesce_"} - known.allowed == {"coalesce_"}
    kinds = {kind for name in known.allowed for kind in known.types[name]}
    assert "pragma" not in kinds
    unsafe = {name for name in known.allowed if "random" in name or ("uuid" in name and "extract" not in name)}
    assert unsafe == set()
    connection = duckdb.connect(":memory:")
    volatile = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions()"
        " WHERE function_type = 'scalar' AND stability <> 'CONSISTENT'"
    ).fetchall()
    assert volatile
    assert not known.allowed & {row[0] for row in volatile}


@pytest.mark.parametrize(
    ("text", "op", "sql"),
    [
        ("source.x IN [1, NULL] AND contact", "and", "contains(list_value(1, NULL), x)"),
        ("CAST(source.x AS VARCHAR) = target.aa", "=", "CAST(x AS VARCHAR)"),
        ("contact AND source.x > 1 AND source.flag", "and", "((x > 1) AND flag)"),
        ("source.flag IS NOT TRUE OR contact", "or", "(CAST(flag AS BOOLEAN) IS DISTINCT FROM true)"),
    ],
)
def test_one_ended_parts_are_left_to_duckdb_as_it_reads_them(text, op, sql):
    root = read(text).root
    assert root.op == op
    assert sql.replace(" ", "") in [term.sql.replace(" ", "") for term in read(text).terms]


@pytest.mark.parametrize("text", ["contact IS NOT TRUE", "contact IS TRUE", "contact IS FALSE", "distance IS NOT NULL"])
def test_tests_of_pairs_are_operations(text):
    root = read(text).root
    negated = " NOT " in text
    inner = root.operands[0] if negated else root
    assert (root.op == "not") is negated
    assert inner.op == text.split(" ", 1)[1].replace("NOT ", "").lower()
