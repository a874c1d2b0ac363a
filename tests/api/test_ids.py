"""Generators of ids: `chalicelib/api/ids.py`."""

import itertools
import re
from typing import Any

import pytest

from chalicelib.api.ids import id_generators
from chalicelib.api.service import Service
from chalicelib.auth.basic import BasicPolicy
from chalicelib.protocol.kinds import BUCKET, COLLECTION, GROUP, KINDS, RECORD, Kind
from chalicelib.settings import Settings, SettingsError
from chalicelib.storage.connection import Dynamo
from chalicelib.storage.transactions import Storage
from tests.api.places import BUCKET as BUCKET_PATH
from tests.api.places import COLLECTIONS, body_of, made
from tests.doubles import SECRET, STAGE, Client, SetClock

HERE = __name__
NAME = "kinto.views.NameGenerator"
UUID = "cliquet.storage.generators.UUID4"
UUID_PATTERN = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


class Numbered:
    """Gives names, one after the other."""

    def __init__(self) -> None:
        self._numbers = itertools.count()

    def __call__(self) -> str:
        return f"number-{next(self._numbers)}"


class NoText:
    def __call__(self) -> int:
        return 12


class NoId:
    def __call__(self) -> str:
        return "a/b"


class Failing:
    def __call__(self) -> str:
        raise RuntimeError("no more")


class OfAnArgument:
    def __init__(self, prefix: str) -> None: ...


class NotCalled:
    pass


class Ageing:
    """Gives an id when asked first, and none from then on."""

    def __init__(self) -> None:
        self._ids = itertools.chain(["first"], itertools.repeat("a/b"))

    def __call__(self) -> str:
        return next(self._ids)


def given_with(kind: Kind, **generators: Any) -> str:
    return id_generators(Settings(**generators))(kind)


def refused(**generators: Any) -> str:
    """How the start is refused with these generators."""
    with pytest.raises(SettingsError) as caught:
        id_generators(Settings(**generators))
    return str(caught.value)


@pytest.mark.parametrize("kind", [BUCKET, COLLECTION, GROUP])
def test_all_but_records_get_names_by_default(kind: Kind) -> None:
    assert re.fullmatch("[a-zA-Z0-9][a-zA-Z0-9_-]{7}", given_with(kind))


def test_records_get_uuids_by_default() -> None:
    assert re.fullmatch(UUID_PATTERN, given_with(RECORD))


@pytest.mark.parametrize("kind", [BUCKET, COLLECTION, GROUP])
def test_the_built_in_generators_are_known_by_their_names(kind: Kind) -> None:
    setting = f"{kind.name}_id_generator"

    assert re.fullmatch(UUID_PATTERN, given_with(kind, **{setting: UUID}))
    assert len(given_with(kind, **{setting: NAME})) == 8


@pytest.mark.parametrize("path", [f"{HERE}.Numbered", f"{HERE}:Numbered"])
@pytest.mark.parametrize("kind", [BUCKET, COLLECTION, GROUP])
def test_a_kind_may_have_a_generator_of_its_own(kind: Kind, path: str) -> None:
    new_id = id_generators(Settings(**{f"{kind.name}_id_generator": path}))

    ids = [new_id(kind), new_id(kind)]
    assert ids == ["number-1", "number-2"]  # the first is looked at when the service starts
    for other in (BUCKET, COLLECTION, GROUP):
        assert new_id(other).startswith("number-") == (other is kind)


def test_what_has_no_generator_of_its_own_uses_the_common_one() -> None:
    assert "KINTO_ID_GENERATOR=" in refused(id_generator=f"{HERE}.NoId")
    assert re.fullmatch(UUID_PATTERN, given_with(RECORD, id_generator=UUID))
    own = given_with(RECORD, id_generator=f"{HERE}.NoId", record_id_generator=UUID)
    assert re.fullmatch(UUID_PATTERN, own)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("path", "why"),
    [
        (f"{HERE}.NoText", "gives 12, which is no id of a {kind}"),
        (f"{HERE}.NoId", "gives 'a/b', which is no id of a {kind}"),
        (f"{HERE}.Failing", "gives no ids: RuntimeError('no more')"),
        (f"{HERE}.NotCalled", "makes no generator: it can't be called"),
        (f"{HERE}.nothing", "names nothing that can be called"),
        ("nowhere.A", "can't be imported: ModuleNotFoundError: No module named 'nowhere'"),
    ],
)
def test_what_gives_no_ids_is_refused_by_the_variables_name(
    kind: Kind, path: str, why: str
) -> None:
    variable = f"KINTO_{kind.name.upper()}_ID_GENERATOR"

    found = refused(**{f"{kind.name}_id_generator": path})

    assert found == f"{variable}={path} {why.format(kind=kind.name)}"


def test_a_class_that_takes_arguments_is_refused() -> None:
    found = refused(bucket_id_generator=f"{HERE}.OfAnArgument")

    assert "makes no generator: TypeError(" in found


def test_names_are_no_ids_of_records() -> None:
    assert "which is no id of a record" in refused(record_id_generator=NAME)


@pytest.mark.parametrize("path", ["x", "a b.c", "a:b.c", "a:", ":a", "a::b", ""])
def test_what_is_no_dotted_path_is_refused(path: str) -> None:
    expected = f"KINTO_BUCKET_ID_GENERATOR is not {NAME}, {UUID} or a dotted Python path"

    assert refused(bucket_id_generator=path) == expected


def test_a_post_without_id_asks_the_generator(dynamo: Dynamo, clock: SetClock) -> None:
    settings = Settings(
        stage=STAGE, userid_hmac_secret=SECRET, collection_id_generator=f"{HERE}.Numbered"
    )
    client = Client(Service(settings, Storage(dynamo, clock), [BasicPolicy(SECRET)]))
    made(client)
    client.ask("PUT", f"{BUCKET_PATH}/collections/number-1")

    created = body_of(client.ask("POST", COLLECTIONS, {"data": {}}), 201)

    assert created["data"]["id"] == "number-2"


def test_what_is_no_id_is_a_mistake_of_ours(dynamo: Dynamo, clock: SetClock) -> None:
    settings = Settings(
        stage=STAGE, userid_hmac_secret=SECRET, collection_id_generator=f"{HERE}.Ageing"
    )
    client = Client(Service(settings, Storage(dynamo, clock), [BasicPolicy(SECRET)]))
    made(client)

    assert client.ask("POST", COLLECTIONS, {"data": {}}).status == 500
