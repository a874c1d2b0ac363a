"""What is wrong with a URL: `chalicelib/protocol/urls.py`."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.protocol.urls import is_loopback, problem_of_url

BLANK = "has characters other than printable ASCII without blanks"
NO_HOST = "has no host"
IMPOSSIBLE = "has no possible host or port"
USER = "has a user name or a password"
FRAGMENT = "has a fragment"
NOT_HTTPS = "is not https"
NEITHER = "is neither https nor http on a loopback address"


@pytest.mark.parametrize("host", ["localhost", "LocalHost", "127.0.0.1", "127.255.255.254", "::1"])
def test_a_loopback_host_says_so(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost.",
        "a.localhost",
        "localhost.example.org",
        "2130706433",
        "0x7f.1",
        "127.1",
        "127.0.0.1.example.org",
        "[::1]",
        "::",
        "0.0.0.0",  # noqa: S104 - no address to bind to
        "128.0.0.1",
        "10.0.0.1",
    ],
)
def test_other_hosts_are_not_taken_for_loopback_ones(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "https://example.org/",
        "https://example.org:8443/a//b;c?d=e&f=%23@:",
        "https://example.org:/",
        "https://[2600::1]:1/",
        "HTTPS://EXAMPLE.ORG/",
        "https://localhost/",
        "https://10.0.0.1/",
    ],
)
@pytest.mark.parametrize("allows_loopback", [False, True])
def test_https_urls_are_posted_to(url: str, allows_loopback: bool) -> None:
    assert problem_of_url(url, allows_loopback=allows_loopback) is None


@pytest.mark.parametrize(
    "url", ["http://localhost", "http://LOCALHOST:80/a", "http://127.0.0.1:8888/", "http://[::1]/"]
)
def test_http_will_do_on_a_loopback_host_where_that_is_allowed(url: str) -> None:
    assert problem_of_url(url, allows_loopback=True) is None
    assert problem_of_url(url, allows_loopback=False) == NOT_HTTPS


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "http://localhost.example.org/",
        "http://10.0.0.1/",
        "http://2130706433/",
        "ftp://localhost/",
        "//localhost/",
        "httpss://example.org/",
    ],
)
def test_other_schemes_are_refused(url: str) -> None:
    assert problem_of_url(url, allows_loopback=True) == NEITHER
    assert problem_of_url(url, allows_loopback=False) == NOT_HTTPS


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", NO_HOST),
        ("example.org", NO_HOST),
        ("https:example.org", NO_HOST),
        ("https:///a", NO_HOST),
        ("https://:443/", NO_HOST),
        ("https://[::1/", IMPOSSIBLE),
        ("https://[example.org]/", IMPOSSIBLE),
        ("https://example.org:65536/", IMPOSSIBLE),
        ("https://example.org:-1/", IMPOSSIBLE),
        ("https://example.org:https/", IMPOSSIBLE),
        ("https://user@example.org/", USER),
        ("https://user:password@example.org/", USER),
        ("https://:password@example.org/", USER),
        ("https://@example.org/", USER),
        ("https://example.org\\@localhost/", USER),
        ("https://example.org/#", FRAGMENT),
        ("https://example.org/#a", FRAGMENT),
        ("https://example.org#@localhost/", FRAGMENT),
        (" https://example.org/", BLANK),
        ("https://example.org/ ", BLANK),
        ("https://example.org/a b", BLANK),
        ("https://exam\tple.org/", BLANK),
        ("https://example.org/\r\nHost: localhost", BLANK),
        ("https://example.org/\x00", BLANK),
        ("https://example.org/\x7f", BLANK),
        ("https://example.org/é", BLANK),
        ("https://ｅxample.org/", BLANK),  # noqa: RUF001 - a letter of another width
    ],
)
def test_a_url_that_is_none_or_says_too_much_is_refused(url: str, problem: str) -> None:
    assert problem_of_url(url, allows_loopback=True) == problem


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://example.org/#a", None),
        ("https://example.org/#a b", BLANK),
        ("https://#@example.org/", NO_HOST),
    ],
)
def test_a_fragment_may_be_passed_over(url: str, problem: str | None) -> None:
    found = problem_of_url(url, allows_loopback=False, allows_fragment=True)

    assert found == problem


@given(st.text("https://a.[]:@#?1 \\\té%", max_size=30))
def test_whatever_is_posted_to_has_a_host_and_a_port_and_nothing_else_before_its_path(
    rest: str,
) -> None:
    url = f"https://{rest}"
    if problem_of_url(url, allows_loopback=False) is None:
        parts = urlsplit(url)
        written = url.removeprefix("https://").split("/")[0].split("?")[0]

        assert parts.hostname
        assert parts.netloc == written
        assert "@" not in written
        assert "#" not in url


@given(st.text("abc:/@#? \té.", max_size=20))
def test_no_problem_quotes_the_url(secret: str) -> None:
    for scheme in ("https", "http", "x"):
        url = f"{scheme}://q7z.example/{secret}"

        assert "q7z" not in (problem_of_url(url, allows_loopback=True) or "")
