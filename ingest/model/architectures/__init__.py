"""What sets each architecture apart: the class that loads it, its positions, its padding, the way to its attention.

Which special tokens stand where, whether letters are spaced and whether a model is causal are not stated here: they
are measured when a model is loaded, see :mod:`~attnstore.ingest.model.tokens` and
:mod:`~attnstore.ingest.model.language_model`. Nor is it trusted that an architecture hands over its attention: every
model is checked against its own output.
"""

from .architecture import Architecture, after_padding
from .xlnet import XLNET

__all__ = ["ARCHITECTURES", "Architecture"]

#: By the `model_type` of a model's config. Any other is tried as the first of them are.
ARCHITECTURES = {
    "albert": Architecture(),
    "bert": Architecture(),
    "electra": Architecture(),
    "esm": Architecture(positions=after_padding),
    "esmc": Architecture(),
    "gpt2": Architecture(),
    "roberta": Architecture(positions=after_padding),
    # Without its decoder, which AutoModel would load too.
    "t5": Architecture(loader="T5EncoderModel", positions=None),
    "xlnet": XLNET,
}
