"""``attnstore convert-tape``: TAPE's BERT to a folder that transformers loads."""

from pathlib import Path

import click

from ..errors import AttnstoreError


@click.command("convert-tape")
@click.argument("source", type=click.Path(path_type=Path), metavar="DIR_OR_BIN")
@click.argument("target", type=click.Path(path_type=Path), metavar="OUT")
def convert_tape(source: Path, target: Path) -> None:
    """Convert TAPE's BERT to a folder OUT that `attnstore ingest --model` reads.

    \b
    Example:
      attnstore convert-tape bert-base-pytorch_model.bin tapebert

    DIR_OR_BIN is TAPE's folder of config.json and pytorch_model.bin, or that file of weights alone.
    """
    try:
        from ..ingest.model.tape_model import convert_tape as convert
    except ModuleNotFoundError as error:
        raise AttnstoreError(
            f"convert-tape needs {error.name}, which is not installed: pip install 'attnstore[ingest]'."
        ) from error
    click.echo(convert(source, target))
