"""Releases: what was deployed, as versions of the functions, and going back to one.

A version on Lambda is a function's code and configuration as they were. Its description is when
it was published, and from which commit; so those of all functions tell what a release was.
"""

import re
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra.stages import API, Stage

KEPT = 10
"""Versions of each function; Lambda keeps all of them otherwise, and an account has 75 GB."""

_POLLS = {"Delay": 1, "MaxAttempts": 120}
_LATEST = "$LATEST"
_TAKEN_BACK = ("Environment", "MemorySize", "Timeout", "Runtime", "Handler", "Role")
_DOWNLOAD_S = 60
_NAME = re.compile(r"\d{4}-\d\d-\d\dT\S+ ")


class ReleaseError(Exception):
    """Why there is nothing to go back to, in one line."""


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
        """
        time = (now or datetime.now(UTC)).isoformat(timespec="seconds")
        name = f"{time} {commit or 'unknown commit'}"
        return [
            function for function in self.stage.functions.values() if self._publish(function, name)
        ]

    def names(self) -> list[str]:
        """The releases, the oldest first; each begins with its time."""
        versions = (self._versions(function) for function in self.stage.functions.values())
        return sorted({found["Description"] for of_one in versions for found in of_one})

    def current(self) -> str | None:
        """The release that runs; None where what runs isn't one."""
        latest = self._latest(self.stage.functions[API])
        same = [
            found
            for found in self._versions(self.stage.functions[API])
            if _content(found) == _content(latest)
        ]
        return same[-1]["Description"] if same else None

    def rollback(self, name: str | None = None) -> tuple[str, list[str]]:
        """Go back to a release; gives it, and the functions that have changed.

        Where this ended early, it can be run again with the release's name.

        Args:
            name: or the beginning of it; None for the one before the current one, or for the
                last one where what runs isn't one.

        Raises:
            ReleaseError: there is none, or several begin like this.
        """
        release = self._chosen(name)
        changed = [
            function
            for function in self.stage.functions.values()
            if self._take_back(function, release)
        ]
        return release, changed

    def _chosen(self, name: str | None) -> str:
        names = self.names()
        if name is not None:
            found = [it for it in names if it.startswith(name)]
            if len(found) != 1:
                raise ReleaseError(f"{len(found)} releases begin with {name}: {_list(names)}")
            return found[0]
        current = self.current()
        older = [it for it in names if current is None or it < current]
        if not older:
            raise ReleaseError(f"there is no release before this one: {_list(names)}")
        return older[-1]

    def _publish(self, function: str, name: str) -> bool:
        versions = self._versions(function)
        if versions and _content(versions[-1]) == _content(self._latest(function)):
            return False
        self.functions.publish_version(FunctionName=function, Description=name)
        for old in versions[: 1 - KEPT]:
            self.functions.delete_function(FunctionName=function, Qualifier=old["Version"])
        return True

    def _take_back(self, function: str, release: str) -> bool:
        then = [it for it in self._versions(function) if it["Description"] <= release]
        if not then:
            raise ReleaseError(f"{function} has no version of {release}")
        wanted, latest = then[-1], self._latest(function)
        if _content(wanted) == _content(latest):
            return False
        if wanted["CodeSha256"] != latest["CodeSha256"]:
            self.functions.update_function_code(
                FunctionName=function, ZipFile=self._code_of(function, wanted["Version"])
            )
            self._wait(function)
        settings = {name: wanted[name] for name in _TAKEN_BACK if name in wanted}
        self.functions.update_function_configuration(FunctionName=function, **settings)
        self._wait(function)
        return True

    def _code_of(self, function: str, version: str) -> bytes:
        found = self.functions.get_function(FunctionName=function, Qualifier=version)
        url = found["Code"]["Location"]
        with urllib.request.urlopen(url, timeout=_DOWNLOAD_S) as answer:  # noqa: S310  # Lambda's own
            code: bytes = answer.read()
        return code

    def _wait(self, function: str) -> None:
        self.functions.get_waiter("function_updated_v2").wait(
            FunctionName=function, WaiterConfig=_POLLS
        )

    def _latest(self, function: str) -> dict[str, Any]:
        found: dict[str, Any] = self.functions.get_function_configuration(FunctionName=function)
        return found

    def _versions(self, function: str) -> list[dict[str, Any]]:
        """Those that are published, the oldest first; without what somebody else published."""
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


def _content(version: dict[str, Any]) -> dict[str, Any]:
    return {name: version.get(name) for name in ("CodeSha256", *_TAKEN_BACK)}


def _list(names: list[str]) -> str:
    return ", ".join(names) or "there is none"
