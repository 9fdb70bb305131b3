"""Entries named on the command line are fetched, cached, read, and told apart from files; from a server of our own."""

import gzip
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import attnstore

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def server():
    """A server that holds the entry 1A8O alone; yields its address and the paths that were asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            found = "1A8O" in self.path.upper()
            content = (DATA / "structures" / "1A8O.cif.gz").read_bytes() if found else b"no such entry"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", asked
    running.shutdown()
    thread.join()
    running.server_close()


def cli(tmp_path, address, *arguments):
    environment = {"PATH": "", "ATTNSTORE_CACHE": str(tmp_path / "cache"), "ATTNSTORE_RCSB": address,
                   "ATTNSTORE_UNIPROT": address}  # fmt: skip
    command = [sys.executable, "-c", "from attnstore.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_entries_are_fetched_once_beside_files(tmp_path, server):
    address, asked = server
    fasta = tmp_path / "more.fasta"
    fasta.write_text(">other\nMKLV\n")
    done = cli(tmp_path, address, "ingest", tmp_path / "store", "--fetch", "1a8o", fasta)
    assert done.returncode == 0, done.stderr
    names = {name for (name,) in attnstore.open(tmp_path / "store").sql("SELECT id FROM proteins").fetchall()}
    assert names == {"1A8O_A", "other"}
    assert len(asked) == 1
    again = cli(tmp_path, address, "annotate", tmp_path / "store", "--fetch", "1A8O")
    assert again.returncode == 0, again.stderr
    assert len(asked) == 1
    kept = gzip.decompress((tmp_path / "cache" / "rcsb" / "1A8O.cif.gz").read_bytes())
    assert kept == gzip.decompress((DATA / "structures" / "1A8O.cif.gz").read_bytes())


@pytest.mark.parametrize(
    ("word", "message"),
    [("9ZZZ", "has no entry 9ZZZ"), ("nope.fasta", "nope.fasta"), ("1A8O_A", "1A8O")],
)
def test_what_cannot_be_fetched_is_said_in_a_sentence_and_no_store_is_made(tmp_path, server, word, message):
    done = cli(tmp_path, server[0], "ingest", tmp_path / "store", "--fetch", word)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "store").exists()


def test_without_the_flag_an_input_is_a_file(tmp_path, server):
    done = cli(tmp_path, server[0], "ingest", tmp_path / "store", "1A8O")
    assert "1A8O does not exist" in done.stderr
    assert server[1] == []


def test_without_a_network_the_cure_is_said(tmp_path):
    done = cli(tmp_path, "http://127.0.0.1:9", "ingest", tmp_path / "store", "--fetch", "1A8O")
    assert done.returncode == 1
    assert "127.0.0.1" in done.stderr
    assert len(done.stderr.splitlines()) == 1
