"""The command `assay keys new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.options import JsonOption

keys_app = typer.Typer(help="Make keys to sign waivers with.", no_args_is_help=True)

_HERE = Path()


@keys_app.callback()
def _keys() -> None:
    """Keep `new` a command of its own though it is the only one."""


@keys_app.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose key it is, as ana or bo.silva.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the two files.")] = _HERE,
    as_json: JsonOption = False,
) -> None:
    """Make an Ed25519 key: NAME.key, which only you may read, and NAME.pub.

    Prints the line that a policy needs under waivers.signers or waivers.cosigners.
    """
    from components.lineage.keys import key_id, new_key, public_text
    from pipelines.json_output import print_json

    pair = new_key(out, name)
    text = public_text(pair.raw)
    if as_json:
        print_json(
            {
                "name": name,
                "publicKey": text,
                "keyId": key_id(pair.raw),
                "privateFile": str(pair.private),
                "publicFile": str(pair.public),
            }
        )
        return
    typer.echo(f"{name}: {text}")
    typer.echo(f"{pair.private}: keep it to yourself", err=True)
