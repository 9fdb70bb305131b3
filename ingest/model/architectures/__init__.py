"""Properties of architectures: the class that loads a model, its positions, its padding, and how it is captured.

Special tokens, spacing of letters and causality are not listed here: they are measured when a model is loaded, see
:mod:`~attnstore.ingest.model.tokens` and :mod:`~attnstore.ingest.model.language_model`. Every model is also checked
against its own output, so a wrong entry here is detected.
"""

from .architecture import Architecture, after_padding
from .xlnet import XLNET

__all__ = ["ARCHITECTURES", "Architecture"]

#: By the `model_type` of a model's config. Any other type is tried like the first of these.
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
