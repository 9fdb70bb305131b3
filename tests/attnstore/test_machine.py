"""Sizes as users write them, and the memory that control groups leave to a process."""

import os

import pytest

from attnstore.cli import main
from attnstore.errors import QueryError
from attnstore.runtime.machine import machine_memory, size_of
from tests.synthetic import random_proteins, write_store

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("4GB", 4 * 10**9), ("4GiB", 4 * 2**30), ("1.5 kib", 1536), ("2 MiB", 2**21), ("3tb", 3 * 10**12)),
        *((12, 12), ("7", 7), ("512M", 512 * 10**6), (" 1e6 kB ", 10**9), (2.5e9, 25 * 10**8)),
    ],
)
def test_sizes_are_numbers_with_units(text, size):
    assert size_of("memory_limit", text) == size


@pytest.mark.parametrize("text", ["much", "", "-1", "0", "nan", "infGB", "GB", "4XB", "1e400", "4GB5", True])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(QueryError, match="memory_limit="):
        size_of("memory_limit", text)


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("", {}, MACHINE),
        ("0::/\n", {"memory.max": "max"}, MACHINE),
        ("0::/\n", {"memory.max": "1000"}, 1000),
        ("0::/job/step\n", {"job/memory.max": "2000", "job/step/memory.max": "max"}, 2000),
        ("0::/job/step\n", {"job/memory.max": "2000", "job/step/memory.max": "1500"}, 1500),
        ("0::/of/the/host\n", {"memory.max": "3000"}, 3000),
        ("4:memory:/slurm/7\n", {"memory/slurm/7/memory.limit_in_bytes": "4000"}, 4000),
        ("4:cpu,memory:/a\n0::/\n", {"memory/memory.limit_in_bytes": "5000"}, 5000),
        ("4:memory:/\n", {"memory/memory.limit_in_bytes": str(2**63 - 4096)}, MACHINE),
        ("3:cpu:/a\n", {"a/memory.max": "6000"}, MACHINE),
        ("1:name=systemd:/a:b\n0::/c\n", {"unified/c/memory.max": "7000"}, 7000),
    ],
)
def test_the_smallest_limit_of_all_control_groups_holds(tmp_path, groups, files, limit):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, content in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content + "\n")
    assert machine_memory(tmp_path) == limit


@pytest.mark.parametrize("option", ["--memory-limit", "--disk-limit"])
def test_the_command_reads_sizes_alike(tmp_path, option, capsys):
    write_store(tmp_path / "s", random_proteins(1, [20]))
    question = ["query", str(tmp_path / "s"), "SELECT count(*) AS n FROM attention", option]
    with pytest.raises(SystemExit) as done:
        main([*question, "1GiB"])
    assert done.value.code in (None, 0)
    with pytest.raises(SystemExit) as done:
        main([*question, "GiB"])
    assert done.value.code
    assert f"{option} GiB is not a size: write e.g. {option} 4GB" in capsys.readouterr().err
