"""Writes docs/cli.md from the commands themselves: `python tools/make_cli_docs.py`; with `--check` it only compares."""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from glassformer.cli.app import root

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
HEADER = "<!-- Written by tools/make_cli_docs.py from the commands themselves; change those, not this. -->"

ENVIRONMENT = """## Environment

| Variable | Meaning |
|---|---|
| `GLASSFORMER_THREADS` | Threads to compute with (default: as many as affinity mask and control group allow). |
| `GLASSFORMER_PIN` | `0`: leave it to the system which processor a thread runs on. |
| `GLASSFORMER_TARGET` | Processor level: `baseline`, `avx2`, `avx512`, `avx512-vnni` (default: the best here). |
| `GLASSFORMER_CACHE` | Folder of compiled kernels (default: the user's cache folder). |
| `GLASSFORMER_KERNELS` | `reference`: run every kernel as Python, slowly, with bounds checked. |
| `HF_HOME`, `HF_ENDPOINT`, `HF_HUB_OFFLINE` | Where models of the hub are kept, fetched from, and whether at all. |"""


def page() -> str:
    """The whole page."""
    context = click.Context(root, info_name="glassformer")
    parts = [HEADER, "# Command line", *prose(root), *options(root)]
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        if command is not None:
            parts += section(name, command)
    return "\n\n".join([*parts, ENVIRONMENT]) + "\n"


def section(name: str, command: click.Command) -> Iterator[str]:
    """Everything about one command."""
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    usage = " ".join(["glassformer", name, "[FLAGS]", *map(placeholder, arguments)])
    yield f"## `glassformer {name}`"
    yield f"{command.short_help}"
    yield f"```\n{usage}\n```"
    yield from prose(command)
    yield from options(command)


def placeholder(argument: click.Argument) -> str:
    """How the usage line shows an argument."""
    if argument.metavar:
        return argument.metavar
    name = str(argument.name).upper()
    if isinstance(argument.type, click.Choice):
        name = "|".join(map(str, argument.type.choices))
    name += "..." if argument.nargs == -1 else ""
    return name if argument.required else f"[{name}]"


def prose(command: click.Command) -> Iterator[str]:
    """The paragraphs of a command's help; what click is told to leave as it stands becomes code."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield "```sh\n" + paragraph.removeprefix("\b\n") + "\n```"
        else:
            yield paragraph


def options(command: click.Command) -> Iterator[str]:
    """A table of the flags."""
    rows = ["| Flag | Meaning |", "|---|---|"]
    for each in command.params:
        if isinstance(each, click.Option) and not each.hidden:
            flags = "`" + "`, `".join(each.opts) + value_of(each) + "`"
            default = f" Default: {each.default}." if each.show_default else ""
            rows.append(f"| {cell(flags)} | {cell((each.help or '') + default)} |")
    yield "\n".join(rows)


def value_of(option: click.Option) -> str:
    """What follows a flag."""
    if option.is_flag:
        return ""
    choices = "|".join(map(str, option.type.choices)) if isinstance(option.type, click.Choice) else None
    return f" {option.metavar or choices or option.type.name.upper()}"


def cell(text: str) -> str:
    """Text within a table, where a bar would end the cell."""
    return text.replace("|", "\\|")


def main() -> int:
    """Write the page, or compare it; 1 if it is not current."""
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf8")
        return 0
    current = PAGE.exists() and PAGE.read_text(encoding="utf8") == text
    print(f"{PAGE} is {'current' if current else 'not current: run python tools/make_cli_docs.py'}")
    return 0 if current else 1


if __name__ == "__main__":
    sys.exit(main())
