"""The page of settings: `infra/settings_page.py`, and docs/settings.md itself."""

import dataclasses
from pathlib import Path

import pytest

from chalicelib.settings import Settings, variable_of
from infra import settings_page
from infra.settings_page import PAGE, Row, main, page, rows

FIELDS = [field for field in dataclasses.fields(Settings) if "parse" in field.metadata]
NAMES = [field.name for field in FIELDS]


def lines() -> dict[str, str]:
    """The lines of the table, by the setting's name."""
    return {line.split("`")[1]: line for line in page().splitlines() if line.startswith("| `")}


def test_the_page_is_that_of_the_declarations() -> None:
    assert PAGE.read_text("utf-8") == page(), "stale: make docs"


def test_make_docs_writes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_page, "PAGE", tmp_path / "settings.md")

    assert main() == 0
    assert (tmp_path / "settings.md").read_text("utf-8") == page()


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_there_with_its_variable_and_help(name: str) -> None:
    field = next(field for field in FIELDS if field.name == name)

    line = lines()[f"kinto.{name}"]

    assert f"| `{variable_of(name)}` |" in line
    assert field.metadata["help"] in line


@pytest.mark.parametrize("name", NAMES)
def test_a_default_is_there_as_it_would_be_set(name: str) -> None:
    default = next(row.default for row in rows() if row.name == name)

    environment = {} if default is None else {variable_of(name): default}
    assert Settings.from_environment(environment) == Settings()


def test_a_family_is_one_row() -> None:
    names = {row.name for row in rows()} - set(NAMES)

    assert names == {
        "auth_policy.NAME.OPTION",
        "event_listeners.NAME.OPTION",
        "SWITCH_enabled",
        "NAME_record_cache_expires_seconds",
    }


@pytest.mark.parametrize("family", ["auth_policy", "event_listeners"])
def test_options_are_named_as_kinto_names_them_and_may_be_secrets(family: str) -> None:
    line = lines()[f"kinto.{family}.NAME.OPTION"]

    assert f"| `KINTO_{family.upper()}_NAME_OPTION` |" in line
    assert "**May be secret.**" in line


def test_a_secret_is_marked() -> None:
    secret = "kinto.userid_hmac_secret"
    found = lines()

    assert "**Secret.**" in found[secret]
    assert not any("**Secret.**" in line for name, line in found.items() if name != secret)


@pytest.mark.parametrize(
    ("default", "shown"), [(None, "| none |"), ("", "| empty |"), ("a b", "| `a b` |")]
)
def test_a_row_shows_its_default(default: str | None, shown: str) -> None:
    line = str(Row("a_b", default, "Does this."))

    assert line.startswith("| `kinto.a_b` | `KINTO_A_B` ")
    assert shown in line


def test_no_row_breaks_the_table() -> None:
    assert all(str(row).count(" | ") == 3 for row in rows())
    assert all("\n" not in str(row) for row in rows())
