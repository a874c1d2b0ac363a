"""What a function loads and makes as it starts, each time in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

START = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from botocore.session import Session
made, create_client = [], Session.create_client
def noted(session, service, *given, **named):
    made.append(service)
    return create_client(session, service, *given, **named)
Session.create_client = noted

import app

import gc, json
collects = gc.isenabled()
print(json.dumps({{"modules": [*sys.modules], "clients": made, "collects": collects}}))
"""

VARIABLES = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "eu-west-1",
    "KINTO_USERID_HMAC_SECRET": "a secret",
}


def started(**more: str) -> dict[str, Any]:
    """What is there once the application is imported, with these variables, too."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", START],
        env=VARIABLES | more,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def on_lambda() -> dict[str, Any]:
    return started(AWS_LAMBDA_FUNCTION_NAME="kinto-serverless-dev")


@pytest.mark.parametrize(
    "module",
    [
        # Libraries: of schemas, of tokens, of webhooks, of tracing, and AWS's larger one.
        "attr",
        "chalicelib.storage.traced_calls",
        "boto3",
        "cryptography",
        "jsonschema",
        "jwt",
        "referencing",
        "regex",
        "rpds",
        "standardwebhooks",
        "typing_extensions",
        # pynamodb's models, of which there are none here.
        "pynamodb.indexes",
        "pynamodb.models",
        "pynamodb.transactions",
        # Of Python's own, those that are large.
        "asyncio",
        "fractions",
        "multiprocessing",
        "statistics",
        "unittest",
        # Ours: what other functions do, plugins and policies that are configured, schemas.
        "chalicelib.auth.openid",
        "chalicelib.background",
        "chalicelib.events.changes",
        "chalicelib.events.deliveries",
        "chalicelib.events.listeners",
        "chalicelib.events.outbound",
        "chalicelib.events.purging",
        "chalicelib.plugins.default_bucket",
        "chalicelib.plugins.flush",
        "chalicelib.plugins.listening",
        "chalicelib.protocol.schemas",
        "chalicelib.storage.purge",
    ],
)
def test_what_few_requests_need_is_not_loaded_before_they_come(
    on_lambda: dict[str, Any], module: str
) -> None:
    assert module not in on_lambda["modules"]


def test_the_client_of_dynamodb_is_there_before_the_first_request(
    on_lambda: dict[str, Any],
) -> None:
    assert on_lambda["clients"] == ["dynamodb"]


def test_elsewhere_than_on_lambda_no_client_is_made_before_it_is_needed() -> None:
    assert started()["clients"] == []


def test_garbage_is_collected_again_once_the_application_has_started(
    on_lambda: dict[str, Any],
) -> None:
    assert on_lambda["collects"]
