"""What users call: every option in the signature, and the same options on the command line and in Python."""

from __future__ import annotations

import inspect
from typing import Any, Literal, get_args, get_origin

import click
import pytest

import attnstore
from attnstore.api import Store
from attnstore.cli import cli

METHODS = [
    name for name in dir(Store) if not name.startswith("_") and inspect.isfunction(inspect.getattr_static(Store, name))
]
#: Commands that a method answers.
COMMANDS = ("align", "query", "probe", "view", "export")
#: Options of the command line alone: where results go, how they look, and what a flag asks of another method.
OF_THE_COMMAND = {"output", "plot", "top", "explained"}
#: Both have it, and the command has another default: words for None, a table's form instead of a file's.
OTHER_DEFAULT = {("align", "threshold"), ("probe", "sources"), ("probe", "examples")}


@pytest.mark.parametrize("name", METHODS)
def test_no_option_of_a_method_hides_behind_keywords(name):
    parameters = inspect.signature(getattr(Store, name)).parameters.values()
    assert [one.name for one in parameters if one.kind is inspect.Parameter.VAR_KEYWORD] == []
    assert all(one.annotation is not inspect.Parameter.empty for one in parameters if one.name != "self")


@pytest.mark.parametrize("name", METHODS)
def test_every_parameter_of_a_method_is_documented(name):
    text = inspect.getdoc(getattr(Store, name)) or ""
    names = [each.name for each in inspect.signature(getattr(Store, name)).parameters.values() if each.name != "self"]
    lines = [line.partition(" : ")[0].replace("*", "") for line in text.splitlines() if " : " in line]
    documented = {word.strip() for line in lines for word in line.split(",")}
    if name not in ("reading", "as_opened", "model"):
        assert sorted(set(names) - documented) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_method_have_the_same_options_and_defaults(name):
    parameters = inspect.signature(getattr(Store, name)).parameters
    for option in cli.commands[name].params:
        if not isinstance(option, click.Option) or option.name in OF_THE_COMMAND:
            continue
        if name == "view" and option.name in ("figure", "tracks"):  # of View.save
            continue
        if option.name == "form":  # of the table that is printed, or, of an export, `format`
            continue
        assert option.name in parameters, f"attnstore {name} --{option.name} is no parameter of Store.{name}"
        if (name, option.name) not in OTHER_DEFAULT:
            default = option.get_default(click.Context(cli.commands[name]))
            if repr(default) == "Sentinel.UNSET" or default is None:  # a flag that is not given is False
                default = False if option.is_flag else None
            assert default == parameters[option.name].default, option.name


@pytest.mark.parametrize("name", ["align", "probe"])
def test_choices_are_the_same_on_the_command_line_and_in_python(name):
    annotations = {key: one.annotation for key, one in inspect.signature(getattr(Store, name)).parameters.items()}
    for option in cli.commands[name].params:
        if isinstance(option.type, click.Choice) and option.name in annotations:
            assert set(option.type.choices) == literals(annotations[option.name]), option.name


def literals(annotation: Any) -> set[str]:
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return {word for part in get_args(annotation) for word in literals(part)}


def test_what_all_lists_is_there():
    assert sorted(name for name in attnstore.__all__ if not hasattr(attnstore, name)) == []
    assert attnstore.open is attnstore.api.open_store
