"""Plain English: pages, help texts, docstrings, comments and messages hold no word that the project has retired."""

import io
import re
import tokenize
from pathlib import Path

import click
import pytest

from attnstore.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
#: Code whose docstrings, comments and messages are read; `attnstore/ingest` and `attnstore/queries` are links.
MODULES = sorted(
    path
    for folder in ("attnstore", "ingest", "queries", "notebooks", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if not path.is_relative_to(ROOT / "attnstore" / "ingest")
    and not path.is_relative_to(ROOT / "attnstore" / "queries")
)

#: Each retired word, and the word to write.
RETIRED = {
    r"mend(?:s|ed|ing)?": "repair",
    r"anew": "again, or rebuild",
    r"nought": "zero",
    r"beside": "next to",
    r"all in(?=[.,;)]|$)": "in total",
    r"told|telling": "recognised, shown, distinguished",
    r"tells?": "show, give, describe, distinguish",
    r"fore(?:told|tells?)": "forecast",
    r"said of": "asked of",
    r"at hand": "available",
    r"passed over": "ignored, skipped",
    r"but for": "except",
    r"to be had": "available",
    r"come by": "made, obtained",
    r"likeness": "similarity",
    r"(?:arcs|proteins|clusters) enough": "enough arcs",
    r"had no (?:say|part)": "was not used in",
    r"strangers?": "somebody else",
    r"heeds?": "follow, react to",
    r"all the same": "nevertheless",
    r"for ever": "forever",
    r"save (?:in|for)": "except",
    r"lest|albeit|shall|thereof|therein|wherein|whereof|betwixt": "plain English",
}
#: Descriptions of properties that stores have recorded, and that are compared with those of later ingests.
_RECORDED = "what more is said of it"
_ANY = re.compile(rf"\b(?:{'|'.join(RETIRED)})\b", re.IGNORECASE | re.MULTILINE)

#: A command in an example, and all that follows up to the next one.
_CALL = re.compile(r"^ +attnstore ([a-z0-9-]+(?: vig2021)?)((?:.|\n(?! +attnstore ))*)", re.MULTILINE)


def retired(text: str) -> list[str]:
    """The retired words in a text, outside code, which has names of its own; each with the line it is on."""
    prose = re.sub(r"```.*?```", lambda code: "\n" * code[0].count("\n"), text, flags=re.DOTALL)
    prose = re.sub(r"`[^`\n]*`", "`…`", prose)
    return [f"line {prose.count(chr(10), 0, word.start()) + 1}: {word[0]}" for word in _ANY.finditer(prose)]


def texts(path: Path) -> str:
    """The comments and strings of a module, each on its line; code is left blank, and so are names and fields."""
    lines = [""] * (path.read_bytes().count(b"\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        kind = tokenize.tok_name[token.type]
        if kind == "COMMENT" or (kind in ("STRING", "FSTRING_MIDDLE") and " " in token.string):
            for number, line in enumerate(token.string.split("\n"), token.start[0]):
                prose = re.sub(r"\{[^{}]*\}|^ *\w+(, \w+)* : ", "", line)  # without fields and names of parameters
                lines[number - 1] += " " + prose.replace(_RECORDED, "")
    return "\n".join(lines)


def commands(command: click.Command, path: tuple[str, ...] = ("attnstore",)) -> list[tuple[str, click.Command]]:
    """A command and all below it, with their names."""
    below = command.commands.items() if isinstance(command, click.Group) else ()
    return [(" ".join(path), command), *(each for name, own in below for each in commands(own, (*path, name)))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages_hold_no_retired_word(path):
    assert retired(path.read_text(encoding="utf-8")) == []


def test_docstrings_comments_and_messages_hold_no_retired_word():
    assert len(MODULES) > 150
    found = {path.relative_to(ROOT).as_posix(): retired(texts(path)) for path in MODULES}
    assert {name: words for name, words in found.items() if words} == {}


@pytest.mark.parametrize(("name", "command"), commands(cli), ids=lambda each: each if isinstance(each, str) else "")
def test_help_texts_hold_no_retired_word_and_show_an_example_with_options_that_exist(name, command):
    text = command.get_help(click.Context(command, info_name=name))
    assert retired(text) == []
    example = re.search(r"^ *Example.*:\n((?:    .*\n)+)", text, flags=re.MULTILINE)
    assert example is not None
    for own, options in _CALL.findall(example[1]):
        called = dict(commands(cli))[f"attnstore {own}"]
        known = {option for parameter in called.params for option in parameter.opts}
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", options)) <= known


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The manifest is made anew.\nRepair mends it.", ["line 1: anew", "line 2: mends"]),
        ("6.89 bits per entry, all in\n", ["line 1: all in"]),
        ("```\nthe output tells\n```\nLikeness of `beside`", ["line 4: Likeness"]),
        (
            "No head has arcs enough, but for one; as was foretold",
            ["line 1: arcs enough", "line 1: but for", "line 1: foretold"],
        ),
        ("amended, intelligible; all in one module; attell; enough arcs; nobody else", []),
    ],
)
def test_a_retired_word_is_found_where_it_is_prose(text, found):
    assert retired(text) == found


def test_comments_and_strings_of_code_are_read_and_its_names_are_not(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        '"""A module\n\nmade anew.\n\ntold : int\n"""\n'
        'told = {"told": f"{told} of it"}  # beside\n'
        'raise Error("mend it")\n'
    )
    assert retired(texts(path)) == ["line 3: anew", "line 7: beside", "line 8: mend"]
