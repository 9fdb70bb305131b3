"""Progress bars, on standard error."""

from typing import Any

from tqdm import tqdm


def bar(total: int, unit: str, *, shown: bool, **options: Any) -> "tqdm[Any]":
    """A bar that counts to `total`; it draws nothing unless `shown`."""
    return tqdm(total=total, unit=unit, disable=not (shown and total), **options)
