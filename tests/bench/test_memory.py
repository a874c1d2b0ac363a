"""What stands between the handler and the emulator in the comparison: `bench/memory.py`."""

import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import urllib3

from bench.memory import Memory, remembering
from chalicelib.storage.client import connect
from infra.tables import create_tables

QUERY, GET, WRITE = "Query", "BatchGetItem", "TransactWriteItems"


class Emulator(ThreadingHTTPServer):
    """One that gives each answer another number, with headers of its own."""

    def __init__(self) -> None:
        """Listen on any port."""
        super().__init__(("127.0.0.1", 0), _Answering)
        self.asked: list[tuple[str, bytes]] = []
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answering(BaseHTTPRequestHandler):
    server: Emulator

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.headers["X-Amz-Target"], sent))
        body = b'{"answer": %d}' % len(self.server.asked)
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", f"{len(body)}")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("x-amz-id-2", "of S3")
        self.send_header("x-amzn-RequestId", "one")
        self.send_header("x-amz-crc32", f"{zlib.crc32(body)}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(memory: Memory, operation: str, body: bytes = b"{}") -> bytes:
    sent = {"X-Amz-Target": f"DynamoDB_20120810.{operation}", "Host": "of the memory"}
    return memory.answer(sent, body)


@pytest.mark.parametrize("operation", [QUERY, GET])
def test_a_read_is_answered_by_the_very_bytes_again(emulator: Emulator, operation: str) -> None:
    memory = Memory(emulator.url)

    answers = {asked(memory, operation) for _ in range(3)}

    assert len(answers) == 1
    assert emulator.asked == [(f"DynamoDB_20120810.{operation}", b"{}")]


def test_another_read_is_asked_for(emulator: Emulator) -> None:
    memory = Memory(emulator.url)

    answers = [asked(memory, *it) for it in ((QUERY, b"1"), (QUERY, b"2"), (GET, b"1"))]

    assert len({*answers}) == 3


def test_a_write_passes_each_time_and_all_is_forgotten(emulator: Emulator) -> None:
    memory = Memory(emulator.url)
    before = asked(memory, QUERY)

    writes = [asked(memory, WRITE), asked(memory, WRITE)]

    assert writes[0] != writes[1]
    assert asked(memory, QUERY) not in (before, *writes)
    assert len(emulator.asked) == 4


def test_what_was_refused_is_asked_for_again(emulator: Emulator) -> None:
    memory = Memory(emulator.url)
    emulator.status = 500

    refused = asked(memory, QUERY)

    assert refused.startswith(b"HTTP/1.1 500 ")
    assert asked(memory, QUERY) != refused


def test_an_answer_has_the_headers_that_dynamodb_sends(emulator: Emulator) -> None:
    head, _, body = asked(Memory(emulator.url), QUERY).partition(b"\r\n\r\n")

    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert status == "HTTP/1.1 200 OK"
    assert headers.pop("Date")
    assert headers == {
        "Server": "Server",
        "Connection": "keep-alive",
        "Content-Type": "application/x-amz-json-1.0",
        "Content-Length": f"{len(body)}",
        "x-amzn-RequestId": "one",
        "x-amz-crc32": f"{zlib.crc32(body)}",
    }


@pytest.mark.emulator
def test_a_client_reads_through_the_process_what_it_has_written(emulator_url: str) -> None:
    with remembering(emulator_url) as url:
        client = connect("us-east-1", url).client
        create_tables(client, "memory")
        read = {"kinto-memory-objects": {"Keys": [{"parent": {"S": "a"}, "id": {"S": "b"}}]}}
        found = []
        for number in ("1", "2"):
            item = {"parent": {"S": "a"}, "id": {"S": "b"}, "number": {"N": number}}
            put = {"Put": {"TableName": "kinto-memory-objects", "Item": item}}
            client.transact_write_items(TransactItems=[put])
            answers = [client.batch_get_item(RequestItems=read) for _ in range(2)]
            found += [it["Responses"]["kinto-memory-objects"][0]["number"]["N"] for it in answers]

    assert found == ["1", "1", "2", "2"]


def test_a_connection_serves_one_call_after_the_other(emulator: Emulator) -> None:
    with remembering(emulator.url) as url, urllib3.PoolManager() as connections:
        sent = {"X-Amz-Target": "DynamoDB_20120810.Query"}
        answers = [connections.request("POST", url, body=b"{}", headers=sent) for _ in range(3)]
        pool = connections.connection_from_url(url)

        assert [it.data for it in answers] == [b'{"answer": 1}'] * 3
        assert pool.num_connections == 1
