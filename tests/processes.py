"""Ingests in processes of their own, which say what they are doing and can be killed while they do it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path

#: What an ingest does, in the order in which it first does it.
STAGES = ("catalog", "forward", "codes", "marginals", "arcs", "seal", "commit")

# Imports what takes long once; then every line of input is an ingest in a forked process. It says on its own pipe what
# it begins and what it has ended, and lingers in each stage, so that a kill finds it there.
FORKER = """
import functools, json, os, random, sys, time
import torch, transformers.models.esm.modeling_esm, transformers.models.bert.modeling_bert
from attnstore.format import documents as layout, segment_writer
from attnstore.ingest import pipeline, task

def staged(owner, name, stage, pipe, linger):
    function = getattr(owner, name)
    @functools.wraps(function)
    def slow(*arguments, **options):
        os.write(pipe, f"+{stage}\\n".encode())
        time.sleep(linger / 2)
        result = function(*arguments, **options)
        time.sleep(linger / 2)
        os.write(pipe, f"-{stage}\\n".encode())
        return result
    setattr(owner, name, slow)

def run(order, pipe):
    load = pipeline.load
    def loaded(*arguments, **options):
        found = load(*arguments, **options)
        os.write(pipe, b"+loaded\\n")
        return found
    pipeline.load = loaded
    linger = order["linger"]
    staged(pipeline, "fill_catalog", "catalog", pipe, linger)
    staged(task, "compute_segment", "forward", pipe, linger)
    for name in ("codes", "marginals", "arcs"):
        staged(segment_writer, f"_write_{name}", name, pipe, linger)
    staged(segment_writer, "seal", "seal", pipe, linger)
    staged(layout.Manifest, "write", "commit", pipe, linger)
    pipeline.ingest(order["store"], order["inputs"], model=order["model"], **order["settings"])

for line in sys.stdin:
    order = json.loads(line)
    if order["do"] == "wait":
        _, status = os.waitpid(order["process"], 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        continue
    process = os.fork()
    if process == 0:
        status = 1
        try:
            run(order, os.open(order["pipe"], os.O_WRONLY))
            status = 0
        finally:
            os._exit(status)
    print(process, flush=True)
"""


class Ingest:
    """An ingest under way.

    Attributes
    ----------
    process : its id
    said : what it began (+) and ended (-), in order
    """

    def __init__(self, process: int, pipe: int) -> None:
        self.process = process
        self.said: list[str] = []
        self._pipe = pipe
        self._rest = b""
        self._ended = False

    def wait_for(self, said: str, times: int = 1) -> bool:
        """Until it has said something so many times: False if it ended before."""
        while self.said.count(said) < times and not self._ended:
            self._hear()
        return self.said.count(said) >= times

    def hear_out(self) -> None:
        """All that it said, once it has ended."""
        while not self._ended:
            self._hear()

    def under_way(self) -> set[str]:
        """The stages that it began and did not end."""
        return {stage for stage in STAGES if self.said.count(f"+{stage}") > self.said.count(f"-{stage}")}

    def _hear(self) -> None:
        ready, _, _ = select.select([self._pipe], [], [], 120)
        assert ready, "an ingest says nothing any more"
        data = os.read(self._pipe, 1 << 16)
        if not data:
            self._ended = True
            os.close(self._pipe)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.said += (line.decode() for line in lines)


class Ingests:
    """Where they are started from. `close` it at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started = 0
        self._forker = subprocess.Popen(
            [sys.executable, "-c", FORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def _order(self, **order: object) -> int:
        assert self._forker.stdin is not None
        assert self._forker.stdout is not None
        print(json.dumps(order), file=self._forker.stdin, flush=True)
        return int(self._forker.stdout.readline())

    def start(
        self, store: Path, model: Path, inputs: list[Path], *, linger: float = 0.02, **settings: object
    ) -> Ingest:
        """Begin one; it spends `linger` seconds more in each stage than that takes."""
        self._started += 1
        pipe = self._folder / f"pipe-{self._started}"
        os.mkfifo(pipe)
        process = self._order(
            do="ingest", store=str(store), model=str(model), inputs=list(map(str, inputs)), settings=settings,
            linger=linger, pipe=str(pipe),
        )  # fmt: skip
        return Ingest(process, os.open(pipe, os.O_RDONLY))

    def wait(self, ingest: Ingest) -> int:
        """Its exit status, negative for a signal; by then it has said all it had to."""
        status = self._order(do="wait", process=ingest.process)
        ingest.hear_out()
        return status

    def close(self) -> None:
        assert self._forker.stdin is not None
        assert self._forker.stdout is not None
        self._forker.stdin.close()
        self._forker.wait()
        self._forker.stdout.close()
