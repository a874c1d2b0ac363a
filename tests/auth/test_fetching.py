"""Documents of providers: `chalicelib/auth/fetching.py`."""

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace

import pytest

from chalicelib.auth import fetching
from chalicelib.auth.fetching import MAX_BYTES, FetchError, fetch_json
from chalicelib.auth.openid import OpenIdPolicy
from chalicelib.auth.providers import Provider
from tests.auth.issuer import AUDIENCE, bearing, jwk_of, rsa_key, token
from tests.auth.site import Site, site


@pytest.fixture
def pages() -> Iterator[Site]:
    with site() as shown:
        yield shown


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port where nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def failure(url: str) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetch_json(url)
    return caught.value


def test_a_json_object_is_fetched(pages: Site) -> None:
    pages.pages["/a?b=c"] = (200, {"é": [1]})

    assert fetch_json(f"{pages.url}/a?b=c") == {"é": [1]}
    assert pages.asked == [("/a?b=c", None)]


def test_headers_are_sent_along(pages: Site) -> None:
    pages.pages["/"] = (200, {})

    fetch_json(f"{pages.url}/", {"Authorization": "Bearer x"})

    assert pages.asked == [("/", "Bearer x")]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"9" * 10_000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"a":"' + b"x" * MAX_BYTES, "more than 262144 bytes"),
    ],
)
def test_what_is_no_json_object_of_reasonable_size_is_refused(
    pages: Site, body: bytes, why: str
) -> None:
    pages.pages["/"] = (200, body)

    assert str(failure(f"{pages.url}/")) == why


@pytest.mark.parametrize("status", [201, 301, 302, 307, 308, 401, 404, 500, 503])
def test_another_status_is_told(pages: Site, status: int) -> None:
    pages.pages["/"] = (status, {"a": 1})

    error = failure(f"{pages.url}/")

    assert (str(error), error.status) == (f"answered {status}", status)


def test_no_redirect_is_followed(pages: Site) -> None:
    def leads_on(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"{pages.url}/other")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    pages.pages |= {"/": leads_on, "/other": (200, {})}

    assert failure(f"{pages.url}/").status == 302
    assert [path for path, _ in pages.asked] == ["/"]


def test_a_provider_that_is_not_there_is_not_reached(closed_port: int) -> None:
    error = failure(f"http://127.0.0.1:{closed_port}/")

    assert (str(error), error.status) == ("not reached: ConnectionRefusedError", None)


def test_what_is_no_http_is_not_reached(pages: Site) -> None:
    pages.pages["/"] = lambda handler: handler.wfile.write(b"hello\r\n\r\n") and None

    assert str(failure(f"{pages.url}/")) == "not reached: BadStatusLine"


def test_a_body_that_ends_early_is_not_json(pages: Site) -> None:
    def ends_early(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100")
        handler.end_headers()
        handler.wfile.write(b'{"a"')
        handler.close_connection = True

    pages.pages["/"] = ends_early

    assert str(failure(f"{pages.url}/")) in ("not JSON", "not reached: IncompleteRead")


def test_nobody_waits_for_a_provider_that_does_not_answer(
    pages: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = failure(f"http://127.0.0.1:{silent.getsockname()[1]}/")

    assert str(error) == "not reached: TimeoutError"


def test_nobody_waits_for_a_body_that_comes_in_drops(
    pages: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drips(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b" " * 100)

    pages.pages["/"] = drips
    times = iter([0.0, 3.5])
    monkeypatch.setattr(fetching, "time", SimpleNamespace(monotonic=lambda: next(times, 3.5)))

    assert str(failure(f"{pages.url}/")) == "takes longer than 3 s"


@pytest.mark.parametrize(
    "url", ["http://example.org/", "file:///etc/hostname", "data:,{}", "ftp://localhost/", "x", ""]
)
def test_other_urls_are_not_opened(url: str) -> None:
    assert str(failure(url)) == "not an https URL"


def test_a_provider_on_this_machine_is_asked_over_http(pages: Site) -> None:
    pages.pages |= {
        "/.well-known/openid-configuration": (
            200,
            {"issuer": pages.url, "jwks_uri": f"{pages.url}/keys"},
        ),
        "/keys": (200, {"keys": [jwk_of(rsa_key("first"), kid="first")]}),
    }
    policy = OpenIdPolicy("local", Provider(pages.url, frozenset({AUDIENCE})))

    assert policy.user_id(bearing(token({"iss": pages.url}))) == "42"
