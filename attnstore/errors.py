"""Errors that the user can correct: each says what is wrong, where, and what to do."""

from collections.abc import Sequence


def first_line(error: BaseException) -> str:
    """The first line of another library's message, or its kind if it has none: what fits in a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


#: Characters of a message: a statement of a megabyte may be quoted in one.
_MOST = 2000


class AttnstoreError(Exception):
    """Base of every error raised on purpose; the command line prints it without a traceback."""

    def __str__(self) -> str:
        """The sentence on one line and not endless, whatever is quoted in it."""
        text = " ".join(super().__str__().splitlines())
        return text if len(text) <= _MOST else f"{text[: _MOST - 501]}…{text[-500:]}"


class StoreError(AttnstoreError):
    """A store that is missing, damaged, of another version, or not a store."""


class MachineError(AttnstoreError):
    """The machine failed while a store was read, which may be whole: memory, threads, open files, or the disk."""


class SourceError(AttnstoreError):
    """An input file that cannot be read as what it claims to be."""


class ModelError(AttnstoreError):
    """A model or tokenizer that cannot be loaded or cannot serve one token per residue."""


class QueryError(AttnstoreError):
    """A question that the language, the store or its precision cannot answer."""


def check_choice(name: str, value: str | None, choices: Sequence[str | None], error: type[AttnstoreError]) -> None:
    """Raise `error` unless an option is one of its choices; None among these stands for leaving it out."""
    if value not in choices:
        listed = " and ".join(repr(choice) for choice in choices if choice)
        raise error(f"{name}={value!r} is not one of {listed}.")
