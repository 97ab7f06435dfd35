"""The files of the pages, read once: no path of a request ever reaches the file system."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

KINDS = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8",
         "svg": "image/svg+xml"}  # fmt: skip
LASTING = "max-age=86400"  # of the icon, which browsers ask for anew whenever the address changes


def page_files(page: str) -> dict[str, tuple[bytes, str]]:
    """Name -> content and media type, of the files of a page in `glassformer/web`."""
    folder = files("glassformer") / "web" / page
    return {
        entry.name: (entry.read_bytes(), KINDS[entry.name.rpartition(".")[2]])
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.rpartition(".")[2] in KINDS
    }


def page_routes(page: str) -> list[BaseRoute]:
    """A route for each file; `index.html` is also the page's own address."""
    found: list[BaseRoute] = []
    for name, (content, kind) in page_files(page).items():
        places = ["/", f"/{name}"] if name == "index.html" else [f"/{name}"]
        found += [Route(place, sender(content, kind), methods=["GET"]) for place in places]
    return found


def sender(content: bytes, kind: str):  # type: ignore[no-untyped-def]
    """An endpoint that answers with fixed bytes."""

    async def send(request: Request) -> Response:
        return Response(content, media_type=kind, headers={"cache-control": LASTING if "svg" in kind else "no-cache"})

    return send
