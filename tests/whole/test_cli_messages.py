"""What the library says in Python is printed as it is typed in a shell."""

import ast
import re
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from attnstore import cli
from attnstore.cli.messages import typed
from attnstore.errors import QueryError


def context(*words: str) -> click.Context:
    """The context of a command, as it is while the command runs."""
    running, command = click.Context(cli.cli, info_name="attnstore"), cli.cli
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
        running = click.Context(command, parent=running, info_name=word)
    running.params["store"] = Path("my store.attn")
    return running


@pytest.mark.parametrize(
    ("command", "python", "shell"),
    [
        ("ingest", "pass keep_duplicates=True.", "pass --keep-duplicates."),
        ("ingest", "ask for max_residues=1000.", "ask for --max-residues 1000."),
        ("ingest", "(keep=['arcs', 'hidden'])", "(--keep arcs,hidden)"),
        ("ingest", "fetch it with fetch=['1ABC', '2XYZ'].", "fetch it with 1ABC 2XYZ --fetch."),
        ("ingest", "workers=2 and scheduler=… exclude each other",
         "--workers 2 and --scheduler ADDRESS exclude each other"),
        ("ingest", "leave out strict=True or dssp=True, please", "leave out --strict or --dssp, please"),
        ("annotate", "rename it: columns={'ΔΔG (kcal)': 'ddg'}.", "rename it: --columns 'ΔΔG (kcal)=ddg'."),
        ("annotate", "kinds={'x': 'float', 'y': 'category'}", "--kinds x=float --kinds y=category"),
        ("annotate", "on=('id', 'pos'), numbering='author'", "--on id,pos, --numbering author"),
        ("annotate", "drop=['it\\'s']", """--drop 'it'"'"'s'"""),
        ("align", "threshold=None gives the curve; threshold=0.05 one.",
         "--threshold all gives the curve; --threshold 0.05 one."),
        ("align", "where=\"target.aa = 'C'\"", """--where 'target.aa = '"'"'C'"'"''"""),
        ("contacts", "with apc=False", "with --no-apc"),
        ("contacts", "with apc=True, k=5", "with --apc, --k 5"),
        ("probe", "sources=['attention'] works", "--sources attention works"),
        ("report", "properties=['a', 'b c']", "--properties 'a,b c'"),
    ],
)  # fmt: skip
def test_an_option_is_named_as_the_running_command_has_it(command: str, python: str, shell: str) -> None:
    assert typed(python, context(command)) == shell


def test_options_of_a_command_in_a_group_are_translated() -> None:
    running = context("reproduce", "vig2021")
    assert typed("compare_with='other' and limit=3", running) == "--compare-with other and --limit 3"


@pytest.mark.parametrize(
    "message",
    [
        "no such condition: `level=0.5 AND seed=3`.",
        "the value 'level=1' is not known.",
        "a file /data/level=3/x.fasta",
        "the model's level and the proteins' seeds: top is 3",
        "other=3 and progress=True are Python's alone",
        "level = 0.5 is SQL, level=x no value",
        "`query(1)` is a function of nobody; `level.verify()` neither; `store.save('x')` is no command.",
        "`store.align(target.aa)` is not made of literals, `" + "(" * 5000 + "` too deep, `\x00` no text.",
    ],
)
def test_what_the_user_wrote_and_what_no_option_is_stay(message: str) -> None:
    assert typed(message, context("align")) == message


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        ("store.verify()", "attnstore verify 'my store.attn'"),
        ("store.sql('SELECT id FROM proteins')", "attnstore sql 'my store.attn' 'SELECT id FROM proteins'"),
        ("store.stream(SQL)", "attnstore query 'my store.attn' SQL --format parquet"),
        ("store.annotate('x.csv', replace=True)", "attnstore annotate 'my store.attn' x.csv --replace"),
        ("attnstore.open('b c.attn').properties()", "attnstore properties 'b c.attn'"),
        ("attnstore.ingest.ingest('n.attn', ['a.fa', 'b.fa'], model=MODEL)",
         "attnstore ingest n.attn a.fa b.fa --model MODEL"),
        ("attnstore.repair('n.attn', [INPUT])", "attnstore repair n.attn INPUT"),
        ("attnstore.ingest.ingest(store.path, model=MODEL, keep=['arcs'])",
         "attnstore ingest 'my store.attn' --model MODEL --keep arcs"),
        ("attnstore.ingest.convert_tape('tape', 'out')", "attnstore convert-tape tape out"),
        ("attnstore.queries.vig2021.vig2021(model='m', data='d', force=True)",
         "attnstore reproduce vig2021 --model m --data d --force"),
    ],
)  # fmt: skip
def test_a_call_becomes_the_command_that_does_the_same(python: str, shell: str) -> None:
    assert typed(f"try `{python}`.", context("query")) == f"try `{shell}`."
    words = shlex.split(shell)[1:]
    with click.Context(cli.cli) as root:  # the command takes what is printed
        name, command, rest = cli.cli.resolve_command(root, words)
        while isinstance(command, click.Group):
            name, command, rest = command.resolve_command(root, rest)
        assert command is not None
        command.make_context(name, rest, parent=root, resilient_parsing=True)


@pytest.mark.filterwarnings("always")
@pytest.mark.parametrize("what", ["error", "warning"])
def test_the_command_prints_its_own_words(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def says(*_: object, **__: object) -> None:
        message = "too many: pass min_arcs=3, or `store.verify()`."
        if what == "error":
            raise QueryError(message)
        warnings.warn(message, stacklevel=1)
        raise SystemExit(0)

    monkeypatch.setattr("attnstore.api.open_store", says)
    with pytest.raises(SystemExit):
        cli.main(["align", "a b", "contact"])
    assert capsys.readouterr().err == f"{what}: too many: pass --min-arcs 3, or `attnstore verify 'a b'`.\n"


#: Of the strings of these modules options are those of other programs, or lines for a shell.
SHELLS = ("attnstore/cli/", "attnstore/fetch.py", "readers/structures/dssp.py")


def strings(path: Path) -> Iterator[str]:
    """The strings of a module that are no docstrings."""
    tree = ast.parse(path.read_text())
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    docstrings = {id(node.body[0].value) for node in nodes if node.body and isinstance(node.body[0], ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_no_message_of_the_library_names_an_option_or_a_command_of_the_shell() -> None:
    root = Path(__file__).resolve().parents[2]
    modules = [path for part in ("attnstore", "ingest", "queries") for path in (root / part).rglob("*.py")]
    assert len(modules) > 100
    found = [
        f"{path.relative_to(root)}: {text}"
        for path in modules
        if not any(shell in path.as_posix() for shell in SHELLS)
        for text in strings(path)
        if re.search(r"(?<![\w-])--[a-z]|`attnstore [a-z]", text)
    ]
    assert found == []
