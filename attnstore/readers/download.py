"""Entries of the PDB and of UniProt, downloaded by their identifiers and kept in a cache folder."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import ssl
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO

from ..errors import SourceError, first_line
from ..runtime.durable import sync_file
from ..runtime.libraries import bar
from ..runtime.paths import CACHE_VARIABLE, cache_directory
from ..version import __version__
from .archives import ArchiveEntry, NoEntryError, UnfitError, entry_named

#: Number of attempts for failures that may pass.
_TRIES = 4
#: Seconds without data after which a connection is closed.
_TIMEOUT = 20.0
#: Seconds before the second attempt; doubled before each further one.
_FIRST_WAIT = 0.5
#: The longest pause, in seconds, that a server may ask for.
_LONGEST_WAIT = 60.0
#: Number of downloads at the same time.
_AT_ONCE = 4
#: The largest download: no reader reads a larger file as a whole.
_MOST_BYTES = 1 << 30
_BLOCK_BYTES = 1 << 16


class _PassingError(Exception):
    """A failure that another attempt may overcome; `after` is the number of seconds that the server asks to wait."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class _LastingError(Exception):
    """A failure that another attempt would not overcome."""


def fetch_files(
    identifiers: Sequence[str],
    *,
    cache: Path | None = None,
    progress: bool = False,
    wait: Callable[[float], object] | None = None,
) -> list[Path]:
    """Return files with the entries of these identifiers; those that are not in the cache are downloaded into it.

    A PDB id means the entry's mmCIF, gzip-compressed, from RCSB ("rcsb/7HVP.cif.gz" in the cache); a UniProt accession
    the entry's XML ("uniprot/P12345.xml"). Up to four are downloaded at once. A file is moved to its final path when it
    is complete and checked, so that several processes may share a cache. After a failure that may pass (no answer, a
    cut connection, HTTP 408, 429 or 5xx) there are up to three more attempts, at growing and randomly shortened
    intervals, or after the time that the server asks for.

    Parameters
    ----------
    identifiers
        PDB ids ("7HVP", "pdb_00007hvp") and UniProt accessions ("P12345"), upper or lower case; duplicates count
        once.
    cache
        The cache folder; without it, :func:`~attnstore.runtime.paths.cache_directory`.
    progress
        Draw a progress bar on standard error.
    wait
        Function to call with the seconds between two attempts; by default it sleeps.

    Returns
    -------
    list of Path
        In the order of the identifiers.

    Raises
    ------
    SourceError
        An identifier is invalid, in which case nothing was requested; an archive does not have an entry, or no longer;
        it cannot be reached, refuses, or sends something else; or the cache cannot be written.
    """
    entries = list(dict.fromkeys(entry_named(word) for word in identifiers))
    folder = cache_directory() if cache is None else cache
    places = [folder / entry.archive.folder / entry.file for entry in entries]
    missing = [(entry, place) for entry, place in zip(entries, places, strict=True) if not os.path.isfile(place)]
    if missing:
        for archive in {entry.archive for entry, _ in missing}:
            archive.address()
        _fill(missing, progress=progress, wait=wait)
    return places


def _fill(
    missing: Sequence[tuple[ArchiveEntry, Path]], *, progress: bool, wait: Callable[[float], object] | None
) -> None:
    """Download entries; those that do not exist are reported together, other failures stop the download."""
    stop = threading.Event()

    def download(entry: ArchiveEntry, place: Path) -> str | None:
        try:
            _download(entry, place, wait or stop.wait, stop)
        except NoEntryError as error:
            return str(error)
        except BaseException:
            stop.set()  # before this thread turns to the next entry
            raise
        return None

    executor = ThreadPoolExecutor(_AT_ONCE)
    try:
        tasks = [executor.submit(download, entry, place) for entry, place in missing]
        absent = []
        with bar(len(missing), "entry", shown=progress, desc="fetching") as counted:
            for task in as_completed(tasks):
                absent.append(task.result())
                counted.update()
    finally:
        stop.set()
        executor.shutdown(cancel_futures=True)
    if clauses := sorted(filter(None, absent)):
        raise SourceError(f"{'; '.join(clauses)}; correct the identifier, or leave it out.")


def _download(entry: ArchiveEntry, place: Path, wait: Callable[[float], object], stop: threading.Event) -> None:
    """Download an entry, with several attempts if they may help; `stop` ends them."""
    url = f"{entry.archive.address()}/{entry.file}"
    host = urllib.parse.urlsplit(url).hostname
    cure = f"give a local file instead, or put {place.name} into {place.parent}"
    try:
        for tries in range(1, _TRIES + 1):
            try:
                _try(entry, url, place, stop)
            except _PassingError as error:
                # The random part spreads out requests that failed together.
                backoff = _FIRST_WAIT * 2 ** (tries - 1) * random.uniform(0.5, 1)  # noqa: S311 - no secret
                pause = backoff if error.after is None else error.after
                if pause > _LONGEST_WAIT:
                    raise _LastingError(f"{error}, and it asks to be left alone for {pause:.0f} s") from error
                if tries == _TRIES:
                    raise _LastingError(f"{error}, {tries} times") from error
                wait(pause)
            else:
                return
    except UnfitError as error:
        raise SourceError(f"{host} sent {error} for {entry.identifier}, which was not kept; {cure}.") from error
    except _LastingError as error:
        raise SourceError(
            f"{entry.identifier} could not be fetched from {host} ({error}); check the network, {cure}."
        ) from error
    except OSError as error:
        raise SourceError(
            f"{place} cannot be written ({error.strerror or error}); "
            f"make room or give permission there, or set {CACHE_VARIABLE} to another folder."
        ) from error


def _try(entry: ArchiveEntry, url: str, place: Path, stop: threading.Event) -> None:
    if stop.is_set():
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    # A separate folder, in which no other process writes, on the disk of the final path.
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".") as scratch:
        part = Path(scratch, place.name)
        with open(part, "wb") as file, contextlib.closing(_blocks(entry, url)) as blocks:
            for block in blocks:
                if stop.is_set():
                    return
                file.write(block)
        entry.archive.check(part, entry.identifier)
        sync_file(part)
        os.replace(part, place)


def _blocks(entry: ArchiveEntry, url: str) -> Generator[bytes, None, None]:
    """Yield the content at an address."""
    request = urllib.request.Request(  # noqa: S310 - of Archive.address, which is http or https
        url, headers={"User-Agent": f"attnstore/{__version__}", "Accept": "application/xml, */*;q=0.5"}
    )
    size = 0
    try:
        with _opener().open(request, timeout=_TIMEOUT) as response:
            left: int | None = response.length  # None if the server does not send it
            while left != 0 and (block := response.read1(_BLOCK_BYTES)):
                size += len(block)
                left = None if left is None else left - len(block)
                if size + (left or 0) > _MOST_BYTES:
                    raise UnfitError(f"a file of more than {_MOST_BYTES >> 20} MiB")
                yield block
            if left:
                raise _PassingError(f"the connection was cut {left} bytes before the end")
    except urllib.error.HTTPError as error:
        with error:
            raise _refusal(entry, error) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise _LastingError(f"its certificate is not valid: {error.reason.verify_message}") from error
        raise _PassingError(_reason(error.reason if isinstance(error.reason, OSError) else error)) from error
    except (http.client.InvalidURL, ValueError) as error:
        raise _LastingError(f"its address is not valid: {first_line(error)}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _PassingError(_reason(error)) from error


def _refusal(entry: ArchiveEntry, error: urllib.error.HTTPError) -> Exception:
    if error.code in (404, 410):
        any_more = " any more" if error.code == 410 else ""
        return NoEntryError(f"{entry.archive.name} has no entry {entry.identifier}{any_more}")
    reason = f"HTTP {error.code} {error.reason}".strip().partition("\n")[0].rstrip(".")
    if error.code in (408, 429) or error.code >= 500:
        return _PassingError(reason, _seconds(error.headers.get("Retry-After", "")))
    return _LastingError(reason)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or first_line(error)


def _seconds(retry_after: str) -> float | None:
    """The seconds of a Retry-After header (RFC 9110, section 10.2.3), which is a number or a date."""
    if re.fullmatch(r"[0-9]{1,9}", retry_after.strip(), re.ASCII):
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only if the connection stays as secure as it was."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme not in ("https", req.type):
            raise urllib.error.HTTPError(req.full_url, code, f"redirect from {req.type} to {scheme}", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    # The default handlers use the proxies of the environment and verify certificates.
    return urllib.request.build_opener(_Redirects)
