"""Memory and cores that this process may use, and sizes as users write them."""

import os
from pathlib import Path

from ..errors import QueryError


def machine_memory(root: Path = Path("/")) -> int:
    """Return the memory that this process may use, in bytes.

    The machine's memory, or the smallest limit of the process's control groups if that is less. The groups are those
    that ``/proc/self/cgroup`` names and the groups above them, of version 2 (``memory.max``) and version 1
    (``memory.limit_in_bytes``). dask has no such function, and that of distributed, an optional dependency, reads
    the limits of the uppermost group alone.

    Parameters
    ----------
    root : Path
        Folder that contains ``proc`` and ``sys``.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for file in _limit_files(root):
        try:
            memory = min(memory, int(file.read_text()))
        except (OSError, ValueError):  # no such group, or "max"
            continue
    return memory


def _limit_files(root: Path) -> list[Path]:
    """Files that may contain a limit, whether they exist or not."""
    mounted = root / "sys/fs/cgroup"
    # In a container the path may be that of the host, while the uppermost folder is the container's own group.
    files = [mounted / "memory.max", mounted / "memory/memory.limit_in_bytes"]
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return files
    for line in lines:  # hierarchy:controllers:/path (man 7 cgroups)
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            folders, name = [mounted, mounted / "unified"], "memory.max"
        elif "memory" in controllers.split(","):
            folders, name = [mounted / "memory"], "memory.limit_in_bytes"
        else:
            continue
        group = Path(path.lstrip("/"))
        files += [folder / above / name for folder in folders for above in (group, *group.parents)]
    return files


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def size_of(name: str, limit: int | str, least: int = 1) -> int:
    """Return the bytes that a number or a text such as '4GB' (10⁹ each) or '4GiB' (2³⁰ each) means.

    Parameters
    ----------
    name : str
        Name of the option, for the message.
    limit : int or str
        Value of the option.
    least : int, default: 1
        Smallest size accepted, in bytes.

    Raises
    ------
    QueryError
        If the value is not a size, or less than `least`.
    """
    from dask.utils import parse_bytes  # takes a while to import

    text = str(limit).strip()
    try:
        # Without a number, dask reads "GB" as 1 GB.
        size = parse_bytes(text) if any(letter.isdigit() for letter in text) else -1
    except (ValueError, OverflowError):
        size = -1
    if size < least:
        raise QueryError(f"{name}={limit!r} is not a size: write e.g. {name}='4GB'.")
    return size
