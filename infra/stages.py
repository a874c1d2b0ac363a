"""The stages that `.chalice/config.json` describes, and the names of what they consist of."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / ".chalice" / "config.json"

APP = "kinto-serverless"
"""Names the REST API, and begins the names of functions."""

API = "api_handler"
"""The function that answers requests, as Chalice calls it."""

SECRET = "KINTO_USERID_HMAC_SECRET"  # noqa: S105  # the name of it
STREAM = "KINTO_OBJECTS_STREAM_ARN"

_PUBLISHED = ("change-me", "b4c96a8692291d88fe5a97dd91846eb4")
_SHORTEST_SECRET = 16


class StageError(Exception):
    """Why there is no such stage, or why it can't be deployed, in one line."""


@dataclass(frozen=True)
class Stage:
    """One of the stages.

    Attributes:
        name: of the stage.
        config: Chalice's configuration, of all stages.
    """

    name: str
    config: dict[str, Any]

    @classmethod
    def read(cls, name: str, file: Path = CONFIG) -> "Stage":
        """The stage of this name.

        Raises:
            StageError: none is named, it isn't configured, or the configuration can't be read.
        """
        if not name:
            raise StageError("which stage? STAGE=prod, say")
        config = _parsed(file)
        if name not in config["stages"]:
            raise StageError(f"there is no stage {name} in .chalice/config.json")
        _require(config["stages"][name], f"the stage {name}", "api_gateway_stage")
        return cls(name, config)

    @cached_property
    def functions(self) -> dict[str, str]:
        """The functions' names on Lambda, by Chalice's."""
        others = {name: f"{APP}-{self.name}-{name}" for name in self.config["lambda_functions"]}
        return {API: f"{APP}-{self.name}", **others}

    @property
    def gateway_stage(self) -> str:
        """The API's own stage, with which its addresses begin."""
        name: str = self.own["api_gateway_stage"]
        return name

    @property
    def stack_parameters(self) -> dict[str, str]:
        """What the templates' parameters are, beside the stage's name."""
        parameters: dict[str, str] = self.own.get("stack_parameters", {})
        return parameters

    @property
    def secret(self) -> str:
        """What keys the user ids, or where that is kept.

        Raises:
            StageError: it isn't set, or it is one that everybody knows, or could guess.
        """
        variables = self.own.get("environment_variables", {}) | self._of_api
        secret: str = variables.get(SECRET, "")
        if secret in _PUBLISHED or len(secret) < _SHORTEST_SECRET:
            raise StageError(
                f"set {SECRET} of the stage {self.name} in .chalice/config.json: to a reference"
                f" (ssm:/kinto/{self.name}/...), or to {_SHORTEST_SECRET} characters at least"
            )
        return secret

    @property
    def stream(self) -> str | None:
        """The ARN of the stream that the functions' variables name; None where they name none."""
        found: str | None = self.own.get("environment_variables", {}).get(STREAM)
        return found

    def set_stream(self, arn: str) -> bool:
        """Have the functions' variables name this stream; False if they do."""
        if self.stream == arn:
            return False
        self.own.setdefault("environment_variables", {})[STREAM] = arn
        return True

    def write(self, file: Path = CONFIG) -> None:
        """Write the configuration."""
        text = json.dumps(self.config, indent=2, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8")

    @property
    def own(self) -> dict[str, Any]:
        """The stage's part of the configuration."""
        own: dict[str, Any] = self.config["stages"][self.name]
        return own

    @property
    def _of_api(self) -> dict[str, str]:
        functions = self.own.get("lambda_functions", {})
        variables: dict[str, str] = functions.get(API, {}).get("environment_variables", {})
        return variables


def _parsed(file: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise StageError(
            f".chalice/config.json, line {error.lineno}, column {error.colno}: {error.msg}"
        ) from error
    except OSError as error:
        raise StageError(f".chalice/config.json can't be read: {error.strerror}") from error
    _require(config, "it", "stages", "lambda_functions")
    return config


def _require(part: Any, what: str, *names: str) -> None:
    for name in names:
        if not isinstance(part, dict) or name not in part:
            raise StageError(f".chalice/config.json: {what} has no {name}")
