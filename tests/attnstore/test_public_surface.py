"""What users call: on one page and in `__all__`s, every option in the signature, the same names in Python and shell."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
import pytest

import attnstore
import attnstore.fetch
import attnstore.ingest
import attnstore.testing
from attnstore import Store, View
from attnstore.cli import cli

ROOT = Path(attnstore.__file__).parents[1]
MODULES = (attnstore, attnstore.ingest, attnstore.testing, attnstore.fetch)
NAMES = {f"{module.__name__}.{name}" for module in MODULES for name in module.__all__}
PAGES = [
    path
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "notebooks").glob("*.py")]
    if path.name not in ("render.py", "format.md")
]

#: What answers each command in Python. `info` prints the store itself, and `demo` an ingest and two questions.
ANSWERS: dict[str, tuple[Callable[..., Any], ...]] = {
    "info": (),
    "demo": (),
    "properties": (Store.properties,),
    "sql": (Store.sql,),
    "export": (Store.export,),
    "ingest": (attnstore.ingest.ingest, attnstore.ingest.ingest_proteins),
    "annotate": (Store.annotate,),
    "convert-tape": (attnstore.ingest.convert_tape,),
    "align": (Store.align,),
    "query": (Store.query, Store.stream, Store.explain),
    "contacts": (Store.contacts, Store.contact_precision),
    "probe": (Store.probe,),
    "reproduce vig2021": (attnstore.vig2021,),
    "report": (Store.report,),
    "view": (Store.view, View.save),
    "verify": (attnstore.verify,),
    "repair": (attnstore.repair,),
}
#: The store is a method's own object, or a function's first parameter. Progress is shown on a terminal.
OF_PYTHON = {"self", "store", "path", "progress"}
#: Where results go and how they look; `--explain` asks another method.
OF_THE_COMMAND = {"as_json", "form", "plot", "top", "explained"}
#: What differs between a command and Python, and why.
DIFFERENT = {
    ("sql", "output"): "a table is written by pandas",
    ("query", "output"): "a table is written by pandas",
    ("align", "output"): "a table is written by pandas",
    ("contacts", "output"): "a table is written by pandas",
    ("probe", "output"): "a table is written by pandas",
    ("view", "output"): "`path` of View.save",
    ("report", "output"): "the command names a folder after the store",
    ("ingest", "fetch"): "entries are inputs of the command",
    ("annotate", "fetch"): "entries are inputs of the command",
    ("ingest", "model"): "without a model the command calls ingest_proteins",
    ("annotate", "name"): "of frames, which the command does not read",
    ("contacts", "protein"): "without a protein the command asks contact_precision",
    ("contacts", "proteins"): "the command measures all proteins",
}


def commands(group: click.Group = cli, above: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{above}{name} ")
        else:
            yield f"{above}{name}", command


COMMANDS = dict(commands())


def defaults(command: click.Command) -> dict[str, Any]:
    """What each parameter of a command is if only those that are required are given."""
    given = [word for one in command.params if isinstance(one, click.Option) and one.required
             for word in (one.opts[-1], "x")]  # fmt: skip
    given += ["x" for one in command.params if isinstance(one, click.Argument) and one.required]
    return command.make_context(command.name, given).params


def own_methods(thing: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Public methods of a class that are defined in attnstore, not those of pandas and xarray."""
    for own in (each for each in thing.__mro__ if each.__module__.startswith("attnstore")):
        for name, value in vars(own).items():
            function = getattr(value, "__func__", value)
            ours = getattr(function, "__module__", "").startswith("attnstore")
            if not name.startswith("_") and inspect.isfunction(function) and ours:
                yield name, getattr(thing, name)


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Public functions, and methods of public classes."""
    for module in MODULES:
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isclass(thing):
                yield from ((f"{name}.{method}", function) for method, function in own_methods(thing))
            elif callable(thing):
                yield f"{module.__name__}.{name}", thing


FUNCTIONS = dict(functions())


def test_what_all_lists_is_there_and_is_what_tab_shows():
    assert {name for name in NAMES if not hasattr_dotted(name)} == set()
    for module in MODULES[:2]:
        assert set(module.__all__) <= set(dir(module))
    assert attnstore.open is attnstore.api.open_store
    assert len(FUNCTIONS) > 60


def hasattr_dotted(name: str) -> bool:
    thing: Any = attnstore
    for part in name.split(".")[1:]:
        if not hasattr(thing, part):
            return False
        thing = getattr(thing, part)
    return True


def test_the_page_states_the_whole_surface_and_nothing_else():
    page = (ROOT / "docs" / "api" / "index.md").read_text()
    stated = set(re.findall(r"`(attnstore(?:\.\w+)+)`", page))
    assert stated == NAMES


def test_no_name_of_a_public_module_is_a_module_of_another_meaning():
    """`attnstore.verify` is the function, whatever was imported before it."""
    for module in MODULES:
        for name in module.__all__:
            if inspect.ismodule(getattr(module, name)):
                continue
            folder = Path(module.__file__).parent
            if module.__name__ == "attnstore":
                assert not (folder / f"{name}.py").exists(), name
                assert not (folder / name).exists(), name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_pages_import_public_names_alone(path):
    """No deep import, and no dotted name of a module that is not public, in any code that a page shows."""
    text = path.read_text()
    code = text if path.suffix == ".py" else "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    public = {module.__name__ for module in MODULES}
    assert set(re.findall(r"^\s*(?:from|import) (attnstore[\w.]*)", code, re.MULTILINE)) <= public
    used = set(re.findall(r"\battnstore\.\w+(?:\.\w+)*", code))
    assert {name for name in used if not any(f"{name}.".startswith(f"{one}.") for one in NAMES)} <= public


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_option_hides_behind_keywords(name):
    parameters = inspect.signature(FUNCTIONS[name]).parameters.values()
    assert [one.name for one in parameters if one.kind is inspect.Parameter.VAR_KEYWORD] == []
    assert all(one.annotation is not inspect.Parameter.empty for one in parameters if one.name != "self")


def test_every_command_has_its_answer_in_python():
    assert set(COMMANDS) == set(ANSWERS)
    assert {name for name, _ in DIFFERENT} <= set(ANSWERS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_python_have_the_same_options_and_defaults(name):
    given = defaults(COMMANDS[name])
    answers = [inspect.signature(answer).parameters for answer in ANSWERS[name]]
    for option, default in given.items():
        if option == "store" or option in OF_THE_COMMAND or (name, option) in DIFFERENT:
            continue
        having = [parameters[option] for parameters in answers if option in parameters]
        assert having, f"{name}: {option} is no parameter in Python"
        for parameter in having:
            required = parameter.default is inspect.Parameter.empty
            if required or parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                continue
            assert default == parameter.default, f"{name}: {option}"
            assert type(default) is type(parameter.default), f"{name}: {option}"
    for parameters in answers:
        missing = set(parameters) - set(given) - OF_PYTHON - {one for command, one in DIFFERENT if command == name}
        assert missing == set(), f"{name} has no option for what Python has"


@pytest.mark.parametrize("name", COMMANDS)
def test_an_option_is_typed_as_its_parameter_is_called(name):
    """`--min-arcs` for `min_arcs`; of what the command has alone, the option is called what it does."""
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option) and option.name not in OF_THE_COMMAND:
            assert f"--{option.name.replace('_', '-')}" in option.opts


@pytest.mark.parametrize("name", COMMANDS)
def test_choices_are_the_same_on_the_command_line_and_in_python(name):
    for answer in ANSWERS[name]:
        annotations = {key: one.annotation for key, one in inspect.signature(answer, eval_str=False).parameters.items()}
        for option in COMMANDS[name].params:
            if isinstance(option.type, click.Choice) and option.name in annotations:
                assert set(option.type.choices) == literals(annotations[option.name]), option.name


def literals(annotation: Any) -> set[str]:
    if isinstance(annotation, str):  # of a module whose annotations are not evaluated
        return set(re.findall(r"['\"]([^'\"]*)['\"]", annotation))
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return {word for part in get_args(annotation) for word in literals(part)}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_what_it_does_with_an_example_and_explains_every_option(name):
    command = COMMANDS[name]
    first, _, rest = (command.help or "").partition("\n")
    assert re.match(r"[A-Z][a-z]+ .*[.,:]?$", first)
    assert "Example" in rest
    assert f"attnstore {name} " in rest
    for option in command.params:
        if isinstance(option, click.Option):
            assert re.match(r"[A-Zacdefmhnprk]", option.help or ""), option.name
            assert re.search(r"[.\]…]$", option.help or ""), (option.name, option.help)
