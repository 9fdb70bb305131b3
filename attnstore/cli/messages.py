"""The library's messages, in the words of the command line.

Errors and warnings of the library are written for Python. Before the command prints one, two things in it are
translated, so that the cure can be typed in a shell:

* An option, ``name=value`` with a Python value: ``keep_duplicates=True`` becomes ``--keep-duplicates``,
  ``missing=['NA', '-']`` becomes ``--missing NA,-``, ``columns={'OLD': 'new'}`` becomes ``--columns OLD=new``.
  The option is the one of the running command whose parameter has that name; other names are left as they are, and
  so is all that stands in backticks or quotes, which is the user's. ``name=…`` stands for any value.
* A call in backticks of a method that is a command too: ```store.verify()``` becomes
  ```attnstore verify my.attn```. ``store`` is the running command's store and ``store.path`` its path; a call of a
  function starts with its module (``attnstore.ingest.ingest(store.path, ['a.fasta'], model=MODEL)``). Arguments are
  literals or NAMES in capitals, which the reader fills in.

A message therefore never says ``flag=False`` where the command has no ``--no-flag``: it asks to leave out
``flag=True``, which can be read both ways.
"""

import ast
import csv
import functools
import io
import re
import shlex
from collections.abc import Callable
from typing import Any

import click

from ..errors import AttnstoreError

#: Python's None where the command has a word for it.
_NONE = {"threshold": "all"}
#: Methods that are an option of a command of another name.
_OPTION_OF = {"stream": ("query", "--format parquet")}

_STRING = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_VALUE = (
    rf"{_STRING}|\[(?:[^\[\]'\"]|{_STRING})*\]|\((?:[^()'\"]|{_STRING})*\)|\{{(?:[^{{}}'\"]|{_STRING})*\}}"
    r"|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?\b|True\b|False\b|None\b|[A-Z][A-Z_]*\b|…|\.\.\."
)
#: An option, a call in backticks, or else what the user wrote, which stays as it is.
_TRANSLATED = re.compile(
    rf"(?<![\w.'\"/=-])(?P<name>[a-z][a-z0-9_]*)=(?P<value>{_VALUE})|`(?P<code>[^`]*)`|(?<![\w=])(?:{_STRING})"
)


def typed(message: str, context: click.Context) -> str:
    """`message` with its options and calls as they are typed on the command line.

    Parameters
    ----------
    message : str
        A sentence of the library.
    context : click.Context
        Of the command that is running.
    """

    def words(found: re.Match[str]) -> str:
        if found["name"] is not None:
            return _option(context.command, found["name"], _literal(found["value"]), context) or found[0]
        return found[0] if found["code"] is None else _call_typed(found["code"], context)

    return _TRANSLATED.sub(words, message)


def speaking(command: click.Command) -> click.Command:
    """The same command, whose errors are in the words of the command line; of a group, all its commands."""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            speaking(each)
    if command.callback is not None:
        command.callback = _translated(command.callback)
    return command


def _translated(callback: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(callback)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return callback(*arguments, **options)
        except AttnstoreError as error:
            error.args = (typed(str(error), click.get_current_context()),)
            raise

    return call


def _literal(text: str) -> Any:
    """The value that `text` is in Python; an ellipsis for any value, and a NAME in capitals as itself."""
    if text == "…":
        return ...
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _option(command: click.Command, name: str, value: Any, context: click.Context) -> str | None:
    """An option of `command` with a value, or None if it has no such option."""
    option = next((each for each in command.params if isinstance(each, click.Option) and each.name == name), None)
    if option is None:
        return None
    flag = max(option.opts, key=len)
    if option.is_flag:
        if isinstance(value, list | tuple):  # entries of fetch=[…] are inputs on the command line
            return shlex.join([*map(str, value), flag])
        if value is False:
            return max(option.secondary_opts, key=len) if option.secondary_opts else f"no {flag}"
        return flag
    if value is ...:
        return f"{flag} {option.make_metavar(context)}"
    if value is None:
        return f"{flag} {_NONE[name]}" if name in _NONE else f"no {flag}"
    if not isinstance(value, dict | list | tuple):
        return f"{flag} {shlex.quote(str(value))}"
    words = [f"{key}={each}" for key, each in value.items()] if isinstance(value, dict) else [*map(str, value)]
    if option.multiple and isinstance(value, dict):
        return " ".join(f"{flag} {shlex.quote(word)}" for word in words)
    return f"{flag} {shlex.quote(_listed(words))}"


def _listed(words: list[str]) -> str:
    """Words separated by commas; one that has a comma itself in double quotes, as options of lists are read."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(words)
    return line.getvalue()


def _call_typed(code: str, context: click.Context) -> str:
    """A call in backticks as a command in backticks; whatever else is quoted as it is."""
    try:
        words = _call(ast.parse(code, mode="eval").body, context)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        words = None
    return f"`{code if words is None else words}`"


def _call(node: ast.expr, context: click.Context) -> str | None:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    name, option_of = _OPTION_OF.get(node.func.attr, (node.func.attr.replace("_", "-"), None))
    path = _command(context.find_root().command, name)
    store = _store(node.func.value, context)
    if path is None or store is None:
        return None
    words = ["attnstore", *(name for name, _ in path), *store]
    for argument in node.args:
        value = _argument(argument, context)
        words += [shlex.quote(str(each)) for each in (value if isinstance(value, list | tuple) else [value])]
    for keyword in node.keywords:
        option = _option(path[-1][1], str(keyword.arg), _argument(keyword.value, context), context)
        if option is None:
            return None
        words.append(option)
    return " ".join([*words, option_of] if option_of else words)


def _argument(node: ast.expr, context: click.Context) -> Any:
    """A literal, in which a NAME stands for itself; raises ValueError for anything else."""
    if isinstance(node, ast.Name) and node.id.isupper():
        return node.id
    if isinstance(node, ast.List | ast.Tuple):
        return [_argument(each, context) for each in node.elts]
    if ast.unparse(node) == "store.path":
        return _running_store(context)
    return ast.literal_eval(node)


def _running_store(context: click.Context) -> str:
    return str(context.params.get("store") or "STORE")


def _command(group: click.Command, name: str) -> list[tuple[str, click.Command]] | None:
    """The command called `name` and the groups that lead to it."""
    for own, command in group.commands.items() if isinstance(group, click.Group) else ():
        if own == name and not isinstance(command, click.Group):
            return [(own, command)]
        below = _command(command, name)
        if below is not None:
            return [(own, command), *below]
    return None


def _store(receiver: ast.expr, context: click.Context) -> list[str] | None:
    """The store's path as a word, no word for a function of a module, or None if the receiver is neither."""
    match receiver:
        case ast.Name("store"):
            return [shlex.quote(_running_store(context))]
        case ast.Call(ast.Attribute(ast.Name("attnstore"), "open"), [path], []):
            return [shlex.quote(str(_argument(path, context)))]
    while isinstance(receiver, ast.Attribute):
        receiver = receiver.value
    return [] if isinstance(receiver, ast.Name) and receiver.id == "attnstore" else None
