"""A local HTTP server that plays the hub: enough of its API for fetching the files of one model."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer:
    """What the server serves and what it was asked: `requests` holds "METHOD path" in order."""

    def __init__(self, name: str, files: Mapping[str, bytes]) -> None:
        self.name = name
        self.files = dict(files)
        self.requests: list[str] = []
        self.url = ""

    def fetched(self) -> set[str]:
        """Names of the files whose content was asked for."""
        prefix = f"GET /{self.name}/resolve/"
        return {each.removeprefix(prefix).split("/", 1)[1] for each in self.requests if each.startswith(prefix)}


@contextmanager
def serve_hub(name: str, files: Mapping[str, bytes]) -> Iterator[HubServer]:
    """Serve one model under `name` on a free local port until the block ends."""
    hub = HubServer(name, files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def _answer(self, with_body: bool) -> None:
            path = self.path.split("?")[0]
            hub.requests.append(f"{self.command} {path}")
            parts = path.strip("/").split("/")
            if path.startswith(f"/api/models/{hub.name}"):
                siblings = [{"rfilename": file} for file in sorted(hub.files)]
                body = json.dumps({"id": hub.name, "sha": COMMIT, "siblings": siblings}).encode()
                self._send(200, body, {"Content-Type": "application/json"}, with_body)
            elif "resolve" in parts and path.startswith(f"/{hub.name}/") and parts[-1] in hub.files:
                body = hub.files[parts[-1]]
                etag = f'"{hashlib.sha1(body).hexdigest()}"'
                self._send(200, body, {"X-Repo-Commit": COMMIT, "ETag": etag}, with_body)
            else:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)

        def _send(self, status: int, body: bytes, headers: Mapping[str, str], with_body: bool) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Tests read `requests`; stderr stays clean."""

    return Handler
