"""Releases: what was deployed, as versions of the functions, and going back to one.

A version on Lambda is a function's code and configuration as they were. Its description is when
it was published, and from which commit; so those of all functions tell what a release was: of each
function the last version until then.
"""

import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, NamedTuple

from infra.stages import Stage, StageError

KEPT = 10
"""Versions of each function; Lambda keeps all of them otherwise, and an account has 75 GB."""

_POLLS = {"Delay": 1, "MaxAttempts": 120}
_LATEST = "$LATEST"
_TAKEN_BACK = ("MemorySize", "Timeout", "Runtime", "Handler", "Role")
_NOT_TRACED = {"Mode": "PassThrough"}
_SMALLEST_DISK = {"Size": 512}
_DOWNLOAD_S = 60
_NAME = re.compile(r"\d{4}-\d\d-\d\dT\S+ ")

Version = dict[str, Any]
"""A function's configuration, as Lambda tells it."""

History = dict[str, list[Version]]
"""Each function's versions, the oldest first."""


class ReleaseError(StageError):
    """Why there is nothing to keep or to go back to, in one line."""


class _Content(NamedTuple):
    """What a version takes back, in the form of Lambda's two updates."""

    code: str
    architectures: list[str]
    settings: dict[str, Any]


class _WayBack(NamedTuple):
    """What is to be changed at a function.

    Attributes:
        function: its name.
        code: what to update it with; empty where it is the same.
        settings: those that differ.
    """

    function: str
    code: dict[str, Any]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Releases:
    """The releases of a stage.

    Attributes:
        stage: whose they are.
        functions: client of boto3, for Lambda.
    """

    stage: Stage
    functions: Any

    def publish(self, commit: str | None, now: datetime | None = None) -> list[str]:
        """Keep what is deployed as a release; gives the functions that have changed.

        Args:
            commit: that was deployed; None where that isn't known.
            now: the time; None to ask the clock.

        Raises:
            ReleaseError: what is deployed can't be read.
            ClientError: somebody else has deployed other code meanwhile, say.
        """
        time = (now or datetime.now(UTC)).isoformat(timespec="seconds")
        name = f"{time} {commit or 'unknown commit'}"
        latest, history = self._latest(), self._history()
        changed = [
            function
            for function, versions in history.items()
            if not versions or _content(versions[-1]) != _content(latest[function])
        ]
        for function in changed:
            self.functions.publish_version(
                FunctionName=function,
                Description=name,
                CodeSha256=latest[function]["CodeSha256"],
            )
            for old in history[function][: 1 - KEPT]:
                self.functions.delete_function(FunctionName=function, Qualifier=old["Version"])
        return changed

    def names(self) -> list[str]:
        """The releases that can be gone back to, the oldest first; each begins with its time."""
        return _names(self._history())

    def current(self) -> str | None:
        """The release that runs; None where what runs isn't one, as after half a deployment."""
        return self._running(self._history())

    def chosen(self, name: str | None = None) -> str:
        """The release to go back to.

        Args:
            name: or the beginning of it; None for the one before the current one.

        Raises:
            ReleaseError: there is none, or several begin like this, or what runs isn't one.
        """
        history = self._history()
        names = _names(history)
        if name is None:
            return self._before_current(history, names)
        found = [it for it in names if it.startswith(name)]
        if len(found) != 1:
            raise ReleaseError(f"{len(found)} releases begin with {name}: {_list(names)}")
        return found[0]

    def go_back(self, release: str) -> Iterator[str]:
        """Have all functions as in a release; gives those that have changed, one by one.

        All that is needed is fetched before the first one is changed. Where this ended early, it
        can be run again with the same release.

        Raises:
            ReleaseError: a function has no version of it, or one that can't be had.
        """
        for way in self._ways_back(release):
            if way.code:
                self.functions.update_function_code(FunctionName=way.function, **way.code)
                self._wait(way.function)
            if way.settings:
                self.functions.update_function_configuration(
                    FunctionName=way.function, **way.settings
                )
                self._wait(way.function)
            yield way.function

    def _before_current(self, history: History, names: list[str]) -> str:
        current = self._running(history)
        if names and current is None:
            newest = names[-1].partition(" ")[0]
            raise ReleaseError(
                f"what runs is no release, as after half a deployment: RELEASE={newest} is the last"
                f" one of {_list(names)}"
            )
        older = [it for it in names if current is not None and it < current]
        if not older:
            raise ReleaseError(f"there is no release before this one: {_list(names)}")
        return older[-1]

    def _ways_back(self, release: str) -> list[_WayBack]:
        latest = self._latest()
        ways = []
        for function, versions in self._history().items():
            version = _at(versions, release)
            if version is None:
                raise ReleaseError(f"{function} has no version of {release}")
            ways.append(self._way_back(function, version, latest[function]))
        return [way for way in ways if way.code or way.settings]

    def _way_back(self, function: str, version: Version, latest: Version) -> _WayBack:
        then, now = _content(version), _content(latest)
        is_same_code = (then.code, then.architectures) == (now.code, now.architectures)
        settings = {
            name: value for name, value in then.settings.items() if value != now.settings[name]
        }
        return _WayBack(
            function, {} if is_same_code else self._code_of(function, version), settings
        )

    def _code_of(self, function: str, version: Version) -> dict[str, Any]:
        """What a function is updated with, to have this version's code."""
        found = self.functions.get_function(FunctionName=function, Qualifier=version["Version"])
        try:
            with urllib.request.urlopen(  # noqa: S310  # Lambda's own
                found["Code"]["Location"], timeout=_DOWNLOAD_S
            ) as answer:
                code: bytes = answer.read()
        except (OSError, HTTPException) as error:
            raise ReleaseError(f"the code of {function} can't be downloaded: {error}") from error
        return {"ZipFile": code, "Architectures": version["Architectures"]}

    def _wait(self, function: str) -> None:
        self.functions.get_waiter("function_updated_v2").wait(
            FunctionName=function, WaiterConfig=_POLLS
        )

    def _running(self, history: History) -> str | None:
        latest = self._latest()
        running = (
            name
            for name in reversed(_names(history))
            if all(
                _content(version) == _content(latest[function])
                for function, versions in history.items()
                if (version := _at(versions, name)) is not None
            )
        )
        return next(running, None)

    def _latest(self) -> dict[str, Version]:
        """What runs, by function."""
        return {
            function: self.functions.get_function_configuration(FunctionName=function)
            for function in self.stage.functions.values()
        }

    def _history(self) -> History:
        return {function: self._versions(function) for function in self.stage.functions.values()}

    def _versions(self, function: str) -> list[Version]:
        """Those that are published; without what somebody else published."""
        pages = self.functions.get_paginator("list_versions_by_function").paginate(
            FunctionName=function
        )
        found = [
            it
            for page in pages
            for it in page["Versions"]
            if it["Version"] != _LATEST and _NAME.match(it.get("Description", ""))
        ]
        return sorted(found, key=lambda it: int(it["Version"]))


def _names(history: History) -> list[str]:
    """The releases that every function has a version of."""
    names = sorted({it["Description"] for versions in history.values() for it in versions})
    return [
        name
        for name in names
        if all(_at(versions, name) is not None for versions in history.values())
    ]


def _at(versions: list[Version], release: str) -> Version | None:
    """A function as in a release: it has no version of its own where it hadn't changed."""
    return next((it for it in reversed(versions) if it["Description"] <= release), None)


def _content(version: Version) -> _Content:
    environment = version.get("Environment", {})
    if "Error" in environment:  # its key isn't for everybody: without variables, it isn't the same
        why = environment["Error"].get("Message", "")
        raise ReleaseError(f"the variables of {version['FunctionName']} can't be read: {why}")
    network = version.get("VpcConfig", {})
    settings = {name: version.get(name) for name in _TAKEN_BACK} | {
        "Environment": {"Variables": environment.get("Variables", {})},
        "Layers": [layer["Arn"] for layer in version.get("Layers", [])],
        "VpcConfig": {
            name: sorted(network.get(name, [])) for name in ("SubnetIds", "SecurityGroupIds")
        },
        "TracingConfig": version.get("TracingConfig", _NOT_TRACED),
        "EphemeralStorage": version.get("EphemeralStorage", _SMALLEST_DISK),
    }
    return _Content(version["CodeSha256"], version["Architectures"], settings)


def _list(names: list[str]) -> str:
    return ", ".join(names) or "there is none"
