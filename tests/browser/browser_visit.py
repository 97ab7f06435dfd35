"""A server in this process, and a tab of a browser that visits it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from glassformer.model import Model


@contextlib.contextmanager
def serving(model: Model, name: str) -> Iterator[str]:
    """The address of a page over a model."""
    import uvicorn

    from glassformer.cli.inspect import listening, listening_address
    from glassformer.server.app import inspect_app
    from glassformer.server.inspect.session import Session

    with listening(listening_address("127.0.0.1", False), 0) as listener:
        config = uvicorn.Config(inspect_app(Session(model, name)), log_level="error", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(10)


class Visit:
    """A tab on a page, and what its console said."""

    def __init__(self, browser: Any, address: str, color_scheme: str = "light") -> None:
        self.address, self.said = address, list[str]()
        self.context = browser.new_context(viewport={"width": 1360, "height": 900}, color_scheme=color_scheme)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address.rstrip("/"))
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.said.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))

    def open(self, fragment: str = "") -> Any:
        """The page with a state, once its text has been run."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}#{fragment}")
        self.page.wait_for_selector("html[data-ready]", state="attached")
        return self.page
