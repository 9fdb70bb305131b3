"""The site: it builds without a warning, every link leads somewhere, and no page asks for the network.

The same pages are read on code hosts, as Markdown, so their links are followed there too.
"""

import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from markdown_it.token import Token

import attnstore
import attnstore.fetch
import attnstore.ingest
import attnstore.testing
from attnstore.cli import cli

from ..queries.browser import CHROMIUM, browser

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCES = sorted(path.relative_to(DOCS) for suffix in ("md", "rst") for path in DOCS.rglob(f"*.{suffix}"))
MARKDOWN = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]

#: Attributes by which a page makes a browser fetch something of itself.
FETCHED = {
    "script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "embed": "src", "object": "data",
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", folder / "doctrees"]
    done = subprocess.run([*command, DOCS, folder / "html"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr  # noqa: PT018
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, BeautifulSoup]:
    """Every page, parsed."""
    return {path: BeautifulSoup(path.read_bytes(), "html.parser") for path in sorted(site.rglob("*.html"))}


def test_every_page_is_in_the_navigation(site, pages):
    links = {link["href"] for link in pages[site / "index.html"].select(".sidebar-tree a")}
    # The page one is on is linked as the top of itself, and is the brand besides.
    assert {path.with_suffix(".html").as_posix() for path in SOURCES} - links == {"index.html"}


def test_links_lead_somewhere(site, pages):
    ids = {path: {tag["id"] for tag in page.select("[id]")} for path, page in pages.items()}
    checked = 0
    for path, page in pages.items():
        for tag in page.select("a[href], link[href], img[src], script[src], object[data]"):
            link = urlsplit(tag.get("href") or tag.get("src") or tag.get("data"))
            if link.scheme or link.netloc:
                assert link.scheme in ("https", "data"), (path, link.geturl())
                continue
            target = (path.parent / unquote(link.path)).resolve() if link.path else path
            assert target.is_file(), (path, link.geturl())
            assert target.is_relative_to(site.resolve()), (path, link.geturl())
            # Furo's link to the top of a page needs no element.
            if link.fragment and target in ids:
                assert unquote(link.fragment) in ids[target], (path, link.geturl())
            checked += 1
    assert checked > 1000


def test_no_page_asks_for_the_network(site, pages):
    for path, page in pages.items():
        asked = [tag[FETCHED[tag.name]] for tag in page.find_all(FETCHED) if tag.get(FETCHED[tag.name])]
        asked += [tag["href"] for tag in page.select("link[href]")]
        assert asked, path
        assert [url for url in asked if urlsplit(url).netloc or urlsplit(url).scheme not in ("", "data")] == []
        styles = " ".join(tag.get_text() for tag in page.find_all("style"))
        assert not re.search(r"@import|url\(\s*[\"']?(https?:)?//", styles), path
    styles = list(site.rglob("*.css"))
    assert styles
    for path in styles:
        assert not re.search(r"@import|url\(\s*[\"']?(https?:)?//", path.read_text(encoding="utf-8")), path


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_the_window(site, width):
    with browser() as page:
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        for path in sorted(site.rglob("*.html")):
            page.open(path.as_uri())
            assert page.run("document.documentElement.scrollWidth") <= width, path


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_it_is_read_and_searched_without_a_network(site):
    with browser() as page:
        page.open((site / "index.html").as_uri())
        assert page.run("document.querySelector('h1').innerText").startswith("attnstore")
        page.open((site / "search.html").as_uri() + "?q=bootstrap")
        found = page.run(
            "new Promise(done => { const look = () => { const links = [...document.querySelectorAll('#search-results "
            "li a')]; links.length > 3 ? done(links.map(link => link.getAttribute('href'))) : setTimeout(look, 50) };"
            " look() })"
        )
        assert any(link.startswith("api/questions.html") for link in found)
        assert [url for url in page.requests() if urlsplit(url).scheme not in ("file", "data")] == []


def test_all_of_the_api_has_its_entry(pages):
    entries = {tag["id"] for page in pages.values() for tag in page.select("dt.sig[id]")}
    classes = attnstore.Store.__mro__[:-1]  # with what it holds as data
    members = [name for each in classes for name in vars(each) if not name.startswith("_")]
    assert {"align", "verify", "catalog_path"} <= set(members)
    expected = {f"attnstore.Store.{name}" for name in members}
    expected |= {f"attnstore.{name}" for name in attnstore.__all__ if not inspect.ismodule(getattr(attnstore, name))}
    for module in (attnstore.ingest, attnstore.testing, attnstore.fetch):
        expected |= {f"{module.__name__}.{name}" for name in module.__all__}
    assert expected - entries == set()
    assert [entry for entry in entries if re.search(r"\._(?!_call__$)", entry)] == []


def test_every_parameter_has_its_type_and_meaning(pages):
    """No entry of a docstring is lost on its way to the page."""
    functions = 0
    for page in pages.values():
        for entry in page.select("dl.py:is(.function, .method)"):
            told = [term for term in entry.select(":scope > dd > dl.field-list > dt") if "Parameters" in term.text]
            if not told:
                continue
            signature = entry.select_one(":scope > dt")
            names = [tag.find(class_="n").text for tag in signature.select("em.sig-param:has(> .n)")]
            documented = []
            for term in told:
                for line in term.find_next_sibling("dd").select(":scope > dl > dt"):
                    documented += line.strong.text.replace("*", "").split(", ")
                    assert line.select_one(".classifier").text, (signature["id"], line.text)
                    assert line.find_next_sibling("dd").text.strip(), (signature["id"], line.text)
            assert documented == names, signature["id"]
            functions += 1
    assert functions > 40


def tokens(path: Path) -> list[Token]:
    found: list[Token] = []
    for token in MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8")):
        found += [token, *(token.children or [])]
    return found


def anchors(path: Path) -> set[str]:
    """What code hosts call the headings of a page: lower case, without punctuation, spaces as hyphens."""
    found: dict[str, int] = {}
    stream = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
    for opening, inline in pairwise(stream):
        if opening.type == "heading_open":
            text = "".join(child.content for child in inline.children or [])
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found[slug] = found.get(slug, -1) + 1
    return {f"{slug}-{number}" if number else slug for slug, last in found.items() for number in range(last + 1)}


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_markdown_links_lead_somewhere(path):
    for token in tokens(path):
        link = urlsplit(str(token.attrs.get("href") or token.attrs.get("src") or ""))
        if link.scheme or not (link.path or link.fragment):
            continue
        target = (path.parent / unquote(link.path)).resolve() if link.path else path
        assert target.is_relative_to(ROOT), link.geturl()
        assert target.exists(), link.geturl()
        if link.fragment:
            assert unquote(link.fragment) in anchors(target), link.geturl()


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.relative_to(DOCS).as_posix())
def test_pages_are_plain_markdown(path):
    """Directives would be read as code; a table of contents is all that indexes need of them."""
    directives = {token.info for token in tokens(path) if token.type == "fence" and token.info.startswith("{")}
    allowed = {"index.md": {"{toctree}"}, "changelog.md": {"{include} ../CHANGELOG.md"}}
    assert directives <= allowed.get(path.name, set())
    assert sum(token.type == "heading_open" and token.tag == "h1" for token in tokens(path)) == (
        path.name != "changelog.md"
    )


def commands(path: Path) -> Iterator[list[str]]:
    """The words of each command in a page's code blocks."""
    for token in tokens(path):
        if token.type not in ("fence", "code_block"):
            continue
        lines = iter(token.content.splitlines())
        for line in lines:
            text = line.removeprefix("$ ")
            if not text.startswith("attnstore "):
                continue
            while True:
                try:
                    words = shlex.split(text, comments=True)
                    if not text.endswith("\\"):
                        break
                except ValueError:  # a quotation that goes on
                    pass
                text = text.removesuffix("\\") + "\n" + next(lines)
            yield words[1:]


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_have_the_options_that_pages_use(path):
    for words in commands(path):
        if words[0] == "COMMAND":
            continue
        command: click.Command = cli
        while isinstance(command, click.Group):
            assert words[0] in command.commands, words
            command = command.commands[words.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        used = {word.strip("[]").split("=")[0] for word in words if re.match(r"\[?--?[a-z]", word)}
        assert used - known == set(), (command.name, words)
