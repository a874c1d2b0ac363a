"""A new stage like another: `python -m infra.new_stage staging2`.

From the environment: LIKE is the other. The new stage's part of `.chalice/config.json`, and its
policies, are those of the other under its own name. It has no domain, as a domain leads to one
stage, and a secret of its own, a parameter of Systems Manager that deploying it makes. Other
settings are the other's, and told: listeners, say, may be what two stages mustn't share.
"""

import copy
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chalicelib.setting_values import parse_stage
from infra.stages import CONFIG, SECRET, STREAM, Stage, StageError

_POLICY = "iam_policy_file"
_VARIABLES = "environment_variables"
_FUNCTIONS = "lambda_functions"
_STAGE = "KINTO_STAGE"
_DOMAINS = ("api_gateway_custom_domain", "websocket_api_custom_domain")


def main(name: str = "") -> int:
    """Write configuration and policies; gives the exit status."""
    like = os.environ.get("LIKE", "")
    try:
        for file in create(name, like, CONFIG.parent):
            print(f"wrote {file}")
        if settings := taken_over(Stage.read(name, CONFIG)):
            print(f"these settings are those of {like}, look them over: {', '.join(settings)}")
    except (StageError, OSError) as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1
    return 0


def create(name: str, like: str, folder: Path) -> list[Path]:
    """Write what the new stage has, and tell which files; none that is there is written over.

    Args:
        name: of the new stage.
        like: the other.
        folder: of Chalice's configuration.

    Raises:
        StageError: there is a stage or a file of this name, or none of the other, or it can't have
            it.
        OSError: a policy of the other can't be read.
    """
    if not like:
        raise StageError("like which stage? LIKE=prod, say")
    config = folder / "config.json"
    other = Stage.read(like, config)
    _check_name(name, other.config["stages"])
    new = Stage(name, other.config)
    new.config["stages"][name] = _block(other.own, name)
    _check_functions(new)
    policies = {}
    for function, part in _parts(new.own):
        if _POLICY in part:
            text = (folder / part[_POLICY]).read_text(encoding="utf-8")
            part[_POLICY] = "-".join(filter(None, ("policy", name, function))) + ".json"
            policies[folder / part[_POLICY]] = _renamed(text, like, name)
    if there := [file.name for file in policies if file.exists()]:
        raise StageError(f"{', '.join(there)} is there already: remove it, or take another name")
    for file, text in policies.items():
        file.write_text(text, encoding="utf-8")
    new.write(config)
    return [*policies, config]


def taken_over(stage: Stage) -> list[str]:
    """The settings of a new stage that are the other's."""
    own = {_STAGE, SECRET}
    return sorted(
        {name for _, part in _parts(stage.own) for name in part.get(_VARIABLES, {})} - own
    )


def _check_name(name: str, stages: dict[str, Any]) -> None:
    try:
        parse_stage(name)
    except ValueError as error:
        raise StageError(f"a stage's name has {error}") from error
    if name in stages:
        raise StageError(f"there is a stage {name} already")


def _check_functions(new: Stage) -> None:
    """A stage prod-purge would take the function of prod that purges for its own."""
    wanted = set(new.functions.values())
    for name in new.config["stages"].keys() - {new.name}:
        if taken := wanted & set(Stage(name, new.config).functions.values()):
            raise StageError(f"the stage {name} has {', '.join(sorted(taken))}: take another name")


def _block(own: dict[str, Any], name: str) -> dict[str, Any]:
    """The new stage's part of the configuration, still with the other's policies."""
    block = {key: value for key, value in copy.deepcopy(own).items() if key not in _DOMAINS}
    block["api_gateway_stage"] = name
    own_values = {_STAGE: name, SECRET: f"ssm:/kinto/{name}/userid-hmac-secret"}
    for _, part in _parts(block):
        variables = part.get(_VARIABLES, {})
        variables.pop(STREAM, None)
        variables.update({key: own_values[key] for key in own_values.keys() & variables.keys()})
    return block


def _parts(block: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a stage's block says of all functions, and of single ones, which it names."""
    yield "", block
    yield from block.get(_FUNCTIONS, {}).items()


def _renamed(policy: str, like: str, name: str) -> str:
    """With the new stage's name in the names that begin with ours, and nowhere else."""
    before = r"(kinto-serverless-|kinto[-/])"
    return re.sub(rf"{before}{re.escape(like)}(?![A-Za-z0-9_])", rf"\g<1>{name}", policy)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
