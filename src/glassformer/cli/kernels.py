"""`glassformer kernels`: the compute kernels, and what the compiler makes of them."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from glassformer.cli import terminal
from glassformer.cli.options import common_options, json_option

if TYPE_CHECKING:
    from glassformer.kernels.catalog import Entry


@click.command("kernels", short_help="Show the compute kernels, down to their machine code.")
@click.argument("name", required=False)
@click.option("--tree", "stage", flag_value="tree", help="Show the typed tree that the front end makes.")
@click.option("--ir", "stage", flag_value="ir", help="Show the LLVM IR that is made of the tree.")
@click.option("--asm", "stage", flag_value="asm", help="Show the assembly of the optimised kernel.")
@click.option("--target", metavar="TARGET", help="Processor for --ir and --asm, such as avx2 (default: this one).")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE",
              help="A compile-time constant: a number, a type (f16) or a kernel. May be repeated.")  # fmt: skip
@json_option
@common_options
def command(name: str | None, stage: str | None, target: str | None, settings: tuple[str, ...], as_json: bool) -> None:
    """List the kernels; with NAME show one: its source, or what the compiler makes of it.

    \b
    glassformer kernels
    glassformer kernels layer_norm --asm --target avx2
    """
    from glassformer.kernels.catalog import catalog

    entries = catalog()
    if name is None:
        if stage or target or settings:
            raise click.UsageError("name the kernel to show; `glassformer kernels` alone lists them")
        _list(list(entries.values()), as_json)
        return
    if name not in entries:
        near = get_close_matches(name, entries, n=3) or list(entries)
        raise click.UsageError(f"no kernel is called {name!r}; there are {', '.join(near)}")
    entry = entries[name]
    shown = _stage(entry, stage, target, _constants(entry, settings, entries))
    if as_json:
        terminal.write_json(entry.as_json() | {"stage": stage or "source", "target": target, "text": shown})
    else:
        terminal.write(shown.rstrip("\n") + "\n")


def _list(entries: list[Entry], as_json: bool) -> None:
    """All kernels, one line each."""
    if as_json:
        terminal.write_json({"kernels": [entry.as_json() for entry in entries]})
        return
    width = max((len(entry.name) for entry in entries), default=0)
    for module, group in groupby(sorted(entries, key=lambda entry: entry.module), key=lambda entry: entry.module):
        lines = "".join(f"  {entry.name:{width}}  {entry.summary}\n" for entry in group)
        terminal.write(f"kernels/{module}.py\n{lines}")


def _stage(entry: Entry, stage: str | None, target: str | None, constants: dict[str, Any]) -> str:
    """The kernel at one stage of its way to machine code.

    Raises:
        click.UsageError: an unknown target, a constant missing or unknown.
    """
    from glassformer.simd.errors import OperandError, TargetError

    kernel = entry.kernel
    views: dict[str | None, Callable[[], str]] = {
        None: lambda: inspect.getsource(kernel.function),
        "tree": lambda: kernel.tree(**constants),
        "ir": lambda: kernel.ir(target, **constants),
        "asm": lambda: kernel.assembly(target, **constants),
    }
    if target is not None and stage not in ("ir", "asm"):
        raise click.UsageError("--target goes with --ir or --asm")
    missing = [name for name, value in (entry.constants | constants).items() if value is None]
    if stage and missing:
        flags = " ".join(f"--set {name}=VALUE" for name in missing)
        raise click.UsageError(f"{entry.name} is compiled for constants that have no default; add {flags}")
    try:
        return views[stage]()
    except TargetError as error:
        raise click.UsageError(str(error)) from error
    except OperandError as error:
        raise click.UsageError(f"{error}; --set NAME=VALUE gives a constant") from error


def _constants(entry: Entry, settings: tuple[str, ...], entries: Mapping[str, Entry]) -> dict[str, Any]:
    """The constants that `--set` names; of `entries`, any kernel may be the value of one."""
    constants = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in entry.constants:
            known = ", ".join(entry.constants) or "none"
            raise click.UsageError(f"--set {setting}: expected NAME=VALUE with a constant of {entry.name}: {known}")
        constants[name] = _value(text, entries)
    return constants


def _value(text: str, entries: Mapping[str, Entry]) -> Any:
    """A constant as it is written: a type or an operation of the kernel language, a kernel, or a Python literal."""
    from glassformer import simd
    from glassformer.simd.table import Operation

    named = getattr(simd, text, None)
    if isinstance(named, (type, Operation)):
        return named
    if text in entries:
        return entries[text].kernel
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise click.UsageError(f"{text!r} is no number, nor a type, an operation or a kernel by name") from error
