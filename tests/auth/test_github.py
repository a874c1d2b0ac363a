"""The example of a custom policy: `examples/github_policy.py`, shown in the documentation."""

import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.auth.policies import (
    Policy,
    PolicyUnavailableError,
    RefusedCredentialsError,
    authenticate,
)
from chalicelib.protocol.messages import Request
from tests.auth.site import Site, site

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "github_policy.py"
TOKEN = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"


@pytest.fixture(scope="module")
def example() -> Any:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("github_policy", EXAMPLE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def github() -> Iterator[Site]:
    """GitHub's API, where everybody is 583231."""
    with site() as shown:
        shown.pages["/user"] = (200, {"id": 583231, "login": "octocat"})
        yield shown


@pytest.fixture
def policy(example: Any, github: Site) -> Policy:
    made: Policy = example.GithubPolicy("github", {"url": github.url})
    return made


def sending(header: str) -> Request:
    return Request("GET", "/v1/", headers={"authorization": header})


def test_the_documentation_shows_the_example_and_it_is_short() -> None:
    code = EXAMPLE.read_text()

    assert f"```python\n{code}```\n" in (ROOT / "docs" / "authentication.md").read_text()
    assert len(code.splitlines()) <= 35


@pytest.mark.parametrize(
    "token", [TOKEN, "gho_abc", "github_pat_11ABC_def", "GHP_abc", "ghu_" + "x" * 255]
)
def test_a_user_is_the_number_of_the_account(policy: Policy, github: Site, token: str) -> None:
    assert authenticate(sending(f"Bearer {token}"), [policy]).user_id == "github:583231"
    assert github.asked == [("/user", f"Bearer {token}")]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic YWxpY2U6c2VjcmV0",
        "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
        "Bearer ghp_",
        "Bearer ghp_a.b",
        "Bearer ghp_a b",
        "Bearer ghp_a\n",
        "Bearer ghp_é",
        "Bearer gh\u017f_a",
        "Bearer ghp_" + "x" * 256,
        TOKEN,
    ],
)
def test_github_does_not_see_what_are_no_tokens_of_its(
    policy: Policy, github: Site, header: str
) -> None:
    assert policy.user_id(sending(header)) is None
    assert github.asked == []


def test_github_is_asked_once_a_minute(
    example: Any, policy: Policy, github: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for now_s in (600.0, 630.0, 659.9, 660.0, 700.0):
        clock = SimpleNamespace(monotonic=lambda now_s=now_s: now_s)
        monkeypatch.setattr(example, "time", clock)
        assert policy.user_id(sending(f"Bearer {TOKEN}")) == "583231"

    assert len(github.asked) == 2


def test_another_token_may_be_another_user(policy: Policy, github: Site) -> None:
    policy.user_id(sending(f"Bearer {TOKEN}"))
    github.pages["/user"] = (200, {"id": 1})

    assert policy.user_id(sending("Bearer ghp_other")) == "1"
    assert policy.user_id(sending(f"Bearer {TOKEN}")) == "583231"


def test_tokens_are_not_kept(policy: Policy) -> None:
    policy.user_id(sending(f"Bearer {TOKEN}"))

    assert TOKEN not in repr(vars(policy))


def test_what_is_kept_has_a_limit(policy: Policy) -> None:
    for number in range(20):
        policy.user_id(sending(f"Bearer ghp_{number}"))
    policy._users |= {bytes([number // 256, number % 256]): "1" for number in range(5000)}  # type: ignore[attr-defined]

    policy.user_id(sending(f"Bearer {TOKEN}"))

    assert len(policy._users) == 1000  # type: ignore[attr-defined]


def test_a_token_that_github_does_not_know_is_refused(policy: Policy, github: Site) -> None:
    github.pages["/user"] = (401, {"message": "Bad credentials"})

    with pytest.raises(RefusedCredentialsError, match="GitHub knows no such token"):
        policy.user_id(sending(f"Bearer {TOKEN}"))


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_while_github_refuses_to_tell_nobody_is_told_apart(
    policy: Policy, github: Site, status: int
) -> None:
    github.pages["/user"] = (status, {})

    with pytest.raises(PolicyUnavailableError):
        policy.user_id(sending(f"Bearer {TOKEN}"))


def test_while_github_is_not_reached_nobody_is_told_apart(example: Any) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        policy = example.GithubPolicy("github", {"url": url})

        with pytest.raises(PolicyUnavailableError, match="GitHub does not answer"):
            policy.user_id(sending(f"Bearer {TOKEN}"))


def test_without_the_option_it_is_github_itself(example: Any) -> None:
    assert example.GithubPolicy("github", {})._url == "https://api.github.com/user"
