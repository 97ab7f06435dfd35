"""`glassformer serve`: the model behind the interface that clients of OpenAI's API speak."""

from __future__ import annotations

import os
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glassformer.cli import terminal
from glassformer.cli.failures import describe
from glassformer.cli.inspect import ServeError, bracketed, listening, listening_address
from glassformer.cli.model_files import load_model
from glassformer.cli.options import (
    Number,
    cache_dtype_option,
    common_options,
    dtype_option,
    json_option,
    model_option,
    threads_option,
)
from glassformer.cli.session import Session

if TYPE_CHECKING:
    from glassformer.server.openai.app import Doors
    from glassformer.server.openai.templates import ChatTemplate

KEY_VARIABLE = "GLASSFORMER_API_KEY"
HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")
ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9.-]+(:[0-9]+)?")
NEEDED = ("starlette", "uvicorn", "jinja2")


@dataclass(frozen=True)
class Load:
    """How much is done at a time, as flags name it."""

    max_batch: int
    queue: int
    kv_memory: int
    timeout: float | None
    drain: int


@dataclass(frozen=True)
class Plan:
    """What is served, to whom and how."""

    model: str | None
    name: str
    dtype: str
    cache_dtype: str
    threads: int | None
    doors: Doors
    load: Load
    log: str


def check_hosts(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Names alone: no addresses of pages, no ports."""
    for name in value:
        if not HOST.fullmatch(name):
            raise click.BadParameter(f"{name!r} is no name; give one like glass.example.com, without port and path")
    return value


def check_origins(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Origins as browsers send them."""
    for origin in value:
        if origin != "*" and not ORIGIN.fullmatch(origin):
            raise click.BadParameter(f"{origin!r} is no origin; give one like https://example.com, or *")
    return value


@click.command("serve", short_help="Serve a model over the OpenAI-compatible API.")
@click.argument("name", required=False, metavar="[MODEL]")
@model_option
@click.option("--name", "served_name", metavar="NAME", help="What clients call the model (default: its folder's name).")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, metavar="N",
              help="Port to listen on; 0: any that is free.")  # fmt: skip
@click.option("--allow-network", is_flag=True,
              help="Let --host be an address that other machines reach; whoever does can use the model.")  # fmt: skip
@click.option("--allow-host", "hosts", multiple=True, metavar="NAME", callback=check_hosts,
              help="A further name in Host headers that is answered. May be repeated.")  # fmt: skip
@click.option("--allow-origin", "origins", multiple=True, metavar="ORIGIN", callback=check_origins,
              help="Pages of this origin may use the server (CORS), like https://example.com; * for all. "
                   "May be repeated.")  # fmt: skip
@click.option("--api-key", "keys", multiple=True, metavar="KEY",
              help=f"Answer only requests with this key. May be repeated. {KEY_VARIABLE} holds one too, "
                   "which other users of the machine do not see.")  # fmt: skip
@click.option("--max-batch", type=click.IntRange(1, 1024), default=64, show_default=True, metavar="N",
              help="Texts that are continued at once.")  # fmt: skip
@click.option("--queue", type=click.IntRange(1, 100_000), default=256, show_default=True, metavar="N",
              help="Texts that may wait; more are answered with 429.")  # fmt: skip
@click.option("--kv-memory", type=click.IntRange(1, 1 << 20), default=1024, show_default=True, metavar="MIB",
              help="Memory for keys and values of all texts.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, metavar="N",
              help="Processes, each with an engine and memory of its own; the inspect page needs one.")  # fmt: skip
@click.option("--timeout", type=Number(min=0.001), metavar="SECONDS",
              help="Time that a request may take (default: as much as it needs).")  # fmt: skip
@click.option("--drain", type=click.IntRange(0, 3600), default=30, show_default=True, metavar="SECONDS",
              help="Time that requests under way have left after SIGTERM or Ctrl-C.")  # fmt: skip
@click.option("--log-format", type=click.Choice(("text", "json", "none")), default="text", show_default=True,
              help="A line for each request on standard error.")  # fmt: skip
@dtype_option
@cache_dtype_option
@threads_option
@json_option
@common_options
@click.pass_obj
def command(
    session: Session, name: str | None, model: str | None, served_name: str | None, host: str, port: int,
    allow_network: bool, hosts: tuple[str, ...], origins: tuple[str, ...], keys: tuple[str, ...], max_batch: int,
    queue: int, kv_memory: int, workers: int, timeout: float | None, drain: int, log_format: str, dtype: str,
    cache_dtype: str, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Serve a model to clients of OpenAI's API: completions, chat, embeddings, with many requests at once.

    \b
    glassformer serve
    glassformer serve ./gpt2 --dtype q8 --port 8000
    curl localhost:8000/v1/completions -H 'content-type: application/json' -d '{"prompt": "Once upon a time"}'

    The server's address goes to standard output, its log to standard error. SIGTERM and Ctrl-C end it once the requests
    under way have come to their end. The object of --json has url, host, port and model.
    """
    if name is not None and model is not None:
        raise click.UsageError("the model is there twice, as an argument and as --model; give one of them")
    check_installed()
    known_keys = all_keys(keys)
    address = listening_address(host, allow_network)
    chosen = name if name is not None else model
    with listening(address, port) as listener:
        from glassformer.server.hosts import LOOPBACK
        from glassformer.server.openai.app import Doors

        taken = listener.getsockname()[1]
        called = served_name or ("story" if chosen is None else Path(chosen).resolve().name or chosen)
        reached = [] if address.is_unspecified else [bracketed(address)]
        known = frozenset((*LOOPBACK, *(each.lower() for each in hosts), *reached))
        doors = Doors(known, origins, known_keys, inspect=workers == 1 and not known_keys)
        url = f"http://{'127.0.0.1' if address.is_unspecified else bracketed(address)}:{taken}/"
        said = {"url": url, "host": str(address), "port": taken, "model": called}
        load = Load(max_batch, queue, kv_memory << 20, timeout, drain)
        plan = Plan(chosen, called, dtype, cache_dtype, threads, doors, load, "none" if session.quiet else log_format)

        def announce() -> None:
            terminal.write_json(said) if as_json else terminal.write(url + "\n")

        if workers == 1:
            serve(plan, listener, announce)
        else:
            from glassformer.server.openai.workers import supervise

            supervise(partial(worker, plan, listener), workers, drain, announce)


def serve(plan: Plan, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Load a model, start an engine, say that it is ready, and answer requests until a signal ends that."""
    model, template = load_model(plan.model, plan.dtype, plan.threads, plan.cache_dtype), template_of(plan.model)
    from glassformer.generation.scheduler import Limits
    from glassformer.generation.serving import Engine, ServingConfig
    from glassformer.server.openai.access import LOGS
    from glassformer.server.openai.app import serving_app
    from glassformer.server.openai.log_thread import LogThread
    from glassformer.server.openai.running import run
    from glassformer.server.openai.service import Service

    limits = Limits(running=plan.load.max_batch, waiting=plan.load.queue)
    config = ServingConfig(limits, plan.load.kv_memory)
    with LogThread(LOGS[plan.log]) as log, Engine(model, config) as engine:
        app = serving_app(Service(model, plan.name, engine, template, plan.load.timeout), plan.doors, log)
        run(app, listener, plan.load.drain, ready)


def worker(plan: Plan, listener: socket.socket, ready: Callable[[], None]) -> None:
    """The same in a process of its own, which says in one line what went wrong."""
    try:
        serve(plan, listener, ready)
    except Exception as error:
        line, code = describe(error)
        terminal.note(f"glassformer: {line}")
        sys.exit(code)
    except KeyboardInterrupt:
        sys.exit(130)


def check_installed() -> None:
    """Refuse to start without a web server.

    Raises:
        ServeError: with what to install.
    """
    if any(find_spec(name) is None for name in NEEDED):
        raise ServeError("there is no web server installed; run: pip install 'glassformer[serve]'")


def template_of(model: str | None) -> ChatTemplate | None:
    """The chat template of a model's folder, if it has one."""
    from glassformer.models.locate import locate
    from glassformer.server.openai.templates import read_template

    return read_template(locate(model))


def all_keys(given: tuple[str, ...]) -> list[str]:
    """The keys that are answered: those of flags and that of the environment.

    Raises:
        click.UsageError: for one that no header can carry.
    """
    keys = [*given, *([os.environ[KEY_VARIABLE]] if KEY_VARIABLE in os.environ else [])]
    if not all(key.isascii() and key.isprintable() and key == key.strip() and key for key in keys):
        raise click.UsageError(
            "an API key is empty, or has characters that no header can carry; use letters and digits"
        )
    return keys
