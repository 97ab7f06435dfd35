"""`glassformer completion`: the script that makes a shell complete commands and flags."""

import click
from click.shell_completion import get_completion_class

from glassformer.cli import terminal
from glassformer.cli.app import COMPLETION_VARIABLE, PROGRAM
from glassformer.cli.options import common_options, json_option


@click.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
@common_options
@click.pass_context
def command(context: click.Context, shell: str, as_json: bool) -> None:
    """Print the completion script of a shell.

    \b
    glassformer completion bash >> ~/.bashrc
    glassformer completion zsh >> ~/.zshrc
    glassformer completion fish > ~/.config/fish/completions/glassformer.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"this version of click has no completion for {shell}; update it")
    script = kind(context.find_root().command, {}, PROGRAM, COMPLETION_VARIABLE).source().strip() + "\n"
    if as_json:
        terminal.write_json({"shell": shell, "script": script})
    else:
        terminal.write(script)
