"""What ships: all that functions need beside what Lambda has, and the same bytes each time."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path

import pytest

from bench.unpacked import unpack
from chalicelib.settings import Settings
from infra import packaging
from infra.gateway_answers import gateway_answers
from infra.packaging import ARCHIVE, HERE, package
from infra.stages import STREAM

ANSWERS = "x-amazon-apigateway-gateway-responses"

IMPORT_ALL = """
import importlib, os, pkgutil, sys
os.environ |= {"AWS_DEFAULT_REGION": "eu-west-1", "KINTO_USERID_HMAC_SECRET": "a secret"}
import app, chalicelib
for module in pkgutil.walk_packages(chalicelib.__path__, "chalicelib."):
    importlib.import_module(module.name)
for name in ("jwt.algorithms", "cryptography.hazmat.primitives.asymmetric.rsa", "jsonschema",
             "regex", "standardwebhooks"):
    importlib.import_module(name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def names(packaged: Path) -> list[str]:
    with zipfile.ZipFile(packaged / ARCHIVE) as archive:
        return archive.namelist()


def test_nothing_ships_that_lambda_has_or_that_only_tests_need(names: list[str]) -> None:
    parts = {part for name in names for part in name.split("/")[:-1]}

    assert {"chalicelib", "cryptography", "jsonschema", "pynamodb"} <= parts
    assert not parts & {"boto3", "botocore", "cffi", "infra", "pip", "pycparser", "test", "tests"}
    assert not [name for name in names if name.startswith((".", "bench", "docs"))]


def test_every_module_ships_with_its_bytecode_which_is_never_compared(
    packaged: Path, names: list[str]
) -> None:
    unchecked_hash = (1).to_bytes(4, "little")
    modules = [name for name in names if name.endswith(".py")]

    with zipfile.ZipFile(packaged / ARCHIVE) as archive:
        heads = {name: archive.read(cache_from_source(name))[:16] for name in modules}
        sources = {name: archive.read(name) for name in modules}

    assert {"app.py", "chalice/app.py", "pynamodb/connection/base.py"} <= {*modules}
    assert heads == {
        name: MAGIC_NUMBER + unchecked_hash + source_hash(source)
        for name, source in sources.items()
    }


def test_the_package_is_small(packaged: Path) -> None:
    assert (packaged / ARCHIVE).stat().st_size < 8_000_000


def test_what_ships_and_what_lambda_has_is_all_that_is_imported(
    packaged: Path, tmp_path: Path
) -> None:
    folders = unpack(packaged / ARCHIVE, tmp_path)
    path = f"import sys; sys.path[:0] = {folders}"

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", path + IMPORT_ALL],
        cwd=tmp_path,
        env={},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert {"chalicelib", "botocore", "pynamodb"} <= {*done.stdout.split()}


def test_the_same_sources_give_the_same_bytes(packaged: Path, tmp_path: Path) -> None:
    build = tmp_path / "build"
    before = os.umask(0o077)
    try:
        again = package(tmp_path / "out", "dev", build=build, architecture=HERE)
    finally:
        os.umask(before)

    assert (again / ARCHIVE).read_bytes() == (packaged / ARCHIVE).read_bytes()


def test_pipelines_get_a_package_that_names_no_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORMAT", "terraform")

    assert packaging.main("prod", str(tmp_path / "out")) == 0

    told = capsys.readouterr().out
    assert f"{tmp_path / 'out' / ARCHIVE}: " in told
    text = (tmp_path / "out" / "chalice.tf.json").read_text()
    template = json.loads(text)
    answers = json.loads(template["locals"]["chalice_api_swagger"])[ANSWERS]
    assert answers["THROTTLED"]["statusCode"] == "429"
    variables = template["resource"]["aws_lambda_function"]["changes"]["environment"]
    assert variables["variables"][STREAM] == "${var.objects_stream_arn}"
    assert "000000000000" not in text


def test_the_gateways_answers_are_in_the_definition_of_the_api(packaged: Path) -> None:
    resources = json.loads((packaged / "sam.json").read_text())["Resources"]

    answers = resources["RestAPI"]["Properties"]["DefinitionBody"][ANSWERS]
    assert answers == gateway_answers(Settings())


@pytest.mark.parametrize(
    ("stage", "format", "why"),
    [("", "", "which stage"), ("nowhere", "", "no stage nowhere"), ("prod", "zip", "FORMAT=zip")],
)
def test_what_cannot_be_packaged_is_told(
    stage: str,
    format: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FORMAT", format)

    assert packaging.main(stage) == 1
    assert why in capsys.readouterr().err
