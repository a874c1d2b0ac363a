"""What a new function takes until it answers, against the least that it can take."""

import json
import re
import shutil
import statistics
import subprocess
import sys
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bench.plots import bars
from bench.report import Section, table
from bench.service import STAGE, Bench
from bench.spread import Spread, spread_of
from bench.unpacked import unpack
from chalicelib.aws_clients import client_of
from chalicelib.protocol.kinds import RECORD
from chalicelib.protocol.uris import ObjectUri
from chalicelib.storage.keys import object_key
from infra.emulator import emulator
from infra.packaging import ARCHIVE, BUILD, HERE, package

RUNS = 31
TRACED_RUNS = 7
GOAL = 1.15
MOST_MODULES = 15
PLOT = "cold_start.svg"
REGION = "us-east-1"
RECORD_URI = ObjectUri(RECORD, ("bench", "starting", "b2f5c1a0-0000-4000-8000-000000000000"))
PATH = f"/v1{RECORD_URI}"
SECRET = "/kinto/bench/secret"  # noqa: S105 - its name

FLOOR, OURS = "the floor", "ours"
UNCOMPILED, KEPT = "ours, without its bytecode", "ours, its secret in Parameter Store"

_IMPORTED = re.compile(r"import time: +(\d+) \| +\d+ \| +(\S+)")

_BOTOCORE = "botocore, and what it needs"
_HANDLER = "what the handler's module makes: the client, routes and all that is behind them"
_PARTS = {
    "app": _HANDLER,
    "floor": _HANDLER,
    "chalicelib": "our modules",
    "chalice": "Chalice",
    "pynamodb": "pynamodb",
    "blinker": "pynamodb",
} | dict.fromkeys(("botocore", "dateutil", "jmespath", "six", "urllib3"), _BOTOCORE)
"""What a module belongs to, by the first part of its name; all others are Python's own."""

_SCHEMAS = "schemas: jsonschema, regex"
_SHIPPED = (
    {"app": "ours", "chalicelib": "ours", "chalice": "Chalice", "pynamodb": "pynamodb"}
    | dict.fromkeys(("cryptography", "_cffi_backend", "jwt"), "tokens: cryptography, PyJWT")
    | dict.fromkeys(("jsonschema", "jsonschema_specifications", "referencing"), _SCHEMAS)
    | dict.fromkeys(("attr", "attrs", "regex", "rpds", "typing_extensions"), _SCHEMAS)
    | {"standardwebhooks": "webhooks: standardwebhooks"}
)


class Start(NamedTuple):
    """A way to start.

    Attributes:
        module: with the `app`.
        folders: that are imported from.
        variables: of the environment.
    """

    module: str
    folders: Sequence[str]
    variables: Mapping[str, str]

    def run(self, *options: str) -> tuple[list[float], str]:
        """Start once, in a new process; gives its figures, and what it wrote to standard error.

        Args:
            options: of Python.
        """
        program = Path(__file__).with_name("starting.py")
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-I", "-S", *options, str(program), self.module, *self.folders],
            input=json.dumps(_event()),
            env=dict(self.variables),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{self.module} doesn't start: {done.stderr}")
        *figures, status = json.loads(done.stdout.splitlines()[-1])
        if status != 200:
            raise RuntimeError(f"{self.module} answered {status}: {done.stdout}")
        return figures, done.stderr


class Figures(NamedTuple):
    """Of one start, in ms: each the CPU time of its process, or the time that went by."""

    init_cpu: float
    init: float
    answered_cpu: float
    answered: float

    @classmethod
    def of(cls, start: Start) -> "Figures":
        """Those of a start; the time from its end to the first answer is counted on from it."""
        (init_cpu, init, answer_cpu, answer), _ = start.run("-B")
        return cls(init_cpu, init, init_cpu + answer_cpu, init + answer)


NAMES = {
    "init_cpu": "Init, CPU",
    "init": "Init, time",
    "answered_cpu": "the first answer, CPU",
    "answered": "the first answer, time",
}


def measure(tell: Callable[[str], None]) -> Section:
    """Start the package, and the floor, again and again, each in a new process."""
    with TemporaryDirectory() as name, emulator(None) as url:
        folder = Path(name)
        tell("packages")
        archive = package(folder / "out", "dev", build=BUILD, architecture=HERE) / ARCHIVE
        _fill(url)
        starts = _starts(folder, archive, url)
        runs = _runs(starts, tell)
        tell(f"traces imports, {TRACED_RUNS} runs each")
        traces = {name: _traced(starts[name]) for name in (FLOOR, OURS)}
        deployed = package(folder / "deployed", "dev", build=BUILD) / ARCHIVE
        text = "\n\n".join(
            (
                _HEAD,
                _table_of_starts(runs),
                f"![CPU time until the first answer](benchmarks/{PLOT})",
                *traced_tables(traces),
                package_table(deployed),
            )
        )
    return Section("Cold start", text, {PLOT: _plot(runs)})


def _fill(url: str) -> None:
    """Store what is read, and the secret."""
    bench = Bench(url)
    for uri in (*RECORD_URI.ancestors, RECORD_URI):
        body: Any = {"data": {"title": "One"}, "permissions": {"read": ["system.Everyone"]}}
        answer = bench.ask("PUT", str(uri), json.dumps(body).encode())
        if answer.status != 201:
            raise RuntimeError(f"{uri} can't be stored: {answer.status} {answer.body}")
    client_of("ssm", REGION, url).put_parameter(Name=SECRET, Value="secret", Type="SecureString")


def _starts(folder: Path, archive: Path, url: str) -> dict[str, Start]:
    """All ways to start, by name."""
    code, lambdas = unpack(archive, folder)
    bare = shutil.copytree(code, folder / "bare", ignore=shutil.ignore_patterns("__pycache__"))
    alone = folder / "floor"
    alone.mkdir()
    shutil.copy(Path(__file__).with_name("floor.py"), alone)
    variables = {
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": url,
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "KINTO_STAGE": STAGE,
        "KINTO_USERID_HMAC_SECRET": "secret",
    }
    kept = variables | {"KINTO_USERID_HMAC_SECRET": f"ssm:{SECRET}"}
    keys = [object_key(uri) for uri in (*RECORD_URI.ancestors, RECORD_URI)]
    asked = [{"parent": {"S": key.parent}, "id": {"S": key.id}} for key in keys]
    asked_for = {f"kinto-{STAGE}-objects": {"Keys": asked, "ConsistentRead": True}}
    return {
        FLOOR: Start(
            "floor",
            [str(alone), code, lambdas],
            variables | {"REQUEST_ITEMS": json.dumps(asked_for)},
        ),
        OURS: Start("app", [code, lambdas], variables),
        UNCOMPILED: Start("app", [str(bare), lambdas], variables),
        KEPT: Start("app", [code, lambdas], kept),
    }


def _event() -> dict[str, Any]:
    """What API Gateway sends for a GET of the record."""
    return {
        "resource": "/{proxy+}",
        "path": PATH,
        "httpMethod": "GET",
        "headers": {"Host": "localhost", "Authorization": "Basic Ym9iOnNlY3JldA=="},
        "multiValueHeaders": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"proxy": PATH[1:]},
        "stageVariables": None,
        "requestContext": {
            "resourcePath": "/{proxy+}",
            "httpMethod": "GET",
            "path": PATH,
            "stage": "v1",
            "identity": {},
        },
        "body": None,
        "isBase64Encoded": False,
    }


def _runs(starts: Mapping[str, Start], tell: Callable[[str], None]) -> dict[str, list[Figures]]:
    """The figures of all runs: each way in its turn, so that a slow minute is everybody's."""
    for name in (FLOOR, KEPT):
        starts[name].run()  # writes the bytecode that Lambda's side and the floor's may lack
    runs: dict[str, list[Figures]] = defaultdict(list)
    for number in range(RUNS):
        if number % 10 == 0:
            tell(f"starts {len(starts)} ways, run {number} of {RUNS}")
        for name, start in starts.items():
            runs[name].append(Figures.of(start))
    return runs


def _spread(runs: Sequence[Figures], what: str) -> Spread:
    return spread_of([getattr(run, what) for run in runs])


def _ratios(runs: Mapping[str, Sequence[Figures]], name: str, what: str) -> Spread:
    """Those to the floor's run of the same turn."""
    pairs = zip(runs[name], runs[FLOOR], strict=True)
    return spread_of([getattr(ours, what) / getattr(floors, what) for ours, floors in pairs])


def _table_of_starts(runs: Mapping[str, Sequence[Figures]]) -> str:
    rows = []
    for what, title in NAMES.items():
        for name in runs:
            ms, ratio = _spread(runs[name], what), _ratios(runs, name, what)
            rows.append(
                (
                    f"{title}: {name}",
                    f"{ms.median:.0f}",
                    f"{ms.lower:.0f} to {ms.upper:.0f}",
                    f"{ratio.median:.2f}",
                    f"{ratio.lower:.2f} to {ratio.upper:.2f}",
                )
            )
    return table(
        ("from the start to the end of", "ms", "quartiles", "of the floor", "quartiles"), rows
    )


def _plot(runs: Mapping[str, Sequence[Figures]]) -> str:
    shown = {title: what for what, title in NAMES.items() if what.endswith("cpu")}
    series = {
        title: [_spread(of_one, what) for of_one in runs.values()] for title, what in shown.items()
    }
    return bars("Cold start", [*runs], series, unit="ms of CPU")


def _traced(start: Start) -> dict[str, float]:
    """What each module takes to import, without those that it imports: medians, in ms."""
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(TRACED_RUNS):
        _, told = start.run("-B", "-X", "importtime")
        for microseconds, module in _IMPORTED.findall(told):
            times[module].append(int(microseconds) / 1000)
    return {module: statistics.median(them) for module, them in times.items()}


def _part_of(module: str) -> str:
    return _PARTS.get(module.partition(".")[0], "Python's own")


def traced_tables(traces: Mapping[str, Mapping[str, float]]) -> tuple[str, str, str, str]:
    """Where the time of Init goes, as text, table, text, table.

    Args:
        traces: ms by module, of the floor and of ours.
    """
    parts = {name: Counter[str]() for name in traces}
    for name, times in traces.items():
        for module, ms in times.items():
            parts[name][_part_of(module)] += ms  # type: ignore[assignment]  # typeshed has ints
    rows = [
        (part, *(f"{parts[name][part]:.1f}" for name in traces))
        for part in sorted({*parts[FLOOR], *parts[OURS]}, key=lambda part: -parts[OURS][part])
    ]
    sums = ("all", *(f"{sum(parts[name].values()):.1f}" for name in traces))
    loaded = {name: ms for name, ms in traces[OURS].items() if _part_of(name) != _HANDLER}
    slowest = sorted(loaded, key=lambda module: -loaded[module])[:MOST_MODULES]
    modules = [
        (module, f"{loaded[module]:.1f}", "yes" if module in traces[FLOOR] else "")
        for module in slowest
    ]
    return (
        _BUDGET,
        table(("for", *(f"{name}, ms" for name in traces)), [*rows, sums]),
        f"The {MOST_MODULES} modules that take ours longest, each without what it imports:",
        table(("module", "ms", "the floor imports it"), modules),
    )


def package_table(archive: Path) -> str:
    """What a package holds, by what it is there for."""
    size: Counter[str] = Counter()
    compiled: Counter[str] = Counter()
    with zipfile.ZipFile(archive) as file:
        for info in file.infolist():
            part = _shipped_part(info.filename)
            size[part] += info.compress_size
            compiled[part] += info.compress_size * info.filename.endswith(".pyc")
    rows = [(part, _mb(size[part]), _mb(compiled[part])) for part, _ in size.most_common()]
    total = archive.stat().st_size
    text = f"The package has {_mb(total)} MB, for arm64; the goal is less than 8. Compressed:"
    return f"{text}\n\n{table(('part', 'MB', 'of it bytecode'), rows)}"


def _shipped_part(path: str) -> str:
    """What a file of the package is there for."""
    name = path.removeprefix("__pycache__/").partition("/")[0]
    return _SHIPPED.get(name.partition(".")[0], "what packages tell of themselves")


def _mb(size: int) -> str:
    return f"{size / 1_000_000:.2f}"


_HEAD = f"""**The floor** is `bench/floor.py`: what any such service imports and makes, which is
Chalice and one botocore client of DynamoDB, with one route that makes one BatchGetItem. **Ours** is
the package as it is deployed, which answers a GET of a record by the same BatchGetItem.

**Init** is what Lambda calls so, without the start of Python itself: importing the module with the
handler, and making the client. **The first answer** is that of the handler to an event of API
Gateway; the connection to DynamoDB, here the emulator, is made in it. Each start is a new process
that sees the package and what Lambda's runtime has, nothing else, and writes no bytecode. All ways
take turns, {RUNS} times; ratios are those of a turn. The goal is at most {GOAL} of the floor.

The floor runs as Python runs it, garbage collection included; ours has none before Init is over."""

_BUDGET = (
    """Where the time of Init goes, by `python -X importtime`, which itself takes a part of it:"""
)
