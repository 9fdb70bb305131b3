"""Loading a protein language model, and verifying that the captured attention is its own."""

import contextlib
import hashlib
import os
import pickle
import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from logging import ERROR
from typing import Any

import huggingface_hub
import torch
import transformers

from ...errors import ModelError, first_line
from .architectures import ARCHITECTURES, Architecture
from .capture import Collected, Receiver, Spans, capture
from .model_config import read_config
from .model_folder import check_model_folder, without_tokenizer
from .tokens import PROBE, ResidueTokens, residue_tokens

#: Parameters that no attention weight depends on; checkpoints with other heads lack them.
_UNUSED = ("pooler.", "contact_head.", "lm_head.")
#: The number of a layer in the name of a parameter.
_LAYER = re.compile(r"\.\d+\.")

#: The process that imported this module, and torch with it.
_PROCESS = os.getpid()

_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A loaded model.

    Attributes
    ----------
    module : the transformers model, on its device, in evaluation mode
    tokens : use of its tokenizer
    source : hub id or path from which it was loaded
    weights_sha256 : digest of every parameter's name, shape, type and bytes as loaded
    layers, heads : numbers of them
    max_residues : the most residues the model takes, None where it has no limit
    causal : whether a residue attends to none after it, as seen on a probe
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
    causal: bool
    device: torch.device
    precision: str
    check: float

    @property
    def architecture(self) -> str:
        """Class name of the model."""
        return type(self.module).__name__

    def forward(
        self, batch: Sequence[Sequence[int]], receiver: Receiver, *, hidden: bool = False
    ) -> list[torch.Tensor] | None:
        """Run a batch and hand each layer's attention to a receiver.

        Parameters
        ----------
        batch : residue tokens of each protein, without special tokens
        receiver : see :class:`~attnstore.ingest.model.capture.Receiver`
        hidden : whether to return the output of each layer for the residues

        Returns
        -------
        list of torch.Tensor, or None
            For each protein [layers + 1, residues, width], on the device, in the model's precision: the embeddings,
            then each layer's output; the last after the final normalisation, if the model has one.
        """
        inputs = pad_batch(self.tokens, batch, self.device)
        spans = spans_of(self.tokens, batch)
        with torch.inference_mode(), capture(receiver, spans) as calls:
            output = self.module(**inputs, output_hidden_states=hidden)
        if calls.layers != self.layers:
            raise _not_dispatched(self.architecture, calls.layers, self.layers)
        if not hidden:
            return None
        starts = [begin + len(self.tokens.prefix) for begin in spans.begin]
        return [
            torch.stack([states[item, start : start + len(residues)] for states in output.hidden_states])
            for item, (start, residues) in enumerate(zip(starts, batch, strict=True))
        ]

    def attention(self, batch: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Every weight of a few proteins at once: float32 [layers, heads, residues, residues] of each, on the CPU."""
        collected = Collected(self.layers, self.heads, spans_of(self.tokens, batch))
        self.forward(batch, collected)
        first = len(self.tokens.prefix)
        return [
            weights[..., first : first + len(residues), first : first + len(residues)]
            for weights, residues in zip(collected.weights, batch, strict=True)
        ]


def pad_batch(tokens: ResidueTokens, batch: Sequence[Sequence[int]], device: torch.device) -> dict[str, torch.Tensor]:
    """Token ids and mask of a batch, padded on the model's side; int64 [batch, tokens]."""
    rows = [[*tokens.prefix, *residues, *tokens.suffix] for residues in batch]
    spans = spans_of(tokens, batch)
    ids = torch.full((len(rows), max(spans.end)), tokens.pad)
    mask = torch.zeros_like(ids)
    for item, (row, begin, end) in enumerate(zip(rows, *spans, strict=True)):
        ids[item, begin:end] = torch.tensor(row)
        mask[item, begin:end] = 1
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


def spans_of(tokens: ResidueTokens, batch: Sequence[Sequence[int]]) -> Spans:
    """Begin and end of each protein's tokens in a padded batch, special ones included."""
    lengths = [len(tokens.prefix) + len(residues) + len(tokens.suffix) for residues in batch]
    begin = [max(lengths) - length if tokens.pad_left else 0 for length in lengths]
    return Spans(begin, [first + length for first, length in zip(begin, lengths, strict=True)])


def choose_device(device: str) -> torch.device:
    """'auto' is the first GPU if there is one, else the CPU; raises ModelError for a device that does not exist."""
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


def load(
    source: str,
    *,
    device: str = "auto",
    precision: str = "auto",
    randomize_seed: int | None = None,
    residue_map: str | None = None,
) -> LanguageModel:
    """Load an encoder or a causal model by hub id or from a local folder.

    Parameters
    ----------
    source : id or folder
    device : 'auto', 'cpu', 'cuda', 'cuda:1', …
    precision : 'auto', 'float32', 'bfloat16' or 'float16'
    randomize_seed : draw the weights from the model's own initialisation with this seed, and do not read the trained
        ones; None to load them
    residue_map : letters that are replaced, as 'UZOB>X', or 'keep'; None for the rule of the model's training, see
        :func:`~attnstore.ingest.model.tokens.residue_tokens`

    Raises
    ------
    ModelError
        If it cannot be loaded, lacks weights, has no residue-level tokens, or its attention cannot be captured.
    """
    if os.getpid() != _PROCESS:
        # OpenMP's threads do not survive a fork: the first parallel loop of this thread would wait for them forever.
        torch.set_num_threads(1)
    where = choose_device(device)
    chosen = choose_precision(precision, where)
    source = os.path.expanduser(source)
    check_model_folder(source, weights=randomize_seed is None)
    with _quiet():
        described, config = read_config(source)
        architecture = ARCHITECTURES.get(config.model_type, Architecture())
        if randomize_seed is None:
            module, missing = _trained(source, config, architecture)
        else:
            module, missing = _random(config, architecture, randomize_seed), []
        tokens = _tokens(source, described, config, pad_left=architecture.pad_left, residue_map=residue_map)
        digest = weights_digest(module, without=missing)
        module.eval()
        module.config.use_cache = False  # keys and values, which are kept for a next token
        check, causal = _check_capture(module, architecture, tokens)
    for parameter in module.parameters():  # but not buffers: rotary frequencies stay float32
        parameter.data = parameter.data.to(_PRECISIONS[chosen])
    module.to(where)
    return LanguageModel(
        module=module,
        tokens=tokens,
        source=source,
        weights_sha256=digest,
        layers=int(config.num_hidden_layers),
        heads=int(config.num_attention_heads),
        max_residues=_limit(config, architecture, tokens),
        causal=causal,
        device=where,
        precision=chosen,
        check=check,
    )


def _tokens(
    source: str, described: dict[str, Any], config: Any, *, pad_left: bool, residue_map: str | None
) -> ResidueTokens:
    """Find the use of the tokenizer; if none works and the folder has none, the error says that it is missing."""
    missing = without_tokenizer(source, described)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, config=config, trust_remote_code=False)
    except Exception as error:
        raise ModelError(missing or f"the tokenizer of {source} cannot be loaded: {first_line(error)}") from error
    try:
        return residue_tokens(tokenizer, source, pad_left=pad_left, residue_map=residue_map)
    except ModelError as error:
        raise ModelError(missing or str(error)) from None


def _trained(source: str, config: Any, architecture: Architecture) -> tuple[Any, list[str]]:
    """The module, and the names of parameters that its checkpoint lacks."""
    try:
        module, loaded = getattr(transformers, architecture.loader).from_pretrained(
            source,
            config=config,
            dtype=torch.float32,
            attn_implementation="eager",
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            trust_remote_code=False,
        )
    except (pickle.UnpicklingError, EOFError) as error:
        # torch's own message advises to run whatever the file contains.
        raise ModelError(
            f"model {source} cannot be loaded: its file of weights is damaged, or holds more than weights, which "
            "attnstore does not run. Copy it again, or give a folder with model.safetensors."
        ) from error
    except Exception as error:
        raise ModelError(f"model {source} cannot be loaded: {first_line(error)}") from error
    for name, found, wanted in sorted(loaded["mismatched_keys"]):
        if not name.startswith(_UNUSED):
            raise ModelError(
                f"model {source} has weights of another shape than its config.json: {name} is {tuple(found)} and "
                f"should be {tuple(wanted)}. Give the config.json that was saved with them."
            )
    missing = sorted({*loaded["missing_keys"], *(name for name, *_ in loaded["mismatched_keys"])})
    needed = [key for key in missing if not key.startswith(_UNUSED)]
    if needed:
        raise ModelError(
            f"model {source} lacks weights for {len(needed)} of its parameters (first: {needed[0]}): "
            "its attention would be random."
        )
    further = _further_layers(loaded["unexpected_keys"], module)
    if further:
        warnings.warn(
            f"model {source} has weights of more layers than its config.json says, which are left out (first: "
            f"{further[0]}): give the config.json that was saved with them, unless the model is to be cut.",
            stacklevel=2,
        )
    return module, missing


def _further_layers(unexpected: Collection[str], module: torch.nn.Module) -> list[str]:
    """Names of weights that differ from those of the module only by the number of the layer."""
    of_layers = {_LAYER.sub(".0.", name, count=1) for name in module.state_dict()}
    prefix = f"{getattr(module, 'base_model_prefix', '')}."
    names = {name: _LAYER.sub(".0.", name.removeprefix(prefix), count=1) for name in unexpected if _LAYER.search(name)}
    return sorted(name for name, first in names.items() if first in of_layers)


def _random(config: Any, architecture: Architecture, seed: int) -> Any:
    """A module as before training: on the CPU, in float32, so that a seed gives the same weights on every machine."""
    loader = getattr(transformers, architecture.loader)
    build = loader.from_config if hasattr(loader, "from_config") else loader._from_config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(config, dtype=torch.float32, attn_implementation="eager")


def weights_digest(module: torch.nn.Module, without: Collection[str] = ()) -> str:
    """SHA-256 over name, shape, type and bytes of every parameter and buffer, in order of name.

    Parameters missing in the checkpoint are left out: they are drawn at every load, and no attention depends on them.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        if name in without:
            continue
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes() if tensor.ndim else b"")
    return digest.hexdigest()


def _check_capture(module: Any, architecture: Architecture, tokens: ResidueTokens) -> tuple[float, bool]:
    """Compare captured attention with the model's own `output_attentions`, eager, in float32, with padding.

    After this the module passes its attention to the active receiver.

    Returns
    -------
    float
        The largest difference; above 1e-4 the captured values are not this model's attention.
    bool
        Whether the model is causal.
    """
    batch = [[tokens.ids[letter] for letter in sequence] for sequence in (PROBE[:48], PROBE[48:80])]
    inputs = pad_batch(tokens, batch, torch.device("cpu"))
    spans = spans_of(tokens, batch)
    name = type(module).__name__
    try:
        with torch.inference_mode():
            own = module(**inputs, output_attentions=True).attentions or ()
            caught = Collected(module.config.num_hidden_layers, module.config.num_attention_heads, spans)
            architecture.reach(module)
            with capture(caught, spans) as calls:
                module(**inputs)
    except (ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise ModelError(f"{name} does not give access to its attention: {first_line(error)}") from error
    if not own or calls.layers != len(own):
        raise _not_dispatched(name, calls.layers, len(own))
    differences, causal = [], True
    for item, (begin, end) in enumerate(zip(*spans, strict=True)):
        theirs = torch.stack([layer[item, :, begin:end, begin:end] for layer in own])
        broken = theirs.isnan().flatten(1).any(1).nonzero().flatten().tolist()
        if broken:
            raise ModelError(f"{name}: the attention of layer {broken[0]} is NaN on a probe of ordinary residues.")
        differences.append((theirs - caught.weights[item]).abs().max())
        causal &= not bool(theirs.triu(1).any())
    worst = float(torch.stack(differences).max())  # NaN if any is NaN
    if not worst < 1e-4:
        raise ModelError(f"{name}: captured attention differs from the model's own by up to {worst:.2g}.")
    return worst, causal


def _not_dispatched(name: str, found: int, layers: int) -> ModelError:
    return ModelError(
        f"{name} gave {found} layers of attention where it has {layers}: "
        "it does not dispatch through transformers' attention interface."
    )


def _limit(config: Any, architecture: Architecture, tokens: ResidueTokens) -> int | None:
    """Maximum residues for the positions and the tokenizer's limit; the latter is ignored for relative ones."""
    if architecture.positions is None:
        return None
    limits = [architecture.positions(config), tokens.tokenizer.model_max_length]
    # A tokenizer without a limit has the limit 10³⁰.
    known = [limit for limit in limits if limit is not None and limit < 10**6]
    return min(known) - len(tokens.prefix) - len(tokens.suffix) if known else None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress transformers' report and progress bar: the relevant parts are checked and reported here."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub, level = huggingface_hub.utils.logging, huggingface_hub.utils.logging.get_verbosity()
    logging.set_verbosity_error()
    hub.set_verbosity(ERROR)  # otherwise a warning for each retry without a network
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        hub.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
