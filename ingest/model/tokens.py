"""Mapping of residues to tokens: one token each, or a refusal.

A tokenizer is probed once with a sequence that contains every ordered pair of the twenty amino acids. So a tokenizer
that merges neighbours, drops letters, or has the same token for several amino acids (for example because it lower-cases
its input by mistake) is detected before the model runs.
"""

import contextlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

import transformers

from ...errors import ModelError

AMINO_ACIDS = "ACDEFGHIKLMNPQRSTVWY"

#: The rule that replaces no letter.
KEEP = "keep"

#: The rule of Rostlab's training: the rare and the ambiguous letters become X.
AS_X = "UZOB>X"


def _every_pair() -> str:
    """A sequence in which every ordered pair of amino acids is adjacent."""
    return "".join(a + b + a for i, a in enumerate(AMINO_ACIDS) for b in AMINO_ACIDS[i:])


PROBE = _every_pair()


@dataclass(frozen=True)
class ResidueTokens:
    """The use of a model's tokenizer on proteins.

    Attributes
    ----------
    tokenizer : the transformers tokenizer
    spaced : whether letters are separated by spaces
    ids : token of each letter that has one, the twenty amino acids among them
    unknown : token of all other letters; None if the vocabulary has none
    prefix, suffix : special tokens before and after the residues
    pad : token that fills a batch
    pad_left : whether batches are padded on the left
    settings : changes of the tokenizer's own settings
    residue_map : letters that are replaced, as 'UZOB>X'; or 'keep'
    """

    tokenizer: Any
    spaced: bool
    ids: dict[str, int]
    unknown: int | None
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    pad: int
    pad_left: bool
    settings: dict[str, Any]
    residue_map: str

    def encode(self, sequence: str) -> list[int]:
        """Tokens of the residues only, one each.

        Raises
        ------
        ModelError
            If the vocabulary has no token for a letter, nor one for unknown letters.
        """
        letters = sequence.translate(_replacements(self.residue_map))
        if self.unknown is None and not set(letters) <= self.ids.keys():
            strange = ", ".join(sorted(set(letters) - self.ids.keys()))
            raise ModelError(f"the model's vocabulary has no token for {strange}, nor one for unknown letters")
        return [self.ids.get(letter, self.unknown) for letter in letters]  # type: ignore[misc]

    def describe(self) -> dict[str, Any]:
        """For ``model.json``."""
        names = self.tokenizer.convert_ids_to_tokens
        return {
            "class": type(self.tokenizer).__name__,
            "spaced": self.spaced,
            "prefix": names(list(self.prefix)),
            "suffix": names(list(self.suffix)),
            "padding": "left" if self.pad_left else "right",
            "residue_map": self.residue_map,
            "letters": "".join(sorted(self.ids)),
            "settings": self.settings,
        }


def _replacements(residue_map: str) -> dict[int, str]:
    """For str.translate."""
    if residue_map == KEEP:
        return {}
    letters, _, substitute = residue_map.partition(">")
    return dict.fromkeys(map(ord, letters), substitute)


def _tokenize(tokenizer: Any, sequence: str, spaced: bool) -> list[int]:
    text = " ".join(sequence) if spaced else sequence
    tokens: list[int] = tokenizer(text, add_special_tokens=True, truncation=False, verbose=False)["input_ids"]
    return tokens


def _frame(
    tokens: Sequence[int], special: Collection[int]
) -> tuple[tuple[int, ...], dict[str, int], tuple[int, ...]] | None:
    """Split a probe's tokens into prefix, one token per amino acid and suffix; None if this is not possible.

    A prefix or suffix must consist of special tokens: others would be half a residue, or a word's beginning.
    """
    for before in range(len(tokens) - len(PROBE) + 1):
        inner, prefix, suffix = tokens[before : before + len(PROBE)], tokens[:before], tokens[before + len(PROBE) :]
        ids = dict(zip(PROBE, inner, strict=True))
        if (
            all(ids[letter] == token for letter, token in zip(PROBE, inner, strict=True))
            and len(set(ids.values())) == len(AMINO_ACIDS)
            and set(prefix) | set(suffix) <= set(special)
        ):
            return tuple(prefix), ids, tuple(suffix)
    return None


def residue_tokens(
    tokenizer: Any, name: str, *, pad_left: bool = False, residue_map: str | None = None
) -> ResidueTokens:
    """Find the use of a tokenizer that gives one token per residue.

    Letters are tried adjacent and separated by spaces, then again with lower-casing off (the default of a BERT
    tokenizer whose folder does not state it turns every amino acid into the unknown token) and with ``tokenizer.json``
    as it is written (T5's class adds a word's beginning before the first letter, which Ankh's vocabulary does not
    have).

    Parameters
    ----------
    tokenizer : tokenizer of transformers
    name : name of the model, for messages
    pad_left : whether the model's batches are padded on the left
    residue_map : letters that are replaced, as 'UZOB>X', or 'keep'. By default 'UZOB>X' if letters are separated by
        spaces and the vocabulary has X, as in the models of Rostlab (ProtBert, ProtAlbert, ProtT5, ProtElectra): in
        their training U, Z, O and B were replaced by X, even where their vocabularies contain those letters

    Raises
    ------
    ModelError
        If no way gives one distinct token per amino acid; the message shows the tokens.
    """
    if residue_map is not None and not re.fullmatch(r"keep|[A-Z]+>[A-Z]", residue_map):
        raise ModelError(
            f"residue map {residue_map!r} is neither 'keep' nor letters and their substitute, as 'UZOB>X'."
        )
    for candidate, settings in _readings(tokenizer):
        special = set(candidate.all_special_ids) - {candidate.unk_token_id}
        for spaced in (False, True):
            found = _frame(_tokenize(candidate, PROBE, spaced), special)
            if found is not None:
                prefix, amino_acids, suffix = found
                ids = {**_further_letters(candidate, amino_acids), **amino_acids}
                default = AS_X if spaced and "X" in ids else KEEP
                return ResidueTokens(
                    tokenizer=candidate,
                    spaced=spaced,
                    ids=ids,
                    unknown=candidate.unk_token_id,
                    prefix=prefix,
                    suffix=suffix,
                    pad=0 if candidate.pad_token_id is None else candidate.pad_token_id,
                    pad_left=pad_left,
                    settings=settings,
                    residue_map=default if residue_map is None else residue_map,
                )
    shown = tokenizer.convert_ids_to_tokens(_tokenize(tokenizer, "ACDEFG", False))
    raise ModelError(
        f"{type(tokenizer).__name__} of {name} does not give one token per residue "
        f"(ACDEFG becomes {' '.join(shown)}): attnstore needs a residue-level vocabulary."
    )


def _further_letters(tokenizer: Any, amino_acids: dict[str, int]) -> dict[str, int]:
    """Tokens of other letters than the twenty, written in the vocabulary in the same form.

    They are looked up instead of tried: tokenizers make one token of several unknown letters in a row.
    """
    vocabulary = tokenizer.get_vocab()
    before = tokenizer.convert_ids_to_tokens(amino_acids["A"]).removesuffix("A")
    return {letter: vocabulary[before + letter] for letter in ascii_uppercase if before + letter in vocabulary}


def _readings(tokenizer: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """A tokenizer as transformers loads it, then with changes, each with a description of the change."""
    yield tokenizer, {}
    if getattr(tokenizer, "do_lower_case", False):
        yield type(tokenizer).from_pretrained(tokenizer.name_or_path, do_lower_case=False), {"do_lower_case": False}
    with contextlib.suppress(OSError, ValueError, TypeError):  # there is no tokenizer.json
        yield transformers.PreTrainedTokenizerFast.from_pretrained(tokenizer.name_or_path), {"class": "tokenizer.json"}
