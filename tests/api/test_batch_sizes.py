"""Batches up to what a transaction, an item and an answer hold, and above it.

Rule: spec, "Batch and transactions", section 6: what can't be stored as a whole is not stored.
"""

import random
import string
from typing import Any

import pytest

from chalicelib.protocol.messages import JsonObject, Response
from chalicelib.storage.connection import Dynamo
from tests.api.filling import fill
from tests.api.places import (
    BUCKET,
    COLLECTION,
    COLLECTIONS,
    OTHER_ID,
    RECORD,
    RECORDS,
    assert_error,
    body_of,
    made,
    state,
)
from tests.api.test_batch import PERSONAL, answers, batch, client_at, record, statuses, to, total
from tests.doubles import Client, CountedCalls
from tests.shared_moto import empty_streams

OTHER = f"{RECORDS}/{OTHER_ID}"
AT_ONCE = {"BatchGetItem": 1, "TransactWriteItems": 1}
ROWS_FIRST = {"BatchGetItem": 1, "TransactWriteItems": 2}
KB = 1000


@pytest.fixture
def client(dynamo: Dynamo) -> Client:
    """A client of a service with personal buckets."""
    return client_at(dynamo)


def noise(size: int, seed: int = 1) -> str:
    """Text that takes as much in an answer, and compressed not much less."""
    letters = (string.ascii_letters + string.digits + string.punctuation).translate(
        {ord('"'): None, ord("\\"): None}
    )
    return "".join(random.Random(seed).choices(letters, k=size))  # noqa: S311 - no secret


def assert_refused(client: Client, answer: Response, before: dict[str, Any]) -> None:
    """Hold a batch to be refused as a whole, with nothing written."""
    assert_error(answer, 413, 113)
    assert "responses" not in body_of(answer, 413)
    assert "Retry-After" not in answer.headers
    assert state(client) == before


# Actions


def test_25_new_buckets_fit_in_with_their_rows_first(client: Client, calls: CountedCalls) -> None:
    made(client)
    calls.take()

    found = answers(client, *(to("PUT", f"/buckets/b{n}", {"n": n}) for n in range(25)))

    assert statuses(found) == [201] * 25
    assert calls.take() == ROWS_FIRST
    assert client.ask("GET", "/buckets").headers["Total-Records"] == "26"
    assert body_of(client.ask("GET", "/buckets/b24"))["data"]["n"] == 24


def test_the_very_first_request_may_be_25_new_buckets(client: Client) -> None:
    found = answers(client, *(to("POST", "/buckets", {"id": f"b{n}"}) for n in range(25)))

    assert statuses(found) == [201] * 25
    assert client.ask("GET", "/buckets").headers["Total-Records"] == "25"


def test_25_new_collections_in_25_buckets_fit_in(client: Client, calls: CountedCalls) -> None:
    answers(client, *(to("PUT", f"/buckets/b{n}") for n in range(25)))
    calls.take()

    found = answers(client, *(to("PUT", f"/buckets/b{n}/collections/c") for n in range(25)))

    assert statuses(found) == [201] * 25
    assert calls.take()["BatchGetItem"] == 1
    for number in (0, 24):
        assert client.ask("GET", f"/buckets/b{number}/collections/c/records").status == 200


def test_25_buckets_with_their_contents_are_deleted_together(client: Client) -> None:
    answers(client, *(to("PUT", f"/buckets/b{n}") for n in range(25)))

    found = answers(client, *(to("DELETE", f"/buckets/b{n}") for n in range(25)))

    assert statuses(found) == [200] * 25
    assert client.ask("GET", "/buckets").headers["Total-Records"] == "0"


def test_a_personal_bucket_begins_with_25_collections(client: Client) -> None:
    found = answers(
        client, *(to("POST", f"{PERSONAL}/collections/c{n}/records", {"n": n}) for n in range(25))
    )

    assert statuses(found) == [201] * 25
    collections = client.ask("GET", f"{PERSONAL}/collections")
    assert collections.headers["Total-Records"] == "25"
    records = body_of(client.ask("GET", f"{PERSONAL}/collections/c24/records"))["data"]
    assert [each["n"] for each in records] == [24]


def test_25_users_may_begin_to_use_their_buckets_together(client: Client) -> None:
    found = answers(client, *(to("GET", PERSONAL, user=f"user{n}") for n in range(25)))

    assert statuses(found) == [200] * 25
    assert len({answer["body"]["data"]["id"] for answer in found}) == 25
    for answer in found:
        assert client.ask("GET", f"/buckets/{answer['body']['data']['id']}").status == 403


def test_25_users_with_a_record_each_are_refused_as_a_whole(
    client: Client, calls: CountedCalls
) -> None:
    path = f"{PERSONAL}/collections/tasks/records"
    before = state(client)

    answer = batch(client, *(to("POST", path, {}, user=f"user{n}") for n in range(25)))

    assert_refused(client, answer, before)
    assert "TransactWriteItems" not in calls.take()


def test_as_many_records_as_a_transaction_has_actions(dynamo: Dynamo) -> None:
    client = client_at(dynamo, batch_max_requests=0)
    made(client)

    found = answers(client, *(to("PUT", record(n), {"n": n}) for n in range(99)))

    assert statuses(found) == [201] * 99
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "100"
    before = state(client)
    too_many = batch(client, *(to("PUT", record(n), {"n": n}) for n in range(100)))
    assert_refused(client, too_many, before)


@pytest.mark.parametrize("count", [90, 98, 99])
def test_a_list_that_fits_in_is_deleted_in_a_batch(
    client: Client, dynamo: Dynamo, count: int
) -> None:
    made(client)
    fill(dynamo, count - 1)
    since = client.ask("GET", RECORDS).headers["ETag"].strip('"')

    found = answers(
        client, to("DELETE", RECORDS), to("HEAD", RECORDS), to("GET", f"{RECORDS}?_since={since}")
    )

    assert statuses(found) == [200] * 3
    assert len(found[0]["body"]["data"]) == count
    assert total(found[1]) == 0
    assert len(found[2]["body"]["data"]) == count
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "0"
    assert len(body_of(client.ask("GET", RECORDS, _since=since))["data"]) == count


@pytest.mark.parametrize("transaction_per_request", [True, False])
def test_a_list_that_takes_several_transactions_is_not_deleted_in_a_batch(
    dynamo: Dynamo, transaction_per_request: bool
) -> None:
    client = client_at(dynamo, transaction_per_request=transaction_per_request)
    made(client)
    fill(dynamo, 200)
    before = state(client)

    answer = batch(client, to("DELETE", RECORDS), to("PUT", OTHER, {}))

    assert_refused(client, answer, before)


def test_a_long_list_takes_what_was_done_before_it_with_it(client: Client, dynamo: Dynamo) -> None:
    made(client)
    fill(dynamo, 200)
    before = state(client)

    answer = batch(client, to("PUT", "/buckets/new"), to("DELETE", RECORD), to("DELETE", RECORDS))

    assert_refused(client, answer, before)


def test_a_part_of_a_long_list_is_deleted_in_a_batch(client: Client, dynamo: Dynamo) -> None:
    made(client)
    fill(dynamo, 200)

    found = answers(client, to("DELETE", f"{RECORDS}?max_n=49"), to("POST", RECORDS, {}))

    assert len(found[0]["body"]["data"]) == 50
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "152"


def test_two_lists_that_are_too_much_together_are_both_kept(client: Client, dynamo: Dynamo) -> None:
    made(client)
    fill(dynamo, 60)
    answers(client, *(to("PUT", f"{COLLECTIONS}/c{n}") for n in range(24)))
    empty_streams()
    before = state(client)

    answer = batch(client, to("DELETE", RECORDS), to("DELETE", COLLECTIONS))

    assert_refused(client, answer, before)


# Bytes


@pytest.mark.parametrize("size", [300 * KB, 212 * KB])
def test_more_bytes_than_a_transaction_or_an_answer_holds_are_refused(
    client: Client, size: int, calls: CountedCalls
) -> None:
    made(client)
    before = state(client)
    text = noise(size)
    calls.take()

    answer = batch(client, *(to("PUT", record(n), {"text": text}) for n in range(25)))

    assert_refused(client, answer, before)
    assert calls.take() == {"BatchGetItem": 1}


def test_what_is_small_once_compressed_is_stored(client: Client) -> None:
    made(client)
    text = "all work and no play " * 10_000

    found = answers(client, *(to("PUT", record(n), {"text": text}) for n in range(25)))

    assert statuses(found) == [201] * 25
    assert body_of(client.ask("GET", record(24)))["data"]["text"] == text


def test_an_object_that_no_item_holds_is_refused_alone(client: Client) -> None:
    made(client)

    found = answers(
        client,
        to("PUT", OTHER, {"n": 1}),
        to("PUT", record(1), {"text": noise(600 * KB)}),
        to("PATCH", OTHER, {"text": noise(600 * KB)}),
        to("GET", OTHER),
        to("HEAD", RECORDS),
        to("POST", RECORDS, {"n": 2}),
    )

    assert statuses(found) == [201, 413, 413, 200, 200, 201]
    assert found[1]["body"]["errno"] == 113
    assert "text" not in found[3]["body"]["data"]
    assert total(found[4]) == 2
    assert client.ask("GET", record(1)).status == 404
    assert client.ask("GET", RECORDS).headers["Total-Records"] == "3"


def test_an_object_that_no_item_holds_creates_no_personal_bucket(client: Client) -> None:
    bucket = body_of(client.ask("GET", "/"))["user"]["bucket"]

    found = answers(
        client,
        to("POST", f"{PERSONAL}/collections/tasks/records", {"text": noise(600 * KB)}),
        to("GET", f"/buckets/{bucket}"),
    )

    assert statuses(found) == [413, 403]


@pytest.mark.parametrize("transaction_per_request", [True, False])
def test_answers_are_measured_before_the_commit(
    dynamo: Dynamo, transaction_per_request: bool
) -> None:
    client = client_at(dynamo, transaction_per_request=transaction_per_request)
    made(client)
    for number in range(12):
        text = "0123456789" * 25_000
        assert client.ask("PUT", record(number), {"data": {"text": text}}).status == 201
    before = state(client)

    one = answers(client, to("GET", RECORDS))
    two = batch(client, to("GET", RECORDS), to("GET", RECORDS), to("PUT", OTHER, {}))

    assert statuses(one) == [200]
    assert total(one[0]) == 13
    assert_refused(client, two, before)


def test_quotes_count_twice_in_an_answer(client: Client) -> None:
    made(client)
    quotes: JsonObject = {"text": '"' * 130 * KB}
    client.ask("PUT", OTHER, {"data": quotes})
    before = state(client)

    enough = answers(client, *(to("GET", OTHER) for _ in range(10)))
    too_much = batch(client, to("PATCH", RECORD, {}), *(to("GET", OTHER) for _ in range(15)))

    assert statuses(enough) == [200] * 10
    assert_refused(client, too_much, before)


def test_a_parent_deleted_in_a_batch_needs_no_room_for_its_contents(
    client: Client, dynamo: Dynamo
) -> None:
    made(client)
    fill(dynamo, 200)

    found = answers(
        client,
        to("DELETE", COLLECTION),
        to("PUT", COLLECTION),
        to("GET", RECORDS),
        to("DELETE", BUCKET),
    )

    assert statuses(found) == [200, 201, 200, 200]
    assert total(found[2]) == 0
    assert client.ask("GET", BUCKET).status == 403
