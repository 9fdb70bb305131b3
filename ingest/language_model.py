"""Loading a protein language model, and proving that what is captured from it is its attention."""

import contextlib
import hashlib
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from ..errors import ModelError, first_line
from .capture import IMPLEMENTATION, Sink, capture
from .tokens import PROBE, ResidueTokens, residue_tokens

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)

#: Parameters that no attention weight depends on; checkpoints of other heads lack them.
_UNUSED = ("pooler.", "contact_head.", "lm_head.")

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A model ready to be read.

    Attributes
    ----------
    module : the transformers model, on its device, in evaluation mode
    tokens : how residues become tokens
    source : hub id or path it came from
    weights_sha256 : digest of every parameter's name, shape, type and bytes as loaded
    layers, heads : numbers of them
    max_residues : the most residues the model takes, None where it has no limit
    device : where it runs
    precision : of its matrix products
    check : largest difference between captured weights and the model's own, on a probe
    """

    module: Any
    tokens: ResidueTokens
    source: str
    weights_sha256: str
    layers: int
    heads: int
    max_residues: int | None
    device: torch.device
    precision: str
    check: float

    @property
    def architecture(self) -> str:
        """Class name of the model."""
        return type(self.module).__name__

    def forward(self, batch: Sequence[Sequence[int]], sink: Sink) -> npt.NDArray[np.int64]:
        """Run a batch and hand each layer's attention to the sink.

        Parameters
        ----------
        batch : residue tokens of each protein, without special tokens
        sink : see :func:`~attnstore.ingest.capture.capture`

        Returns
        -------
        int64 [batch]
            Token position of each protein's first residue.
        """
        inputs = pad_batch(self.tokens, batch, self.device)
        with torch.inference_mode(), capture(sink) as calls:
            self.module(**inputs)
        if calls.layers != self.layers:
            raise ModelError(
                f"{self.architecture} handed over {calls.layers} layers of attention where it has {self.layers}: "
                "it does not dispatch through transformers' attention interface."
            )
        return np.full(len(batch), len(self.tokens.prefix), np.int64)


def pad_batch(tokens: ResidueTokens, batch: Sequence[Sequence[int]], device: torch.device) -> dict[str, torch.Tensor]:
    """Token ids and mask of a batch, padded on the right; int64 [batch, tokens]."""
    rows = [[*tokens.prefix, *residues, *tokens.suffix] for residues in batch]
    width = max(map(len, rows))
    ids = torch.tensor([row + [tokens.pad] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


def choose_device(device: str) -> torch.device:
    """'auto' is the first GPU if there is one, else the CPU; raises ModelError for one that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {device!r} cannot be used here: {first_line(error)}") from None
    return chosen


def choose_precision(precision: str, device: torch.device) -> str:
    """'auto' is bfloat16 on a GPU and float32 on a CPU; raises ModelError for an unknown one."""
    if precision == "auto":
        return "bfloat16" if device.type == "cuda" else "float32"
    if precision not in _PRECISIONS:
        raise ModelError(f"precision {precision!r} is not one of auto, {', '.join(_PRECISIONS)}.")
    return precision


def load(source: str, *, device: str = "auto", precision: str = "auto") -> LanguageModel:
    """Load an encoder by hub id or from a local folder.

    Parameters
    ----------
    source : id or folder
    device : 'auto', 'cpu', 'cuda', 'cuda:1', …
    precision : 'auto', 'float32', 'bfloat16' or 'float16'

    Raises
    ------
    ModelError
        If it cannot be loaded, lacks weights, has no residue-level tokens, or does not hand over its attention.
    """
    where = choose_device(device)
    chosen = choose_precision(precision, where)
    _check_folder(source)
    with _quiet():
        try:
            module, loaded = transformers.AutoModel.from_pretrained(
                source, dtype=torch.float32, output_loading_info=True, trust_remote_code=False
            )
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        except Exception as error:
            raise ModelError(f"model {source} cannot be loaded: {first_line(error)}") from error
    missing = sorted(key for key in loaded["missing_keys"] if not key.startswith(_UNUSED))
    if missing:
        raise ModelError(
            f"model {source} lacks weights for {len(missing)} of its parameters (first: {missing[0]}): "
            "its attention would be random."
        )
    tokens = residue_tokens(tokenizer, source)
    digest = weights_digest(module, without=loaded["missing_keys"])
    module.eval()
    check = _check_capture(module, tokens)
    module.to(device=where, dtype=_PRECISIONS[chosen])
    config = module.config
    return LanguageModel(
        module=module,
        tokens=tokens,
        source=source,
        weights_sha256=digest,
        layers=int(config.num_hidden_layers),
        heads=int(config.num_attention_heads),
        max_residues=_limit(config, tokens),
        device=where,
        precision=chosen,
        check=check,
    )


def weights_digest(module: torch.nn.Module, without: Collection[str] = ()) -> str:
    """SHA-256 over name, shape, type and bytes of every parameter and buffer, in order of name.

    Those the checkpoint lacks are left out: they are drawn anew at every load, and no attention depends on them.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if name in without:
            continue
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if tensor.ndim else b"")
    return digest.hexdigest()


def _check_folder(source: str) -> None:
    folder = Path(source)
    if folder.is_dir():
        if not (folder / "config.json").exists():
            raise ModelError(f"model folder {source} has no config.json: give the folder that transformers saved.")
        if not any((folder / name).exists() for name in _WEIGHTS):
            raise ModelError(f"model folder {source} has no weights: it needs one of {', '.join(_WEIGHTS)}.")
    elif folder.exists():
        raise ModelError(f"model {source} is a file: give a hub id or the folder that holds the model.")
    elif source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise ModelError(f"model folder {source} does not exist.")


def _check_capture(module: Any, tokens: ResidueTokens) -> float:
    """Compare captured attention with the model's own `output_attentions`, eager, in float32, with padding.

    Returns the largest difference; above 1e-4 something else than this model's attention was caught.
    """
    sequences = [PROBE[:48], PROBE[48:80]]
    batch = [[tokens.ids[letter] for letter in sequence] for sequence in sequences]
    inputs = pad_batch(tokens, batch, torch.device("cpu"))
    caught: list[torch.Tensor] = []
    name = type(module).__name__
    try:
        with torch.inference_mode():
            module.set_attn_implementation("eager")
            own = module(**inputs, output_attentions=True).attentions
            module.set_attn_implementation(IMPLEMENTATION)
            with capture(lambda _, weights: caught.append(weights.clone())):
                module(**inputs)
    except (ValueError, TypeError, AttributeError, NotImplementedError) as error:
        raise ModelError(f"{name} does not hand over its attention: {first_line(error)}") from error
    if not own or len(caught) != len(own):
        raise ModelError(
            f"{name} handed over {len(caught)} layers of attention where it has {len(own or ())}: "
            "it does not dispatch through transformers' attention interface."
        )
    length = [len(tokens.prefix) + len(sequence) + len(tokens.suffix) for sequence in sequences]
    differences = [
        float((a[b, :, :n, :n] - c[b, :, :n, :n]).abs().max())
        for a, c in zip(own, caught, strict=True)
        for b, n in enumerate(length)
    ]
    layer = next((index // len(length) for index, value in enumerate(differences) if math.isnan(value)), None)
    if layer is not None:
        raise ModelError(f"{name}: the attention of layer {layer} is NaN on a probe of ordinary residues.")
    worst = max(differences)
    if not worst < 1e-4:
        raise ModelError(f"{name}: captured attention differs from the model's own by up to {worst:.2g}.")
    if all(float(weights.triu(1).sum()) == 0 for weights in own):
        raise ModelError(f"{name} is causal: half of its pairs cannot be attended to, and would count as unattended.")
    return worst


def _limit(config: Any, tokens: ResidueTokens) -> int | None:
    """Most residues that fit the positions and the tokenizer's own limit."""
    special = len(tokens.prefix) + len(tokens.suffix)
    limits = []
    if tokens.tokenizer.model_max_length < 10**6:
        limits.append(tokens.tokenizer.model_max_length)
    positions = getattr(config, "max_position_embeddings", None)
    if positions:
        # RoBERTa's kind counts positions from the one after the padding token's.
        offset = config.pad_token_id + 1 if config.model_type in ("esm", "roberta", "xlm-roberta", "camembert") else 0
        limits.append(positions - offset)
    return min(limits) - special if limits else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' report and bar: what matters of them is checked here, and said in one sentence."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
