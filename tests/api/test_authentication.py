"""Who a request is from, through the router: several policies, 401, 503, and what is logged."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chalicelib.api.service import Service
from chalicelib.auth import tokens
from chalicelib.auth.basic import BasicPolicy
from chalicelib.auth.policies import (
    Policy,
    PolicyUnavailableError,
    RefusedCredentialsError,
)
from chalicelib.protocol.messages import Request, Response
from chalicelib.settings import Settings
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.failures import UnavailableError
from chalicelib.storage.transactions import Storage
from tests.api.places import assert_error, body_of
from tests.api.test_errors import FailingStorage
from tests.auth.issuer import Issuer, token
from tests.doubles import SECRET, STAGE, Client, SetClock, basic, heard_by

BASIC = 'Basic realm="Realm"'
BEARER = 'Bearer realm="Realm"'
IN_2100_S = 4_102_444_800


class Exploding:
    """A policy that quotes the credentials wherever it can."""

    name = "exploding"
    challenge = "Exploding"

    def __init__(self, kind: type[Exception]) -> None:
        self._kind = kind

    def user_id(self, request: Request) -> str | None:
        header = request.headers.get("authorization", "")
        error = self._kind(f"no user of {header!r}")
        error.__cause__ = ValueError(*header.split())
        raise error


class Lines(logging.Handler):
    """Keeps all that is logged, as any handler can read it."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[str] = []
        self.levels: list[int] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.levels.append(record.levelno)
        self.shown += [logging.Formatter().format(record), repr(vars(record))]


@pytest.fixture
def lines() -> Iterator[Lines]:
    kept = Lines()
    with heard_by(kept, logging.DEBUG):
        yield kept


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def policies(issuer: Issuer) -> list[Policy]:
    """Users of Google, and those of basic authentication."""
    return [issuer.policy("google"), BasicPolicy(SECRET)]


@pytest.fixture
def client(dynamo: Dynamo, policies: list[Policy]) -> Client:
    return client_of(dynamo, policies)


def client_of(dynamo: Dynamo, policies: list[Policy]) -> Client:
    settings = Settings(stage=STAGE, userid_hmac_secret=SECRET, retry_after_seconds=7)
    return Client(Service(settings, Storage(dynamo, SetClock()), policies))


def bearer(**changed: Any) -> dict[str, str]:
    """The header with a good token but for what is changed."""
    return {"Authorization": f"Bearer {token(changed)}"}


def ask(
    client: Client, method: str, path: str, headers: dict[str, str] | None = None, data: Any = None
) -> Response:
    """The answer to a request with these headers; anonymous without."""
    return client.ask(method, path, data, user=None, headers=headers)


# Several policies


def test_each_policy_has_its_users(client: Client) -> None:
    google = ask(client, "GET", "/", bearer())
    alice = ask(client, "GET", "/", {"Authorization": basic("alice")})

    assert body_of(google)["user"] == {"id": "google:42"}
    assert body_of(alice)["user"]["id"].startswith("basicauth:")
    assert "user" not in body_of(ask(client, "GET", "/"))


def test_users_share_with_those_of_another_policy(client: Client) -> None:
    shared = {"permissions": {"read": ["google:42"]}}
    alice = {"Authorization": basic("alice")}
    ask(client, "PUT", "/buckets/blog", alice, shared)

    assert ask(client, "GET", "/buckets/blog", bearer()).status == 200
    assert_error(ask(client, "GET", "/buckets/blog", bearer(sub="43")), 403, 121)
    assert_error(ask(client, "DELETE", "/buckets/blog", bearer()), 403, 121)
    assert_error(ask(client, "GET", "/buckets/blog"), 401, 104)


def test_a_user_of_any_policy_is_a_member_of_groups(client: Client) -> None:
    alice = {"Authorization": basic("alice")}
    group = "/buckets/blog/groups/readers"
    ask(client, "PUT", "/buckets/blog", alice, {"permissions": {"read": [group]}})
    ask(client, "PUT", group, alice, {"data": {"members": ["google:42"]}})

    assert ask(client, "GET", "/buckets/blog", bearer()).status == 200
    assert ask(client, "GET", "/buckets/blog", bearer(sub="43")).status == 403


def test_what_a_user_creates_is_theirs(client: Client) -> None:
    made = ask(client, "PUT", "/buckets/mine", bearer())

    assert body_of(made, 201)["permissions"] == {"write": ["google:42"]}


# 401


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_the_challenges_of_all_policies_are_told(client: Client, method: str) -> None:
    answer = ask(client, method, "/buckets/blog")

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == f"{BEARER}, {BASIC}"


def test_basic_authentication_alone_is_told_as_kinto_does(dynamo: Dynamo) -> None:
    answer = ask(client_of(dynamo, [BasicPolicy(SECRET)]), "GET", "/buckets/blog", bearer())

    assert_error(answer, 401, 104)
    assert answer.headers["WWW-Authenticate"] == BASIC


@pytest.mark.parametrize(
    ("changed", "description"),
    [
        ({"exp": 1}, tokens.EXPIRED),
        ({"nbf": IN_2100_S}, tokens.NOT_YET_VALID),
        ({"aud": "another"}, tokens.OTHER_AUDIENCE),
        ({"iss": "https://another"}, tokens.OTHER_ISSUER),
        ({"sub": None}, tokens.MALFORMED),
    ],
)
def test_what_is_wrong_with_a_token_is_told(
    client: Client, changed: dict[str, Any], description: str
) -> None:
    answer = ask(client, "GET", "/buckets/blog", bearer(**changed))

    assert_error(answer, 401, 104)
    assert answer.body == ask(client, "GET", "/buckets/blog").body
    assert answer.headers["WWW-Authenticate"] == (
        f'{BEARER}, error="invalid_token", error_description="{description}", {BASIC}'
    )


def test_a_token_signed_by_another_is_told(client: Client) -> None:
    header, payload, signature = token().split(".")
    sent = {"Authorization": f"Bearer {header}.{payload}.{signature[::-1][:-1]}A"}

    answer = ask(client, "GET", "/buckets/blog", sent)

    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_the_policy_of_the_tokens_issuer_says_what_is_wrong(dynamo: Dynamo, issuer: Issuer) -> None:
    others = issuer.policy("other", issuer="https://other.example.org")
    for policies in ([issuer.policy("google"), others], [others, issuer.policy("google")]):
        answer = ask(client_of(dynamo, policies), "GET", "/buckets/blog", bearer(exp=1))

        assert answer.headers["WWW-Authenticate"] == (
            f'{BEARER}, error="invalid_token", error_description="{tokens.EXPIRED}"'
        )


def test_a_bad_token_is_as_none_where_the_public_may_read(client: Client) -> None:
    public = {"permissions": {"read": ["system.Everyone"]}}
    ask(client, "PUT", "/buckets/blog", bearer(), public)

    answer = ask(client, "GET", "/buckets/blog", bearer(exp=1))

    assert answer.status == 200
    assert "WWW-Authenticate" not in answer.headers


def test_who_is_authenticated_is_not_asked_to(client: Client) -> None:
    answer = ask(client, "GET", "/buckets/blog", bearer())

    assert_error(answer, 403, 121)
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("sub", ["x" * 1000, "a\nb", "\u202e"])
def test_a_sub_that_can_be_no_user_id_is_nobodys(client: Client, sub: str) -> None:
    assert "user" not in body_of(ask(client, "GET", "/", bearer(sub=sub)))


# 503


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("PUT", "/buckets/blog")])
def test_while_keys_cannot_be_had_it_is_503(
    client: Client, issuer: Issuer, lines: Lines, method: str, path: str
) -> None:
    issuer.is_down = True

    answer = ask(client, method, path, bearer())

    assert_error(answer, 503, 201)
    assert answer.headers["Retry-After"] == "7"
    assert logging.CRITICAL in lines.levels
    assert (
        f"{method} /v1{path} (request request of None): the keys of the policy google can't be"
        " had, FetchError('not reached')"
    ) in lines.shown


def test_users_of_other_policies_do_not_need_the_keys(client: Client, issuer: Issuer) -> None:
    issuer.is_down = True

    assert ask(client, "GET", "/", {"Authorization": basic("alice")}).status == 200
    assert ask(client, "GET", "/").status == 200
    assert ask(client, "GET", "/", bearer(iss="https://another")).status == 200


def test_keys_that_are_known_are_used_on(client: Client, issuer: Issuer) -> None:
    ask(client, "GET", "/", bearer())
    issuer.is_down = True
    issuer.clock.now_s += 2 * 3600

    assert body_of(ask(client, "GET", "/", bearer()))["user"] == {"id": "google:42"}


# The log


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (bearer, ["google"]),
        (lambda: bearer(exp=1), ["google", "basicauth"]),
        (lambda: {"Authorization": basic("alice")}, ["google", "basicauth"]),
        (dict, ["google", "basicauth"]),
    ],
)
def test_the_summary_has_the_time_of_each_policy_that_was_asked(
    client: Client,
    headers: Callable[[], dict[str, str]],
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logged: dict[str, Any] = {}
    monkeypatch.setattr(
        "chalicelib.api.service.log_request", lambda *_, **fields: logged.update(fields)
    )

    ask(client, "GET", "/", headers())

    assert [*logged["policies_ms"]] == expected


def test_the_summary_has_the_time_of_a_policy_that_cannot_tell(
    client: Client, issuer: Issuer, lines: Lines
) -> None:
    issuer.is_down = True

    ask(client, "GET", "/", bearer())

    (summary,) = [shown for shown in lines.shown if shown.startswith('"GET   /v1/"')]
    assert 'authn_ms={"google": ' in summary
    assert "basicauth" not in summary


def _bearing(text: str) -> tuple[str, list[str]]:
    return f"Bearer {text}", [text]


SENT: dict[str, Callable[[], tuple[str, list[str]]]] = {
    "a good token": lambda: _bearing(token()),
    "a bad token": lambda: _bearing(token({"exp": 1})),
    "no token": lambda: _bearing("not-a-token-at-all"),
    "no scheme": lambda: ("not-a-token-at-all", ["not-a-token-at-all"]),
    "a password": lambda: (
        basic("alice", "cörrect 'horse'"),
        [basic("alice", "cörrect 'horse'").split()[1], "cörrect 'horse'", "alice:cörrect 'horse'"],
    ),
}
"""The header, and what of it is secret: made in the test, as a good token is good for minutes."""


@pytest.fixture(params=SENT.values(), ids=SENT)
def sent(request: pytest.FixtureRequest) -> tuple[str, list[str]]:
    made: tuple[str, list[str]] = request.param()
    return made


@pytest.mark.parametrize(
    "failing",
    [
        None,
        Exploding(ValueError),
        Exploding(PolicyUnavailableError),
        Exploding(RefusedCredentialsError),
    ],
    ids=["nothing", "policy", "unavailable", "refused"],
)
def test_no_credential_is_logged_or_answered(
    dynamo: Dynamo,
    policies: list[Policy],
    lines: Lines,
    sent: tuple[str, list[str]],
    failing: Policy | None,
) -> None:
    header, secrets = sent
    client = client_of(dynamo, [*([failing] if failing else []), *policies])

    answers = [
        ask(client, method, path, {"Authorization": header, "User-Agent": f"curl {header}"})
        for method, path in (
            ("GET", "/"),
            ("GET", "/buckets/blog"),
            ("PUT", "/buckets/blog"),
            ("GET", "/nowhere"),
            ("TRACE", "/buckets/blog"),
        )
    ]
    repeated = client.ask(
        "GET", f"/buckets/{secrets[0]}", user=None, headers={"Authorization": header}, q=secrets[0]
    )

    assert repeated.status in (401, 403, 400, 500, 503)
    told = "\n".join([*lines.shown, *(f"{answer.headers}{answer.body}" for answer in answers)])
    assert len(lines.shown) >= 2 * 6
    assert [secret for secret in secrets if secret in told] == []


def test_no_credential_is_logged_where_the_storage_fails(
    policies: list[Policy], lines: Lines, sent: tuple[str, list[str]]
) -> None:
    header, secrets = sent
    unavailable = UnavailableError(may_repeat=True)
    unavailable.__cause__ = ValueError(header, *secrets)
    for failure in (ValueError(header, *secrets), unavailable):
        client = Client(Service(Settings(stage=STAGE), FailingStorage(failure), policies))

        answer = ask(client, "GET", "/buckets/blog", {"Authorization": header})

        assert answer.status in (500, 503)
        told = "\n".join([*lines.shown, str(answer)])
        assert [secret for secret in secrets if secret in told] == []
