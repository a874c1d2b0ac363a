"""Calls of DynamoDB: `chalicelib/storage/connection.py`."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore import exceptions as botocore

from chalicelib.storage.client import connect
from chalicelib.storage.connection import GET_KEYS, READ_ATTEMPTS, Dynamo
from chalicelib.storage.deadlines import ATTEMPT_S, CONNECT_TIMEOUT_S, READ_TIMEOUT_S, Deadline
from chalicelib.storage.failures import ConflictError, UnavailableError
from chalicelib.storage.keys import Key
from chalicelib.storage.tables import BY_LAST_MODIFIED, Tables
from tests.doubles import REGION, Patience, heard_by
from tests.storage.stand_ins import TRANSACT, Scripted, Wire, cancelled, client_error
from tests.test_observability import Lines

TABLES = Tables("objects", "access")
ACTIONS = [{"Put": {"TableName": "objects", "Item": {"parent": {"S": "p"}, "id": {"S": "i"}}}}]
TIMEOUT = botocore.ReadTimeoutError(endpoint_url="https://dynamodb")
RESET = botocore.ConnectionClosedError(endpoint_url="https://dynamodb")
IN_PROGRESS = client_error("TransactionInProgressException")
FAILED = client_error("InternalServerError", status=500)
THROTTLED = client_error("ThrottlingException")
CANCELLED_AS_THROTTLED = cancelled("ThrottlingError")
CONFLICT = cancelled("TransactionConflict")
CONDITION = cancelled("ConditionalCheckFailed")
NO_ANSWER = [TIMEOUT, RESET, IN_PROGRESS, FAILED]


def dynamo_of(*script: Any) -> tuple[Dynamo, Scripted]:
    connection = Scripted(*script)
    return Dynamo(connection, TABLES), connection  # type: ignore[arg-type]  # all that it calls


def key(number: int) -> Key:
    return Key("list", f"{number}")


def raw(number: int) -> dict[str, Any]:
    return {"parent": {"S": "list"}, "id": {"S": f"{number}"}}


def answer_all(arguments: dict[str, Any]) -> dict[str, Any]:
    """Every item that was asked for."""
    return {"Responses": {"objects": arguments["RequestItems"]["objects"]["Keys"]}}


def query(dynamo: Dynamo, patience: Patience, limit: int | None = None) -> list[dict[str, Any]]:
    return list(
        dynamo.query(
            BY_LAST_MODIFIED,
            "list",
            between=("a", "b"),
            ascending=True,
            limit=limit,
            attributes=("id", "live"),
            deadline=patience.deadline(),
        )
    )


# Reading


def test_items_are_asked_for_consistently_and_each_once() -> None:
    dynamo, connection = dynamo_of(answer_all)

    found = dynamo.get([key(1), key(2), key(1)], Patience().deadline())

    assert found == {key(1): raw(1), key(2): raw(2)}
    [(operation, arguments)] = connection.asked
    assert operation == "BatchGetItem"
    assert arguments["RequestItems"] == {
        "objects": {"Keys": [raw(1), raw(2)], "ConsistentRead": True}
    }


def test_nothing_is_called_for_no_keys() -> None:
    dynamo, connection = dynamo_of()

    assert dynamo.get([], Patience().deadline()) == {}
    assert connection.asked == []


def test_keys_are_read_in_parallel_100_a_call() -> None:
    together = threading.Barrier(3, timeout=10)

    def when_all_have_asked(arguments: dict[str, Any]) -> dict[str, Any]:
        together.wait()  # breaks, and fails the test, unless three calls are under way at once
        return answer_all(arguments)

    dynamo, connection = dynamo_of(*[when_all_have_asked] * 3)

    found = dynamo.get(map(key, range(2 * GET_KEYS + 1)), Patience().deadline())

    assert found.keys() == {key(number) for number in range(2 * GET_KEYS + 1)}
    sizes = [len(arguments["RequestItems"]["objects"]["Keys"]) for _, arguments in connection.asked]
    assert sorted(sizes) == [1, GET_KEYS, GET_KEYS]


def test_unprocessed_keys_are_asked_for_again_after_a_pause() -> None:
    unprocessed = {"objects": {"Keys": [raw(2)], "ConsistentRead": True}}
    first = {"Responses": {"objects": [raw(1)]}, "UnprocessedKeys": unprocessed}
    dynamo, connection = dynamo_of(first, {"UnprocessedKeys": unprocessed}, answer_all)
    patience = Patience()

    found = dynamo.get([key(1), key(2)], patience.deadline())

    assert found == {key(1): raw(1), key(2): raw(2)}
    assert [a["RequestItems"]["objects"]["Keys"] for _, a in connection.asked] == [
        [raw(1), raw(2)],
        [raw(2)],
        [raw(2)],
    ]
    assert len(patience.pauses) == 2


def test_keys_that_stay_unprocessed_are_asked_for_until_the_time_is_over() -> None:
    never = {"UnprocessedKeys": {"objects": {"Keys": [raw(1)]}}}
    dynamo, connection = dynamo_of(*[never] * 1000)

    with pytest.raises(UnavailableError) as over:
        dynamo.get([key(1)], Patience().deadline())

    assert over.value.may_repeat
    assert len(connection.asked) > 20


@pytest.mark.parametrize("refusal", [THROTTLED, *NO_ANSWER], ids=str)
def test_a_read_is_repeated(refusal: Exception) -> None:
    dynamo, connection = dynamo_of(refusal, refusal, answer_all)
    patience = Patience()

    assert dynamo.get([key(1)], patience.deadline()) == {key(1): raw(1)}
    assert len(connection.asked) == 3
    assert len(patience.pauses) == 2


@pytest.mark.parametrize("refusal", [THROTTLED, *NO_ANSWER], ids=str)
@pytest.mark.parametrize(
    ("remaining_s", "attempts"), [(29.0, READ_ATTEMPTS), (ATTEMPT_S + 0.05, 3)], ids=str
)
def test_a_read_is_repeated_some_times_and_within_the_time_that_there_is(
    refusal: Exception, remaining_s: float, attempts: int
) -> None:
    dynamo, connection = dynamo_of(*[refusal] * 1000)
    patience = Patience(remaining_s)

    with pytest.raises(UnavailableError) as over:
        query(dynamo, patience)

    assert over.value.may_repeat
    assert over.value.__cause__ is not None
    assert over.value.__cause__.__cause__ is refusal
    assert len(connection.asked) == attempts


def test_a_mistake_of_ours_is_not_repeated() -> None:
    dynamo, connection = dynamo_of(client_error("ValidationException"))

    with pytest.raises(botocore.ClientError):
        dynamo.get([key(1)], Patience().deadline())

    assert len(connection.asked) == 1


def test_a_query_goes_on_where_a_page_of_dynamodb_ended() -> None:
    first = {"Items": [raw(1)], "LastEvaluatedKey": raw(1)}
    dynamo, connection = dynamo_of(first, {"Items": [raw(2)]})

    assert query(dynamo, Patience()) == [raw(1), raw(2)]
    assert [a.get("ExclusiveStartKey") for _, a in connection.asked] == [None, raw(1)]
    assert all(a["ConsistentRead"] and "Limit" not in a for _, a in connection.asked)


def test_a_query_asks_for_no_more_than_is_wanted() -> None:
    first = {"Items": [raw(1), raw(2)], "LastEvaluatedKey": raw(2)}
    dynamo, connection = dynamo_of(first, {"Items": [raw(3)], "LastEvaluatedKey": raw(3)})

    assert query(dynamo, Patience(), limit=3) == [raw(1), raw(2), raw(3)]
    assert [a["Limit"] for _, a in connection.asked] == [3, 1]


def test_a_query_never_asks_for_more_than_dynamodb_can_count() -> None:
    dynamo, connection = dynamo_of({"Items": [raw(1)]})

    assert query(dynamo, Patience(), limit=10**18) == [raw(1)]
    assert connection.asked[0][1]["Limit"] < 2**31


def test_a_query_reads_the_next_page_only_if_it_is_wanted() -> None:
    dynamo, connection = dynamo_of({"Items": [raw(1)], "LastEvaluatedKey": raw(1)})
    entries = dynamo.query(
        BY_LAST_MODIFIED,
        "list",
        between=("a", "b"),
        ascending=False,
        limit=None,
        attributes=("id", "live"),
        deadline=Patience().deadline(),
    )

    assert next(entries) == raw(1)
    assert len(connection.asked) == 1
    assert connection.asked[0][1]["ScanIndexForward"] is False


# Transactions


def test_a_transaction_carries_its_token() -> None:
    dynamo, connection = dynamo_of()

    dynamo.transact(ACTIONS, "token", Patience().deadline())

    asked = {"TransactItems": ACTIONS, "ClientRequestToken": "token"}
    assert connection.asked == [(TRANSACT, {**asked, "ReturnItemCollectionMetrics": "SIZE"})]


@pytest.mark.parametrize("lost", NO_ANSWER, ids=str)
@pytest.mark.parametrize(
    "refusals",
    [
        [],
        [CONFLICT],
        [THROTTLED],
        [CANCELLED_AS_THROTTLED, CONFLICT, TIMEOUT, CONFLICT],
        [CONFLICT] * 5,
        [cancelled("ItemCollectionSizeLimitExceeded")],
        [client_error("AccessDeniedException")],
    ],
    ids=str,
)
def test_after_no_answer_the_same_is_sent_again_whatever_refuses_it(
    lost: Exception, refusals: list[Exception]
) -> None:
    dynamo, connection = dynamo_of(lost, *refusals)
    patience = Patience()

    dynamo.transact(ACTIONS, "token", patience.deadline())

    assert len(connection.asked) == len(refusals) + 2
    assert all(call == connection.asked[0] for call in connection.asked)
    assert len(patience.pauses) == len(refusals) + 1


def test_after_no_answer_a_failed_condition_tells_that_nothing_is_carried_out() -> None:
    dynamo, connection = dynamo_of(TIMEOUT, CONFLICT, CONDITION)

    with pytest.raises(ConflictError) as refused:
        dynamo.transact(ACTIONS, "token", Patience().deadline())

    assert refused.value.by_condition
    assert len(connection.asked) == 3


@pytest.mark.parametrize("refusal", [THROTTLED, CANCELLED_AS_THROTTLED], ids=str)
def test_a_throttled_transaction_is_sent_again(refusal: Exception) -> None:
    dynamo, connection = dynamo_of(refusal, refusal)

    dynamo.transact(ACTIONS, "token", Patience().deadline())

    assert len(connection.asked) == 3


@pytest.mark.parametrize("script", [[CONFLICT], [THROTTLED, CONFLICT]], ids=str)
def test_a_conflict_is_raised_where_every_attempt_was_answered(script: list[Exception]) -> None:
    dynamo, connection = dynamo_of(*script)

    with pytest.raises(ConflictError) as refused:
        dynamo.transact(ACTIONS, "token", Patience().deadline())

    assert not refused.value.by_condition
    assert len(connection.asked) == len(script)


@pytest.mark.parametrize(
    ("script", "may_repeat"),
    [
        ([THROTTLED] * 1000, True),
        ([CANCELLED_AS_THROTTLED] * 1000, True),
        ([TIMEOUT] * 1000, False),
        ([TIMEOUT] + [CONFLICT] * 1000, False),
        ([THROTTLED, RESET] + [THROTTLED] * 1000, False),
    ],
    ids=["throttled", "cancelled", "lost", "lost, then conflicts", "lost, then throttled"],
)
def test_a_client_may_repeat_only_what_was_answered(
    script: list[Exception], may_repeat: bool
) -> None:
    dynamo, _connection = dynamo_of(*script)

    with pytest.raises(UnavailableError) as over:
        dynamo.transact(ACTIONS, "token", Patience().deadline())

    assert over.value.may_repeat == may_repeat


# Time


@pytest.mark.parametrize(
    ("remaining_s", "begins"), [(ATTEMPT_S, True), (ATTEMPT_S - 0.001, False), (-1, False)]
)
def test_nothing_is_begun_that_may_not_end_in_time(remaining_s: float, begins: bool) -> None:
    dynamo, connection = dynamo_of()
    deadline = Patience(remaining_s).deadline()

    if begins:
        dynamo.transact(ACTIONS, "token", deadline)
    else:
        with pytest.raises(UnavailableError):
            dynamo.transact(ACTIONS, "token", deadline)
        with pytest.raises(UnavailableError):
            dynamo.get([key(1)], deadline)

    assert len(connection.asked) == begins


def test_a_pause_is_only_made_for_an_attempt_that_fits_in() -> None:
    deadline = Patience(ATTEMPT_S).deadline()

    deadline.check()
    with pytest.raises(UnavailableError):
        deadline.wait()


def test_an_attempt_has_time_for_both_timeouts_and_an_answer() -> None:
    assert ATTEMPT_S > CONNECT_TIMEOUT_S + READ_TIMEOUT_S


def test_pauses_grow_and_then_get_shorter_again_but_not_too_short() -> None:
    patience = Patience(1000)
    deadline = patience.deadline()

    for _ in range(2000):
        patience.remaining_s = 1000
        deadline.wait()

    longest = patience.pauses.index(max(patience.pauses))
    assert patience.pauses[: longest + 1] == sorted(patience.pauses[: longest + 1])
    assert patience.pauses[longest:] == sorted(patience.pauses[longest:], reverse=True)
    assert patience.pauses[:3] == pytest.approx([0.015, 0.03, 0.06])
    assert patience.pauses[longest] == pytest.approx(0.33, abs=0.01)
    assert patience.pauses[-1] == pytest.approx(0.1)


def test_no_pause_is_as_long_as_another() -> None:
    pauses: list[float] = []

    for _ in range(10):
        Deadline(lambda: 29.0, pauses.append).wait()

    assert len(set(pauses)) == 10
    assert all(0 <= pause <= 0.03 for pause in pauses)


def test_the_sdk_repeats_nothing_and_waits_seconds() -> None:
    config = connect(REGION, "http://127.0.0.1:1").client.meta.config

    assert config.retries["total_max_attempts"] == 1
    assert (config.connect_timeout, config.read_timeout) == (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)


# As many as possible


def actions(*numbers: int) -> list[list[dict[str, Any]]]:
    """Groups of so many actions each, all of them different."""
    names = iter(range(sum(numbers)))
    return [[{"Delete": next(names)} for _ in range(number)] for number in numbers]


def sent(connection: Scripted) -> list[list[int]]:
    return [[it["Delete"] for it in asked["TransactItems"]] for _, asked in connection.asked]


def test_groups_are_carried_out_whole_100_actions_a_transaction() -> None:
    dynamo, connection = dynamo_of()

    dynamo.transact_possible(actions(*[2] * 49, 3, 1, *[100] * 2), Patience().deadline())

    assert sorted(map(len, sent(connection))) == [3 + 1, 2 * 49, 100, 100]
    assert sorted(number for part in sent(connection) for number in part) == list(range(302))


def test_what_a_condition_refuses_is_left_out_with_its_group() -> None:
    refused = cancelled("None", "None", "ConditionalCheckFailed", "None", "None", "None")
    dynamo, connection = dynamo_of(refused, CONFLICT, refused)

    dynamo.transact_possible(actions(1, 2, 1, 2), Patience().deadline())

    assert sent(connection) == [[0, 1, 2, 3, 4, 5], *[[0, 3, 4, 5]] * 2, [0, 3]]


def test_where_all_are_refused_nothing_more_is_sent() -> None:
    dynamo, connection = dynamo_of(cancelled("ConditionalCheckFailed", "None"))

    dynamo.transact_possible(actions(2), Patience().deadline())
    dynamo.transact_possible([], Patience().deadline())

    assert sent(connection) == [[0, 1]]


def test_where_the_time_is_over_it_is_told() -> None:
    dynamo, _connection = dynamo_of(*[CONFLICT] * 1000)

    with pytest.raises(UnavailableError):
        dynamo.transact_possible(actions(1), Patience().deadline())


def test_of_parallel_calls_the_first_is_this_threads_own() -> None:
    dynamo, _connection = dynamo_of()
    here = threading.get_ident()

    threads = dynamo.parallel(lambda _number: threading.get_ident(), range(5))

    assert threads[0] == here
    assert here not in threads[1:]


def test_a_parallel_call_may_call_in_parallel_on_as_many_threads_as_ask() -> None:
    dynamo, _connection = dynamo_of()

    def nested(number: int) -> list[int]:
        return dynamo.parallel(lambda inner: number * 10 + inner, range(3))

    def ask(_number: int) -> list[Any]:
        return dynamo.parallel(lambda call: call(), [lambda: nested(1), lambda: 2, lambda: 3])

    with ThreadPoolExecutor(20) as requests:
        assert list(requests.map(ask, range(20))) == [[[10, 11, 12], 2, 3]] * 20


# Heartbeats


def test_both_tables_take_a_small_write_and_give_it_back(dynamo: Dynamo) -> None:
    deadline = Patience().deadline()
    objects, access = dynamo.tables

    assert dynamo.keeps(objects, {"parent": {"S": "#"}, "id": {"S": "#"}}, deadline)
    assert dynamo.keeps(access, {"principal": {"S": "#"}, "object": {"S": "#"}}, deadline)


def test_a_table_that_is_missing_or_loses_what_it_takes_does_not_work(wire: Wire) -> None:
    deadline = Patience().deadline()
    forgetful, _connection = dynamo_of({}, {"Responses": {"objects": []}})

    assert not wire.dynamo.keeps("missing", raw(1), deadline)
    assert not forgetful.keeps("objects", raw(1), deadline)


@pytest.mark.parametrize("script", [[THROTTLED], [TIMEOUT], [{}, *[THROTTLED] * 1000]], ids=len)
def test_a_table_that_does_not_answer_does_not_work(script: list[Any]) -> None:
    dynamo, _connection = dynamo_of(*script)

    assert not dynamo.keeps("objects", raw(1), Patience().deadline())


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ([THROTTLED], "ThrottlingException"),
        ([TIMEOUT], "ReadTimeoutError"),
        ([{}, {"Responses": {"objects": []}}], "it does not give back what it took"),
    ],
    ids=["throttled", "silent", "forgetful"],
)
def test_a_table_that_does_not_work_is_logged_with_the_reason(script: list[Any], why: str) -> None:
    dynamo, _connection = dynamo_of(*script)

    log = Lines()

    with heard_by(log, logging.ERROR):
        dynamo.keeps("objects", raw(1), Patience().deadline())

    (record,) = log.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith("heartbeat: the table objects does not work: ")
    assert why in record.getMessage()


def test_where_nothing_may_be_written_a_table_works_that_can_be_read() -> None:
    dynamo, connection = dynamo_of({"Responses": {"objects": []}})

    assert dynamo.keeps("objects", raw(1), Patience().deadline(), reads_only=True)
    assert [operation for operation, *_ in connection.asked] == ["BatchGetItem"]


def test_without_time_no_table_works() -> None:
    dynamo, connection = dynamo_of()

    assert not dynamo.keeps("objects", raw(1), Patience(0).deadline())
    assert connection.asked == []
