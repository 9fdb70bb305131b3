"""Plain English: README, docs and help texts hold none of the words that the project has retired."""

import re
from pathlib import Path

import click
import pytest

from attnstore.cli import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").rglob("*.md") if "notebooks" not in path.parts)]

#: Each retired word, and the word to write.
RETIRED = {
    r"mend(?:s|ed|ing)?": "repair",
    r"anew": "again, or rebuild",
    r"nought": "zero",
    r"beside": "next to",
    r"all in(?=[.,;)]|$)": "in total",
    r"told": "recognised, shown, distinguished",
    r"tells?": "show, give, describe, distinguish",
    r"said of": "asked of",
    r"at hand": "available",
    r"passed over": "ignored, skipped",
    r"but for": "except",
    r"to be had": "available",
    r"likeness": "similarity",
}
_ANY = re.compile(rf"\b(?:{'|'.join(RETIRED)})\b", re.IGNORECASE | re.MULTILINE)

#: A command in an example, and all that follows up to the next one.
_CALL = re.compile(r"^ +attnstore ([a-z0-9-]+(?: vig2021)?)((?:.|\n(?! +attnstore ))*)", re.MULTILINE)


def retired(text: str) -> list[str]:
    """The retired words in a text, outside code, which has names of its own; each with the line it is on."""
    prose = re.sub(r"```.*?```", lambda code: "\n" * code[0].count("\n"), text, flags=re.DOTALL)
    prose = re.sub(r"`[^`\n]*`", "`…`", prose)
    return [f"line {prose.count(chr(10), 0, word.start()) + 1}: {word[0]}" for word in _ANY.finditer(prose)]


def commands(command: click.Command, path: tuple[str, ...] = ("attnstore",)) -> list[tuple[str, click.Command]]:
    """A command and all below it, with their names."""
    below = command.commands.items() if isinstance(command, click.Group) else ()
    return [(" ".join(path), command), *(each for name, own in below for each in commands(own, (*path, name)))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages_hold_no_retired_word(path):
    assert retired(path.read_text(encoding="utf-8")) == []


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
        ("amended, intelligible; all in one module; foretold", []),
    ],
)
def test_a_retired_word_is_found_where_it_is_prose(text, found):
    assert retired(text) == found
