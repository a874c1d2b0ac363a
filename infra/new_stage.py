"""A new stage like another: `python -m infra.new_stage staging2`.

From the environment: LIKE is the other. The new stage's part of `.chalice/config.json`, and its
policies, are those of the other under its own name. It has no domain, as a domain leads to one
stage. Where the secret is a parameter of Systems Manager, it is one of its own: with another value,
users are others.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from chalicelib.setting_values import parse_stage
from infra.stages import CONFIG, SECRET, STREAM, Stage, StageError

_POLICY = "iam_policy_file"


def main(name: str = "") -> int:
    """Write configuration and policies; gives the exit status."""
    try:
        for file in create(name, os.environ.get("LIKE", ""), CONFIG.parent):
            print(f"wrote {file}")
    except StageError as error:
        print(f"kinto-serverless: {error}", file=sys.stderr)
        return 1
    return 0


def create(name: str, like: str, folder: Path) -> list[Path]:
    """Write what the new stage has, and tell which files.

    Args:
        name: of the new stage.
        like: the other.
        folder: of Chalice's configuration.

    Raises:
        StageError: there is a stage of this name, or none of the other, or it can't have it.
    """
    config = folder / "config.json"
    other = Stage.read(like, config)
    try:
        parse_stage(name)
    except ValueError as error:
        raise StageError(f"a stage's name has {error}") from error
    if name in other.config["stages"]:
        raise StageError(f"there is a stage {name} already")
    policies = {
        folder / function[_POLICY]: folder / _renamed(function[_POLICY], like, name)
        for function in (other.own, *other.own["lambda_functions"].values())
        if _POLICY in function
    }
    for source, target in policies.items():
        target.write_text(_renamed(source.read_text(encoding="utf-8"), like, name))
    other.config["stages"][name] = _block(other.own, like, name)
    other.write(config)
    return [*policies.values(), config]


def _block(own: dict[str, Any], like: str, name: str) -> dict[str, Any]:
    """The new stage's part of the configuration: settings that may name the other stay."""
    block: dict[str, Any] = json.loads(json.dumps(own))
    block.pop("api_gateway_custom_domain", None)
    block["api_gateway_stage"] = name
    for function in (block, *block["lambda_functions"].values()):
        variables = function.get("environment_variables", {})
        variables.pop(STREAM, None)
        for variable in {"KINTO_STAGE", SECRET} & variables.keys():
            variables[variable] = _renamed(variables[variable], like, name)
        if _POLICY in function:
            function[_POLICY] = _renamed(function[_POLICY], like, name)
    return block


def _renamed(text: str, like: str, name: str) -> str:
    """With the new stage's name wherever the other's is a word."""
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(like)}(?![A-Za-z0-9])", name, text)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
