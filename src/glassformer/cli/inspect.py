"""`glassformer inspect`: a page that shows what a model computes, and lets it be changed."""

from __future__ import annotations

import ipaddress
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from glassformer.cli import terminal
from glassformer.cli.model_files import load_model
from glassformer.cli.options import common_options, dtype_option, json_option, model_option, threads_option
from glassformer.cli.session import Session
from glassformer.errors import GlassformerError

if TYPE_CHECKING:
    from starlette.applications import Starlette

BACKLOG = 64
GRACE = 2  # seconds that requests under way have left after Ctrl-C


class ServeError(GlassformerError):
    """A server that cannot be started as asked."""


@click.command("inspect", short_help="Open a page that looks inside a running model.")
@click.argument("name", required=False, metavar="[MODEL]")
@model_option
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N",
              help="Port to listen on (default: 0, any that is free).")  # fmt: skip
@click.option("--allow-network", is_flag=True,
              help="Let --host be an address that other machines reach; whoever does can use the model.")  # fmt: skip
@click.option("--open/--no-open", "open_page", default=None,
              help="Open the page in a browser (default: where a person is at the terminal).")  # fmt: skip
@dtype_option
@threads_option
@json_option
@common_options
@click.pass_obj
def command(
    session: Session, name: str | None, model: str | None, host: str, port: int, allow_network: bool,
    open_page: bool | None, dtype: str, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Serve a page on this machine that shows everything a model does with a text: attention, the logit lens, neurons,
    attribution, the time of every operation. What is changed there takes effect at once.

    \b
    glassformer inspect
    glassformer inspect ./gpt2 --port 8000

    The page's address goes to standard output; Ctrl-C ends the server. The object of --json has url, host, port and
    model.
    """
    if name is not None and model is not None:
        raise click.UsageError("the model is there twice, as an argument and as --model; give one of them")
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise ServeError("the page needs a web server, which is not installed; run: pip install 'glassformer[serve]'")
    address = listening_address(host, allow_network)
    chosen = name if name is not None else model
    with listening(address, port) as listener:
        loaded = load_model(chosen, dtype, threads)
        from glassformer.server.app import inspect_app
        from glassformer.server.hosts import LOOPBACK
        from glassformer.server.inspect.session import Session as Inspection

        taken = listener.getsockname()[1]
        hosts = {*LOOPBACK, *([] if address.is_unspecified else [bracketed(address)])}
        called = "story" if chosen is None else Path(chosen).name or chosen
        app = inspect_app(Inspection(loaded, called, dtype), hosts)
        url = f"http://{'127.0.0.1' if address.is_unspecified else bracketed(address)}:{taken}/"
        announce(url, address, taken, called, as_json)
        if not session.quiet:
            terminal.note("Ctrl-C ends the server.")
        serve(app, listener, url if wants_page(open_page) else None)


def listening_address(host: str, allow_network: bool) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that `--host` means.

    Raises:
        click.UsageError: it is none, or other machines reach it and that was not allowed.
    """
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
    except ValueError:
        raise click.UsageError(f"--host {host!r} is no address; give one like 127.0.0.1, or localhost") from None
    if not address.is_loopback and not allow_network:
        raise click.UsageError(f"other machines reach {address}, and whoever does can use the model; "
                               "if that is meant, add --allow-network")  # fmt: skip
    return address


def bracketed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """The address as it stands in a URL."""
    return f"[{address}]" if address.version == 6 else str(address)


def listening(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ServeError: the port is taken, or not to be had.
    """
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    # Named TCP, so that asyncio knows that it may send small answers at once (TCP_NODELAY): else each waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise ServeError(f"cannot listen on {address} port {port}: {reason}; choose another --port, "
                         "or 0 for any that is free") from error  # fmt: skip
    return listener


def announce(url: str, address: object, port: int, model: str, as_json: bool) -> None:
    """Print where the page is."""
    if as_json:
        terminal.write_json({"url": url, "host": str(address), "port": port, "model": model})
    else:
        terminal.write(url + "\n")


def wants_page(open_page: bool | None) -> bool:
    """Whether to open a browser: as told, else where a person looks at the output."""
    import sys

    return terminal.is_terminal(sys.stdout) if open_page is None else open_page


def serve(app: Starlette, listener: socket.socket, url: str | None) -> None:
    """Answer requests until Ctrl-C, which ends in KeyboardInterrupt."""
    import uvicorn

    if url is not None:
        import webbrowser

        webbrowser.open(url)
    config = uvicorn.Config(app, log_level="error", access_log=False, lifespan="on", server_header=False,
                            timeout_graceful_shutdown=GRACE)  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])
