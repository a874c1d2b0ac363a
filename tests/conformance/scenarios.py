"""The recorded scenarios, and which of them need what isn't built yet."""

import json
from pathlib import Path
from typing import Any

import pytest

from chalicelib.settings import variable_of

DEFAULTS = {
    variable_of(name): value
    for name, value in {
        "userid_hmac_secret": "b4c96a8692291d88fe5a97dd91846eb4",
        "includes": "kinto.plugins.default_bucket",
        "experimental_collection_schema_validation": "true",
        "flush_endpoint_enabled": "true",
    }.items()
}
"""The environment that every exchange was recorded with; a scenario's settings come on top."""

FOLDER = Path(__file__).parent


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


NOT_BUILT: dict[str, str] = {
    name: reason for reason, names in _read(FOLDER / "not_built.json").items() for name in names
}
"""Why scenarios can't match yet. They are expected to fail, so that none stays by mistake."""

SCENARIOS: list[dict[str, Any]] = [
    scenario for path in sorted((FOLDER / "recorded").glob("*.json")) for scenario in _read(path)
]


def environment_of(scenario: dict[str, Any]) -> dict[str, str]:
    """The environment of a server that this scenario can be replayed on."""
    own = {variable_of(name): value for name, value in scenario.get("settings", {}).items()}
    return DEFAULTS | own


def as_parameters(scenarios: list[dict[str, Any]]) -> list[Any]:
    """A test's parameters, expected to fail where a scenario needs what isn't built."""
    return [
        pytest.param(
            scenario,
            id=scenario["name"],
            marks=[pytest.mark.xfail(reason=NOT_BUILT[scenario["name"]], strict=True)]
            if scenario["name"] in NOT_BUILT
            else [],
        )
        for scenario in scenarios
    ]
