"""`glassformer pull`: fetch a model from the hub."""

from __future__ import annotations

import click

from glassformer.cli import terminal
from glassformer.cli.options import common_options, json_option
from glassformer.cli.session import Session


@click.command("pull", short_help="Fetch a model from the hub.")
@click.argument("name")
@click.option("--revision", metavar="REVISION", help="Branch, tag or commit (default: the main branch).")
@json_option
@common_options
@click.pass_obj
def command(session: Session, /, name: str, revision: str | None, as_json: bool) -> None:
    """Fetch model NAME, such as `distilgpt2` or `owner/model`, and print the folder that holds it.

    Needs the extra `hub` (pip install 'glassformer[hub]'). HF_HOME says where models are kept, HF_ENDPOINT who serves
    them, HF_HUB_OFFLINE=1 that none may be fetched.
    """
    from glassformer.models.locate import pull

    folder = pull(name, revision=revision, progress=not session.quiet)
    if as_json:
        terminal.write_json({"name": name, "revision": revision, "folder": str(folder)})
    else:
        terminal.write(f"{folder}\n")
