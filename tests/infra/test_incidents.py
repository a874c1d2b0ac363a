"""The incidents that docs/operations.md walks through: `examples/incidents.py`."""

import json
import re
import subprocess
import sys

import pytest

from infra.stages import ROOT


@pytest.mark.emulator
def test_log_and_traces_lead_from_what_is_seen_to_what_is_wrong() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.incidents"], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    slow, failing = done.stdout.split("# A failing webhook")
    line, failed, asked = (
        json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")
    )
    assert line["conflict_retries"] >= 3
    refused = re.findall(r"TransactWriteItems .* error .*: (\S+)#record \.clock$", slow, re.M)
    assert refused == ["/buckets/team/collections/notes"] * line["conflict_retries"]
    assert failed["Fields"]["listener"] == "search"
    assert asked["Fields"]["rid"] == failed["Fields"]["rid"]
    assert re.search(r"^search .* fault 503$", failing, re.M)
