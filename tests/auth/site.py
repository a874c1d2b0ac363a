"""A web site on a loopback address."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """Answers by path: `pages` has the status and the body of each.

    Attributes:
        url: without a slash at the end.
        asked: path and Authorization header of each request.
        pages: a function gets the request's handler and answers itself.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[tuple[str, str | None]] = []
        self.pages: dict[str, tuple[int, object] | Callable[[BaseHTTPRequestHandler], None]] = {}


@contextmanager
def site() -> Iterator[Site]:
    """A web site while the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown.asked.append((self.path, self.headers["Authorization"]))
            page = shown.pages.get(self.path, (404, {}))
            if callable(page):
                return page(self)
            status, body = page
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return None

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shown = Site(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield shown
        finally:
            server.shutdown()
            thread.join()
