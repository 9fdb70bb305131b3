"""Fetching entries by identifier, from an HTTP server in this process."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attnstore.errors import SourceError
from attnstore.readers import archives, download
from attnstore.readers.download import fetch_files
from attnstore.runtime.paths import CACHE_VARIABLE

CIF = b"data_7HVP\n#\n_entry.id 7HVP\n" + b"ATOM 1 N PRO\n" * 2000
PACKED = gzip.compress(CIF, mtime=0)
XML = b"""<?xml version="1.0" encoding="UTF-8"?>
<uniprot xmlns="https://uniprot.org/uniprot">
<entry dataset="Swiss-Prot"><accession>P12345</accession><accession>G1SKL2</accession><name>AATM_RABIT</name>
<comment><isoform><id>P12345-1</id><sequence type="displayed"/></isoform></comment>
<sequence length="6" version="2">MALLHS</sequence></entry>
</uniprot>"""
WITHOUT_SEQUENCE = b'<uniprot xmlns="http://uniprot.org/uniprot"></uniprot>'
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in to the guest network</body></html>"

Answer = Callable[[BaseHTTPRequestHandler], None]


def sent(body: bytes, status: int = 200, **headers: str) -> Answer:
    """An answer with its length declared, unless the headers declare another one."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"content_length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def undeclared(body: bytes) -> Answer:
    """An answer whose end is the connection's."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return answer


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


class Server:
    """Answers each path with its answers, one after the other, the last one for ever; 404 where there is none."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.asked: dict[str, int] = defaultdict(int)
        self.headers: list[HTTPMessage] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.headers.append(self.headers)
                number = outer.asked[self.path]
                outer.asked[self.path] += 1
                answers = outer.answers.get(self.path, [sent(b"not here", 404)])
                answers[min(number, len(answers) - 1)](self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def secure(self, certificate: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.address = self.address.replace("http:", "https:")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    monkeypatch.setenv("ATTNSTORE_RCSB", f"{server.address}/download")
    monkeypatch.setenv("ATTNSTORE_UNIPROT", f"{server.address}/uniprotkb/")
    monkeypatch.setenv("no_proxy", "*")
    yield server
    server.close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def get(tmp_path: Path, waits: list[float]) -> Callable[..., list[Path]]:
    """Fetch into a cache of the test's own, without sleeping."""
    return lambda *identifiers: fetch_files(identifiers, cache=tmp_path / "cache", wait=waits.append)


def kept(tmp_path: Path) -> list[str]:
    """Every file and unfinished folder in the cache."""
    folders = ("cache", "cache/rcsb", "cache/uniprot")
    return sorted(str(path.relative_to(tmp_path / "cache")) for path in (tmp_path / "cache").rglob("*")
                  if str(path.relative_to(tmp_path)) not in folders)  # fmt: skip


RCSB, UNIPROT = "/download/7HVP.cif.gz", "/uniprotkb/P12345.xml"


def test_entries_come_from_their_archives_in_the_given_order(server, get, tmp_path):
    server.answers = {RCSB: [sent(PACKED)], UNIPROT: [sent(XML)], "/download/pdb_00012abc.cif.gz": [
        sent(gzip.compress(b"# a comment\n\ndata_PDB_00012ABC\n"))]}  # fmt: skip
    found = get("p12345", "7hvp", "PDB_00012ABC")
    cache = tmp_path / "cache"
    assert found == [cache / "uniprot/P12345.xml", cache / "rcsb/7HVP.cif.gz", cache / "rcsb/pdb_00012abc.cif.gz"]
    assert [path.read_bytes() for path in found[:2]] == [XML, PACKED]
    assert kept(tmp_path) == ["rcsb/7HVP.cif.gz", "rcsb/pdb_00012abc.cif.gz", "uniprot/P12345.xml"]
    assert all(headers["User-Agent"].startswith("attnstore/") for headers in server.headers)


def test_one_entry_under_several_names_is_one_file(server, get):
    server.answers[RCSB] = [sent(PACKED)]
    assert len(get("7hvp", "7HVP", " 7hvP ", "pdb_00007hvp", "PDB_00007HVP")) == 1
    assert server.asked == {RCSB: 1}


def test_an_entry_named_by_its_extended_id_inside_is_the_same_entry(server, get):
    server.answers[RCSB] = [sent(gzip.compress(b"data_pdb_00007hvp\n"))]
    assert get("7HVP")


def test_what_is_in_the_cache_is_not_asked_for(server, get, tmp_path, monkeypatch):
    server.answers[RCSB] = [sent(PACKED)]
    first = get("7HVP")
    assert get("7hvp") == first
    assert server.asked == {RCSB: 1}
    monkeypatch.setenv("ATTNSTORE_RCSB", "ftp://nowhere")  # which nobody looks at
    assert get("7hvp") == first


def test_the_cache_is_below_the_cache_folder(server, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    server.answers[UNIPROT] = [sent(XML)]
    assert fetch_files(["P12345"]) == [tmp_path / "uniprot" / "P12345.xml"]


def test_nothing_to_fetch(get, tmp_path):
    assert get() == []
    assert not (tmp_path / "cache").exists()


def test_a_fetched_file_may_be_read_by_whom_other_files_may(server, get, tmp_path):
    server.answers[RCSB] = [sent(PACKED)]
    (path,) = get("7HVP")
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize(("asked", "shown"), [(True, "2/2"), (False, "")])
def test_progress_is_drawn_on_standard_error_where_asked_for(server, tmp_path, capsys, asked, shown):
    server.answers = {RCSB: [sent(PACKED)], UNIPROT: [sent(XML)]}
    fetch_files(["7HVP", "P12345"], cache=tmp_path, progress=asked)
    out, err = capsys.readouterr()
    assert out == ""
    assert shown in err
    assert bool(err) == asked


# What does not exist


def test_entries_that_do_not_exist_are_named_together_and_the_others_kept(server, get, tmp_path, waits):
    server.answers = {RCSB: [sent(PACKED)], "/download/1ZZZ.cif.gz": [sent(b"", 410)]}
    with pytest.raises(SourceError) as caught:
        get("9ZZZ", "7HVP", "Q99999", "1ZZZ")
    assert str(caught.value) == (
        "RCSB has no entry 1ZZZ any more; RCSB has no entry 9ZZZ; UniProt has no entry Q99999; "
        "correct the identifier, or leave it out."
    )
    assert kept(tmp_path) == ["rcsb/7HVP.cif.gz"]
    assert set(server.asked.values()) == {1}
    assert not waits


def test_an_accession_that_was_merged_is_refused_with_its_successor(server, get, tmp_path):
    server.answers = {
        "/uniprotkb/G1SKL2.xml": [sent(b"", 303, location="/uniprotkb/P12345.xml?from=G1SKL2")],
        "/uniprotkb/P12345.xml?from=G1SKL2": [sent(XML)],
    }
    with pytest.raises(SourceError, match=r"^G1SKL2 is an obsolete accession of what UniProt now has as P12345; "):
        get("G1SKL2")
    assert kept(tmp_path) == []


def test_an_entry_without_a_sequence_is_obsolete(server, get, tmp_path):
    server.answers[UNIPROT] = [sent(WITHOUT_SEQUENCE)]
    with pytest.raises(SourceError, match=r"^UniProt's entry P12345 is obsolete and has no sequence any more; "):
        get("P12345")
    assert kept(tmp_path) == []


# Failures that may pass


def test_a_server_s_error_is_followed_by_further_tries_at_growing_intervals(server, get, waits):
    server.answers[RCSB] = [sent(b"", 500), sent(b"", 502), sent(b"", 503), sent(PACKED)]
    assert get("7HVP")[0].read_bytes() == PACKED
    assert all(0.25 * 2**number <= wait <= 0.5 * 2**number for number, wait in enumerate(waits))
    assert len(waits) == 3


def test_intervals_differ_from_run_to_run(server, get, waits):
    server.answers[RCSB] = [sent(b"", 500)]
    for _ in range(4):
        with pytest.raises(SourceError):
            get("7HVP")
    assert len(set(waits[::3])) > 1


def test_a_lasting_error_of_the_server_is_told_after_four_tries(server, get, tmp_path):
    server.answers[RCSB] = [sent(b"", 500)]
    with pytest.raises(SourceError) as caught:
        get("7HVP")
    cache = tmp_path / "cache" / "rcsb"
    assert str(caught.value) == (
        "7HVP could not be fetched from 127.0.0.1 (HTTP 500 Internal Server Error, 4 times); "
        f"check the network, give a local file instead, or put 7HVP.cif.gz into {cache}."
    )
    assert server.asked == {RCSB: 4}
    assert kept(tmp_path) == []


@pytest.mark.parametrize("status", [429, 503])
def test_the_time_that_a_server_asks_for_is_waited(server, get, waits, status):
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    past = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    server.answers[RCSB] = [*(sent(b"", status, retry_after=after) for after in ("7", soon, past)), sent(PACKED)]
    get("7HVP")
    assert waits[0] == 7
    assert 0 < waits[1] <= 30
    assert waits[2] == 0


@pytest.mark.parametrize("after", ["soon", "-5", "1e3", "", "١", "Wed, 99 Foo 2026"])
def test_a_time_that_is_none_is_as_none_given(server, get, waits, after):
    server.answers[RCSB] = [sent(b"", 429, retry_after=after.encode().decode("latin-1")), sent(PACKED)]
    get("7HVP")
    assert 0.25 <= waits[0] <= 0.5


def test_a_server_that_wants_long_rest_is_left_alone(server, get, waits):
    server.answers[RCSB] = [sent(b"", 429, retry_after="3600")]
    with pytest.raises(SourceError, match=r"HTTP 429 Too Many Requests, and it asks to be left alone for 3600 s"):
        get("7HVP")
    assert server.asked == {RCSB: 1}
    assert not waits


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(hang_up, id="no answer"),
        pytest.param(sent(PACKED[:50], content_length=str(len(PACKED)), connection="close"), id="cut"),
        pytest.param(sent(b"ffff\r\nshort", transfer_encoding="chunked", connection="close"), id="cut within a chunk"),
    ],
)
def test_a_cut_connection_is_tried_again(server, get, waits, failure):
    def cut(handler: BaseHTTPRequestHandler) -> None:
        failure(handler)
        handler.close_connection = True

    server.answers[RCSB] = [cut, sent(PACKED)]
    assert get("7HVP")[0].read_bytes() == PACKED
    assert len(waits) == 1


def test_a_connection_that_is_always_cut_is_told_of(server, get, tmp_path):
    def cut(handler: BaseHTTPRequestHandler) -> None:
        sent(PACKED[:50], content_length=str(len(PACKED)))(handler)
        handler.close_connection = True

    server.answers[RCSB] = [cut]
    with pytest.raises(SourceError, match=rf"cut {len(PACKED) - 50} bytes before the end, 4 times"):
        get("7HVP")
    assert kept(tmp_path) == []


def test_silence_is_a_failure_that_may_pass(server, get, waits, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT", 0.05)
    over = threading.Event()
    server.answers[RCSB] = [lambda _: over.wait(60), sent(PACKED)]  # type: ignore[list-item]
    try:
        assert get("7HVP")
    finally:
        over.set()
    assert len(waits) == 1


def test_where_nobody_answers_the_host_the_reason_and_the_cure_are_told(server, get, tmp_path, waits):
    server.close()
    with pytest.raises(SourceError) as caught:
        get("7HVP")
    assert str(caught.value) == (
        "7HVP could not be fetched from 127.0.0.1 (Connection refused, 4 times); check the network, "
        f"give a local file instead, or put 7HVP.cif.gz into {tmp_path / 'cache' / 'rcsb'}."
    )
    assert len(waits) == 3


def test_a_file_put_where_the_message_says_is_found(server, get, tmp_path):
    server.close()
    with pytest.raises(SourceError):
        get("7HVP")
    place = tmp_path / "cache" / "rcsb" / "7HVP.cif.gz"
    place.write_bytes(PACKED)
    assert get("7HVP") == [place]


# Failures that last


@pytest.mark.parametrize("status", [400, 401, 403, 451])
def test_a_refusal_is_not_asked_again(server, get, waits, status):
    server.answers[RCSB] = [sent(b"", status)]
    with pytest.raises(SourceError, match=rf"7HVP could not be fetched from 127.0.0.1 \(HTTP {status} "):
        get("7HVP")
    assert server.asked == {RCSB: 1}
    assert not waits


def test_a_refusal_ends_what_else_is_under_way(server, tmp_path):
    """Without sleeping through the fifty seconds that the others are to wait."""
    waiting = threading.Barrier(4)

    def wait_for_three(status: int) -> Answer:
        def answer(handler: BaseHTTPRequestHandler) -> None:
            waiting.wait(30)
            sent(b"", status, retry_after="50")(handler)

        return answer

    server.answers = {f"/download/{n}ABC.cif.gz": [wait_for_three(403 if n == 1 else 503)] for n in range(1, 9)}
    with pytest.raises(SourceError, match="1ABC could not be fetched"):
        fetch_files([f"{n}ABC" for n in range(1, 9)], cache=tmp_path)
    assert server.asked == {f"/download/{n}ABC.cif.gz": 1 for n in range(1, 5)}


def test_redirects_are_followed(server, get):
    server.answers = {RCSB: [sent(b"", 302, location="/elsewhere")], "/elsewhere": [sent(PACKED)]}
    assert get("7HVP")[0].read_bytes() == PACKED


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (RCSB, "infinite loop"),
        ("ftp://127.0.0.1/x", "HTTP 302 redirect from http to ftp"),
        ("file:///etc/passwd", "HTTP 302"),
        ("http://[broken", "its address is not valid"),
        ("http://a..b/", "could not be fetched"),
    ],
)
def test_redirects_that_lead_nowhere_good_are_refused(server, get, tmp_path, waits, target, words):
    server.answers[RCSB] = [sent(b"", 302, location=target)]
    with pytest.raises(SourceError) as caught:
        get("7HVP")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert kept(tmp_path) == []
    assert not waits


@pytest.mark.parametrize(
    ("start", "end", "followed"),
    [("https", "https", True), ("http", "https", True), ("http", "http", True), ("https", "http", False)],
)
def test_a_redirect_never_leaves_a_secure_connection(start, end, followed):
    handler = download._Redirects()
    request = urllib.request.Request(f"{start}://a.example/x")
    arguments = (request, BytesIO(), 302, "Found", HTTPMessage(), f"{end}://b.example/y")
    if followed:
        assert handler.redirect_request(*arguments).full_url == f"{end}://b.example/y"
    else:
        with pytest.raises(urllib.error.HTTPError, match="from https to http"):
            handler.redirect_request(*arguments)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_server_must_prove_who_it_is(server, get, tmp_path, waits, monkeypatch):
    certificate = tmp_path / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(certificate), "-out", str(tmp_path / "one.pem")]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    certificate.write_text(certificate.read_text() + (tmp_path / "one.pem").read_text())
    server.secure(certificate)
    server.answers[RCSB] = [sent(PACKED)]
    monkeypatch.setenv("ATTNSTORE_RCSB", f"{server.address}/download")
    with pytest.raises(SourceError, match=r"127.0.0.1 \(its certificate is not valid: self.signed certificate"):
        get("7HVP")
    assert not waits
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "one.pem"))
    assert get("7HVP")


# Wrong content


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (RCSB, PAGE, "sent no whole gzip file but a web page, as of a proxy or a login, for 7HVP"),
        (RCSB, CIF, "sent no whole gzip file for 7HVP"),
        (RCSB, b"", "sent no whole gzip file for 7HVP"),
        (RCSB, PACKED[:-9], "sent no whole gzip file"),
        (RCSB, PACKED[:-8] + b"\0" * 8, "sent no whole gzip file"),
        (RCSB, PACKED + b"more", "sent no whole gzip file"),
        (RCSB, gzip.compress(CIF.replace(b"data_7HVP", b"data_1HVP"), mtime=0), "sent the entry 1HVP for 7HVP"),
        (RCSB, gzip.compress(b"data_", mtime=0), "sent a gzip file with no mmCIF in it"),
        (RCSB, gzip.compress(PAGE, mtime=0), "sent a gzip file with no mmCIF in it"),
        (RCSB, gzip.compress(CIF + bytes(70 << 20), mtime=0), "sent no whole gzip file"),
        (UNIPROT, PAGE, "sent no whole UniProt XML but a web page, as of a proxy or a login, for P12345"),
        (UNIPROT, b"<html><p>proxy</p></html>", "sent no whole UniProt XML but a web page"),
        (UNIPROT, b"<rss/>", "sent no whole UniProt XML for"),
        (UNIPROT, b"", "sent an empty file, as it may for an obsolete entry, for P12345"),
        (UNIPROT, XML[:-1], "sent no whole UniProt XML for"),
        (UNIPROT, gzip.compress(XML, mtime=0), "sent no whole UniProt XML for"),
        (UNIPROT, XML.replace(b"UTF-8", b"none"), "sent no whole UniProt XML for"),
        (UNIPROT, XML.replace(b">P12345<", b">P99999<"), "sent the entry P99999 for P12345"),
        (UNIPROT, b'{"entryType": "Inactive"}', "sent no whole UniProt XML for"),
    ],
)  # fmt: skip
def test_what_is_not_the_entry_is_refused_and_not_kept(server, get, tmp_path, waits, path, body, words):
    server.answers[path] = [sent(body)]
    with pytest.raises(SourceError) as caught:
        get(path.split("/")[-1].split(".")[0])
    assert f"127.0.0.1 {words}" in str(caught.value)
    assert f"not kept; give a local file instead, or put {path.split('/')[-1]} into {tmp_path}" in str(caught.value)
    assert kept(tmp_path) == []
    assert not waits


def test_entities_that_multiply_are_refused(server, get):
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    document = "<uniprot><entry><sequence>&e9;</sequence></entry></uniprot>"
    bomb = f'<!DOCTYPE x [<!ENTITY e0 "{"A" * 100}">{entities}]>{document}'
    server.answers[UNIPROT] = [sent(bomb.encode())]
    with pytest.raises(SourceError, match="sent no whole UniProt XML"):
        get("P12345")


@pytest.mark.parametrize("answer", [sent, undeclared])
def test_what_is_too_large_is_refused_and_not_kept(server, get, tmp_path, monkeypatch, answer):
    monkeypatch.setattr(download, "_MOST_BYTES", 1 << 20)
    server.answers[RCSB] = [answer(gzip.compress(bytes(1 << 20) + CIF, compresslevel=0))]
    with pytest.raises(SourceError, match="sent a file of more than 1 MiB for 7HVP, which was not kept"):
        get("7HVP")
    assert kept(tmp_path) == []


def test_a_size_that_is_not_declared_is_no_hindrance(server, get):
    server.answers[RCSB] = [undeclared(PACKED)]
    assert get("7HVP")[0].read_bytes() == PACKED


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(data=st.data())
def test_no_damage_makes_a_check_fail_otherwise(tmp_path, data):
    archive, identifier, whole = data.draw(
        st.sampled_from([(archives.ARCHIVES[0], "7HVP", PACKED), (archives.ARCHIVES[1], "P12345", XML)])
    )
    damaged = bytearray(whole)
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(0, len(whole))) :]
    path = tmp_path / "damaged"
    path.write_bytes(damaged)
    with contextlib.suppress(archives.UnfitError, archives.NoEntryError):
        archive.check(path, identifier)
        # A gzip's checksum notices everything but what its header holds, such as the time; XML has none.
        assert archive.name == "UniProt" or damaged[10:] == whole[10:]


# Identifiers and settings


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("7HVP_A", "nearest to it is 7HVP"),
        ("7hvp.cif.gz", "nearest to it is 7HVP"),
        ("7HVP,2KC7", "nearest to it is 7HVP 2KC7"),
        ("PDB:7hvp", "nearest to it is 7HVP"),
        ("pdb_00007hvp-assembly1", "nearest to it is 7HVP"),
        ("P12345-2", "nearest to it is P12345"),
        ("AF-P12345-F1-model_v4", "nearest to it is P12345"),
        ("sp|P12345|AATM_RABIT", "nearest to it is P12345"),
        ("3BP1_HUMAN", "entry name"),
        ("AATM_RABIT", "entry name"),
        ("hvp7", "four characters, the first a digit"),
        ("0HVP", "four characters"),
        ("7HVPP", "four characters"),
        ("PS2345", "six or ten"),
        ("pdb_7hvp", "nearest to it is 7HVP"),
        ("UPI0000000001", "six or ten"),
        ("ſHVP", "six or ten"),
        ("٧HVP", "six or ten"),
        ("", "six or ten"),
        ("../7HVP", "nearest to it is 7HVP"),
        ("x\0y", "six or ten"),
    ],
)
def test_what_is_no_identifier_is_refused_before_anything_is_asked_for(server, get, word, hint):
    server.answers[RCSB] = [sent(PACKED)]
    with pytest.raises(SourceError) as caught:
        get("7HVP", word)
    assert str(caught.value).startswith(f"{word!r} is neither a PDB id")
    assert hint in str(caught.value)
    assert not server.asked


def test_a_file_given_as_an_identifier_is_told_to_be_one(get, tmp_path):
    path = tmp_path / "7HVP.cif"
    path.write_bytes(CIF)
    with pytest.raises(SourceError, match="it is a file or folder here: give it as an input"):
        get(str(path))


# Of https://www.uniprot.org/help/accession_numbers, but the last two, of the rules there.
@pytest.mark.parametrize("accession", ["A2BC19", "P12345", "A0A023GPI8", "Q9H9K5", "O12345", "Z9ZZZ9ZZZ9"])
def test_accessions_of_both_lengths_are_known(accession):
    found = archives.entry_named(accession.lower())
    assert (found.archive.name, found.identifier) == ("UniProt", accession)


@settings(deadline=None)
@given(st.text("0123456789ABCOPQZaz_", max_size=12))
def test_an_identifier_is_spelled_in_one_way(word):
    found = [(archive.name, archive.spelled(word)) for archive in archives.ARCHIVES if archive.spelled(word)]
    assert len(found) <= 1
    for name, spelled in found:
        assert spelled.lower() == word.lower() or (name == "RCSB" and f"pdb_0000{spelled}".lower() == word.lower())
        assert archives.entry_named(spelled).identifier == spelled


@pytest.mark.parametrize(
    "address", ["ftp://host/x", "host/x", "https://", "http://host:99999", "http://[x", "file:///x"]
)
def test_an_address_that_is_none_is_refused_before_anything_is_asked_for(server, get, monkeypatch, address):
    server.answers[UNIPROT] = [sent(XML)]
    monkeypatch.setenv("ATTNSTORE_RCSB", address)
    with pytest.raises(SourceError) as caught:
        get("P12345", "7HVP")
    assert str(caught.value) == (
        f"ATTNSTORE_RCSB is {address!r}, which is not an http or https address; correct or unset it."
    )
    assert not server.asked


@pytest.mark.parametrize("address", ["http://a host/x", "http://a..b/x", "http://127.0.0.1:1/ü"])
def test_an_address_that_cannot_be_asked_is_refused(get, monkeypatch, waits, address):
    monkeypatch.setenv("ATTNSTORE_RCSB", address)
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(SourceError, match=r"7HVP could not be fetched .*its address is not valid"):
        get("7HVP")
    assert not waits


# The cache


def test_a_cache_that_cannot_be_written_is_told_of(server, get, tmp_path):
    server.answers[RCSB] = [sent(PACKED)]
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(SourceError, match=r"7HVP.cif.gz cannot be written \(.*\); .* set ATTNSTORE_CACHE"):
        get("7HVP")
    assert not server.asked


FETCH = """
import sys
from pathlib import Path
from attnstore.readers.download import fetch_files
from attnstore.runtime.paths import CACHE_VARIABLE
(path,) = fetch_files(["7HVP"], cache=Path(sys.argv[1]))
sys.stdout.buffer.write(path.read_bytes())
"""


def test_two_processes_may_fetch_the_same_at_once(server, tmp_path):
    both = threading.Barrier(2)

    def in_step(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(PACKED)))
        handler.end_headers()
        handler.wfile.write(PACKED[:60])
        both.wait(60)  # each has the first half before either gets the second
        handler.wfile.write(PACKED[60:])

    server.answers[RCSB] = [in_step]
    command = [sys.executable, "-c", FETCH, str(tmp_path / "cache")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[0] for process in running] == [PACKED, PACKED]
    assert server.asked == {RCSB: 2}
    assert kept(tmp_path) == ["rcsb/7HVP.cif.gz"]
