"""A user of an offline-first application: what he does in a day, and how often."""

import itertools
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeAlias
from urllib.parse import urlencode

from locust import task
from locust.env import Environment
from locust.exception import StopUser

from bench.load.asking import AskedToWaitError, Asking
from bench.load.options import Options
from bench.load.replica import Replica, WrongAnswerError
from bench.load.stage import MOST_IN_BATCH, SHARED, note_ids, note_of
from chalicelib.protocol.messages import JsonObject

PAGE: Final = 100
UPDATES_IN_PUSH: Final = 7
DELETIONS_IN_PUSH: Final = 3

_CREATED, _OK, _INVALID, _OUTDATED, _UNCHANGED = 201, 200, 400, 412, 304
_INVALID_ERRNO: Final = 107
_WORDS: Final = ("milk", "bread", "call", "write", "the", "letter", "to", "a", "friend", "today")


class Person(Asking):
    """A user with one device, who begins with what he has written offline.

    Attributes:
        options: of the load test.
    """

    abstract = False
    options: ClassVar[Options]
    _numbers: ClassVar = itertools.count(1)

    def __init__(self, environment: Environment) -> None:
        """Be nobody whom the stage knows; what he does is the same in each load test."""
        super().__init__(environment)
        self.authorization = self.stage.authorization()
        self._number = next(self._numbers)
        self._random = random.Random(self._number)  # noqa: S311 - no secret
        self._own = self._replica_of(f"own-{self._number}", is_alone=True)
        self._checked = self._replica_of(f"checked-{self._number}", is_alone=True)
        self._shared = self._replica_of(SHARED, is_alone=False)
        self._has_arrived = False
        self._schema_mark: JsonObject = {}
        self._days = 0
        self._plan: list[Activity] = []

    def _replica_of(self, collection: str, *, is_alone: bool) -> Replica:
        return Replica(self.stage.records(collection), is_alone)

    def wait_time(self) -> float:
        """Seconds until the next activity: a pause, or what the service asked for."""
        pause_s = self.options.pause_s * self._random.uniform(0.5, 1.5)
        return max(pause_s, self.resumes_at - time.monotonic())

    @task
    def act(self) -> None:
        """Do the next thing of the day."""
        if self._has_arrived:
            self._carefully(self._next_activity())
        else:
            self._carefully(Person.arrive)

    def on_stop(self) -> None:
        """See whether all that was written is there."""
        if self._has_arrived:
            self._carefully(Person.sync_from_scratch)

    def _next_activity(self) -> "Activity":
        if not self._plan:
            if self._days == self.options.days:
                raise StopUser
            self._days += 1
            self._plan = [*itertools.chain(*([it] * count for it, count in DAY.items()))]
            self._random.shuffle(self._plan)
        return self._plan.pop()

    def _carefully(self, activity: "Activity") -> None:
        """Do something; where nobody knows what came of it, know nothing any more."""
        try:
            activity(self)
        except AskedToWaitError:
            pass  # nothing was done, which the next sync shows
        except WrongAnswerError:
            for replica in (self._own, self._checked, self._shared):
                replica.forget()

    def _somewhere(self) -> Replica:
        """One of the two collections in which he works."""
        return self._shared if self._random.random() < self.options.shared else self._own

    # What he does

    def arrive(self) -> None:
        """Learn who he is, be invited, and send what he has written until now."""
        with self.asking({_OK: "hello"}, "GET", "/") as answer:
            user_id = answer.body["user"]["id"]
        organizer = {"Authorization": self.stage.organizer}
        with (
            self.stage.inviting(self._number, user_id) as body,
            self.asking({_OK: "invitation"}, "POST", "/batch", body, organizer) as answer,
        ):
            *_, checked = _each_answered(answer.body, (_OK, _CREATED))
            self._schema_mark = {"schema": checked["last_modified"]}
        self.sync_from_scratch()
        self._push(self._own)
        self._has_arrived = True

    def sync_from_scratch(self) -> None:
        """Read all there is, page by page."""
        for replica in (self._own, self._checked, self._shared):
            self._read_all(replica)

    def _read_all(self, replica: Replica) -> None:
        path = f"{replica.path}?_limit={PAGE}"
        entries: list[JsonObject] = []
        etag = ""
        while path:
            with self.asking({_OK: "full sync, a page"}, "GET", path) as answer:
                entries += answer.body["data"]
                etag = etag or answer.headers["ETag"]
                path = self._next_page(answer.headers)
                if not path:
                    total = int(answer.headers["Total-Records"])
                    replica.synced_from_scratch(entries, etag, total)

    def _next_page(self, headers: Mapping[str, str]) -> str:
        """Where a list goes on; empty at its end."""
        url = headers.get("Next-Page", "")
        if url and not url.startswith(f"{self.stage.url}/"):  # it will be sent the password
            raise WrongAnswerError("Next-Page leads elsewhere", url)
        return url

    def poll(self) -> None:
        """Ask for what has changed."""
        replica = self._somewhere()
        if replica.etag is None:
            self._read_all(replica)
            return
        headers = {"If-None-Match": replica.etag}
        path = f"{replica.path}?{urlencode({'_since': replica.etag})}"
        kinds = {_OK: "poll, changes", _UNCHANGED: "poll, nothing new (304)"}
        entries: list[JsonObject] = []
        etag = ""
        while path:
            with self.asking(kinds, "GET", path, headers=headers) as answer:
                entries += answer.body["data"] if answer.status == _OK else []
                etag = etag or answer.headers["ETag"]
                path, headers = self._next_page(answer.headers), {}
                if not path:
                    replica.synced(entries, etag)

    def create(self) -> None:
        """Write something new."""
        self._create(self._somewhere())

    def _create(
        self, replica: Replica, kind: str = "create", added: Mapping[str, Any] = {}
    ) -> None:
        data = self._data()
        with self.asking({_CREATED: kind}, "POST", replica.path, {"data": data}) as answer:
            replica.wrote({**data, **added}, answer.body["data"])

    def update(self) -> None:
        """Write something in the place of what is there, unless it has changed since."""
        replica = self._somewhere()
        if record := replica.choose(self._random):
            data = self._data()
            with self._writing("update", "PUT", replica, record, {"data": data}) as answer:
                replica.wrote(data, answer.body["data"])
        else:
            self._create(replica)

    def merge(self) -> None:
        """Change one property of what is there."""
        replica = self._somewhere()
        if record := replica.choose(self._random):
            change = {"done": not record["done"]}
            with self._writing("merge", "PATCH", replica, record, {"data": change}) as answer:
                replica.wrote({**record, **change}, answer.body["data"])
        else:
            self._create(replica)

    def delete(self) -> None:
        """Remove something."""
        replica = self._somewhere()
        if record := replica.choose(self._random):
            with self._writing("delete", "DELETE", replica, record) as answer:
                replica.deleted(record["id"], answer.body["data"])
        else:
            self._create(replica)

    def _writing(
        self,
        kind: str,
        method: str,
        replica: Replica,
        record: JsonObject,
        body: JsonObject | None = None,
    ) -> Any:
        path = f"{replica.path}/{record['id']}"
        return self.asking({_OK: kind}, method, path, body, _if_match(record))

    def update_the_outdated(self) -> None:
        """Write over a version that is gone, as from a device that has missed a change."""
        if record := self._own.choose(self._random):
            path = f"{self._own.path}/{record['id']}"
            headers = {"If-Match": f'"{record["last_modified"] - 1}"'}
            body = {"data": self._data()}
            kinds = {_OUTDATED: "update, outdated (412)"}
            with self.asking(kinds, "PUT", path, body, headers) as answer:
                if answer.body["details"]["existing"] != record:
                    raise WrongAnswerError("412 tells another record than is there", answer.body)

    def push(self) -> None:
        """Send what was written offline, all of it in one request."""
        self._push(self._somewhere())

    def _push(self, replica: Replica) -> None:
        most = DELETIONS_IN_PUSH + UPDATES_IN_PUSH
        known = self._random.sample([*replica.own.values()], min(len(replica.own), most))
        deleted, updated = known[:DELETIONS_IN_PUSH], known[DELETIONS_IN_PUSH:]
        new = [{"id": self._new_id()} for _ in range(MOST_IN_BATCH - len(known))]
        sent = [{**self._data(), "id": record["id"]} for record in (*new, *updated)]
        headers = [{"If-None-Match": "*"} for _ in new] + [_if_match(it) for it in updated]
        requests = [
            _part("PUT", replica, data, header, {"data": data})
            for data, header in zip(sent, headers, strict=True)
        ]
        requests += [_part("DELETE", replica, record, _if_match(record)) for record in deleted]
        kinds = {_OK: f"batch of {MOST_IN_BATCH}"}
        with self.asking(kinds, "POST", "/batch", {"requests": requests}) as answer:
            answered = _each_answered(answer.body, (_OK, _CREATED))
            for data, given in zip(sent, answered[: len(sent)], strict=True):
                replica.wrote(data, given)
            for record, given in zip(deleted, answered[len(sent) :], strict=True):
                replica.deleted(record["id"], given)

    def write_checked(self) -> None:
        """Write what has to fit a schema."""
        if self.stage.checks_schemas:
            self._create(self._checked, "checked write", self._schema_mark)

    def write_invalid(self) -> None:
        """Write what doesn't fit the schema."""
        if self.stage.checks_schemas:
            body = {"data": {**self._data(), "priority": 9}}
            kinds = {_INVALID: "checked write, invalid (400)"}
            with self.asking(kinds, "POST", self._checked.path, body) as answer:
                if answer.body["errno"] != _INVALID_ERRNO:
                    raise WrongAnswerError("400 has another errno", answer.body)

    def read_through_the_group(self) -> None:
        """Read what only the group's members may."""
        id = self._random.choice(note_ids())
        path = f"{self.stage.records('notes')}/{id}"
        with self.asking({_OK: "read through a group"}, "GET", path) as answer:
            data = answer.body["data"]
            if data != {**note_of(id), "id": id, "last_modified": data["last_modified"]}:
                raise WrongAnswerError("a record is not as it was written", data)

    def _data(self) -> JsonObject:
        words = self._random.choices(_WORDS, k=100)
        return {
            "title": " ".join(words[:4]),
            "text": " ".join(words),
            "done": False,
            "priority": self._random.randint(1, 5),
        }

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))


Activity: TypeAlias = Callable[[Person], None]

DAY: Final[Mapping[Activity, int]] = {
    Person.poll: 60,
    Person.create: 6,
    Person.update: 6,
    Person.merge: 4,
    Person.delete: 5,
    Person.push: 2,
    Person.write_checked: 5,
    Person.write_invalid: 1,
    Person.update_the_outdated: 1,
    Person.read_through_the_group: 9,
    Person.sync_from_scratch: 1,
}
"""What a user does in a day, and how often; in any order."""


def _if_match(record: JsonObject) -> dict[str, str]:
    return {"If-Match": f'"{record["last_modified"]}"'}


def _part(
    method: str,
    replica: Replica,
    record: JsonObject,
    headers: Mapping[str, str],
    body: JsonObject | None = None,
) -> JsonObject:
    """A request of a batch."""
    path = f"{replica.path}/{record['id']}"
    return {"method": method, "path": path, "headers": headers, "body": body or {}}


def _each_answered(body: JsonObject, statuses: Sequence[int]) -> list[JsonObject]:
    """The data of each answer of a batch.

    Raises:
        WrongAnswerError: one is another than these.
    """
    for answer in body["responses"]:
        if answer["status"] not in statuses:
            raise WrongAnswerError(f"a batch has an answer {answer['status']}", answer)
    return [answer["body"]["data"] for answer in body["responses"]]
