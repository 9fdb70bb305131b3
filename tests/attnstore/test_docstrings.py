"""Docstrings of the public surface are numpydoc's: each parameter with its type and meaning, and examples that run."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import re

import numpy as np
import pytest
from numpydoc.docscrape import ClassDoc
from numpydoc.validate import validate

import attnstore
from attnstore.testing import SyntheticProtein, make_store, random_proteins

from .test_public_surface import FUNCTIONS, MODULES

#: Rules of numpydoc that hold for functions and methods: a summary in one sentence, parameters as in the signature, in
#: its order, with type and meaning in sentences, and what is returned.
RULES = {
    "GL03", "GL05", "GL06", "GL07", "GL08", "GL10", "SS01", "SS03", "SS04", "PR01", "PR02", "PR03", "PR04",
    "PR05", "PR06", "PR07", "PR08", "PR09", "PR10", "RT01", "RT03", "RT04", "RT05", "YD01",
}  # fmt: skip
#: Begun with a type of an array, which is written in lower case, or with a name.
LOWER = re.compile(r"PR08|RT04")
CLASSES = {
    f"{module.__name__}.{name}": thing
    for module in MODULES
    for name in module.__all__
    if inspect.isclass(thing := getattr(module, name))
}
#: Methods that other libraries call, or that are contexts for attnstore's own modules.
INTERNAL = {"Store.reading", "Store.as_opened"}
#: Without a question of their own; the class has the example.
WITHOUT_EXAMPLE = re.compile(r"(Model|Relation|Result|Alignment|Contact\w+|Probing|View|Reproduction)\.|Store\.model$")


def dotted(name: str) -> str:
    return name if name.startswith("attnstore.") else f"attnstore.{name}"


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - INTERNAL))
def test_functions_are_documented_as_numpydoc_defines_it(name):
    errors = [(code, text) for code, text in validate(dotted(name))["errors"] if code in RULES]
    wrong = [
        (code, text) for code, text in errors
        if not (LOWER.match(code) and re.search(r"\b(float\d+|int\d*|uint8|bool) \[", inspect.getdoc(FUNCTIONS[name])))
    ]  # fmt: skip
    assert wrong == []


@pytest.mark.parametrize("name", sorted(set(FUNCTIONS) - INTERNAL))
def test_every_public_function_has_an_example(name):
    assert WITHOUT_EXAMPLE.match(name) or ">>> " in inspect.getdoc(FUNCTIONS[name])


@pytest.mark.parametrize("name", CLASSES)
def test_classes_document_their_fields(name):
    thing = CLASSES[name]
    assert (inspect.getdoc(thing) or "").splitlines()[0].endswith(".")
    if not dataclasses.is_dataclass(thing):
        return
    documented = {each: one for one in ClassDoc(thing)["Attributes"] for each in one.name.split(", ")}
    fields = [field.name for field in dataclasses.fields(thing) if not field.name.startswith("_")]
    assert [each for each in fields if each not in documented] == []
    for each in fields:
        assert documented[each].type, each
        meaning = " ".join(documented[each].desc)
        assert meaning.endswith("."), each


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A store that is like the demo where examples look: its name, a protein, 6 layers of 20 heads."""
    folder = tmp_path_factory.mktemp("examples")
    drawn = random_proteins([87, 40, 44, 48, 52, 41, 45, 49], layers=6, heads=20, features=4, seed=2)
    proteins = [
        SyntheticProtein(
            name, protein.sequence, protein.attention, protein.special, protein.hidden, protein.ca, protein.cb,
            {"binding_site": np.arange(len(protein.sequence)) % 7 == 0},
        )
        for name, protein in zip(["1ABA_A", *"BCDEFGH"], drawn, strict=True)
    ]  # fmt: skip
    keep = ["codes", "arcs", "marginals", "hidden"]
    make_store(folder / "demo.attn", proteins, model="esm2", keep=keep, segment_proteins=4)
    return folder


EXAMPLES = {
    name: text for name, thing in {**CLASSES, **FUNCTIONS}.items() if ">>> " in (text := inspect.getdoc(thing) or "")
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_run(name, demo, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(demo)
    names = {"attnstore": attnstore, "store": attnstore.open("demo.attn")}
    example = doctest.DocTestParser().get_doctest(EXAMPLES[name], names, name, None, 0)
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(example, out=output.append)
    assert runner.failures == 0, "".join(output)
