"""The operations stack: what is watched is there, and whoever is to hear of it does."""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import boto3
import pytest
import yaml

from chalicelib.events.queues import Queue
from chalicelib.metrics import NAMESPACE, UNITS, times_of_request
from chalicelib.storage.tables import Tables
from infra.emulator import ROOT_KEYS, emulator
from infra.stacks import Stack, parameters
from infra.stages import APP, ROOT, Stage
from infra.tables import TEMPLATE as DATA
from tests.infra.test_customer_key import KEY

TEMPLATE = DATA.with_name("operations.yaml")
TEXT = TEMPLATE.read_text(encoding="utf-8")
RESOURCES: dict[str, Any] = yaml.safe_load(TEXT)["Resources"]
STAGE = Stage.read("prod")
POLLS = {"Delay": 0.1, "MaxAttempts": 300}

TABLES = {*Tables.of_stage("prod")}
OPERATIONS = {"BatchGetItem", "Query", "TransactWriteItems"}
DIMENSIONS: dict[str, dict[str, set[str]]] = {
    "AWS/ApiGateway": {"ApiName": {APP}, "Stage": {STAGE.gateway_stage}},
    "AWS/Lambda": {"FunctionName": {*STAGE.functions.values()}},
    "AWS/DynamoDB": {"TableName": TABLES},
    "AWS/SQS": {"QueueName": {queue.of_stage("prod") for queue in Queue}},
    NAMESPACE: {"stage": {"prod"}},
}
"""What CloudWatch knows these metrics by, and what there is of it."""


class Metric(NamedTuple):
    """A metric, as an alarm or the dashboard names it."""

    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...]


def of_prod(value: Any) -> Any:
    """What a value of the template is for the stage prod."""
    text = json.dumps(value).replace("${Stage}", "prod")
    text = re.sub(r'\{"Ref": "Stage"\}', '"prod"', text)
    return json.loads(re.sub(r'\{"Fn::Sub": ("(?:[^"\\]|\\.)*")\}', r"\1", text))


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """The properties of all resources of a type by logical id, for the stage prod."""
    found = {name: it for name, it in RESOURCES.items() if it["Type"] == kind}
    return {name: of_prod(resource["Properties"]) for name, resource in found.items()}


ALARMS = of_type("AWS::CloudWatch::Alarm")
((_, DASHBOARD),) = of_type("AWS::CloudWatch::Dashboard").items()
WIDGETS = json.loads(DASHBOARD["DashboardBody"])["widgets"]


def metric_of(stated: dict[str, Any]) -> Metric:
    dimensions = tuple((it["Name"], it["Value"]) for it in stated["Dimensions"])
    return Metric(stated["Namespace"], stated["MetricName"], dimensions)


def watched_by(alarm: dict[str, Any]) -> list[Metric]:
    """The metrics that an alarm reads."""
    if "Metrics" not in alarm:
        return [metric_of(alarm)]
    stated = [it["MetricStat"]["Metric"] for it in alarm["Metrics"] if "MetricStat" in it]
    return [metric_of(it) for it in stated]


def shown() -> Iterator[Metric]:
    """The metrics on the dashboard."""
    for widget in WIDGETS:
        for namespace, name, *rest in widget["properties"]["metrics"]:
            texts = [it for it in rest if isinstance(it, str)]
            yield Metric(namespace, name, tuple(zip(texts[::2], texts[1::2], strict=True)))


WATCHED = {metric for alarm in ALARMS.values() for metric in watched_by(alarm)}
SHOWN = set(shown())


@pytest.mark.parametrize("alarm", ALARMS.values(), ids=ALARMS)
def test_an_alarm_is_heard_of_when_it_begins_and_when_it_ends(alarm: dict[str, Any]) -> None:
    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "Alarms"}]
    assert alarm["TreatMissingData"] == "notBreaching"


@pytest.mark.parametrize("alarm", ALARMS.values(), ids=ALARMS)
def test_an_alarm_says_what_to_look_at_first(alarm: dict[str, Any]) -> None:
    assert re.fullmatch(r"kinto-prod-[a-z0-9-]+", alarm["AlarmName"])
    assert ". Look first " in alarm["AlarmDescription"]
    assert len(alarm["AlarmDescription"]) <= 1024


@pytest.mark.parametrize("alarm", ALARMS.values(), ids=ALARMS)
def test_an_alarm_looks_back_a_day_at_most(alarm: dict[str, Any]) -> None:
    stated = [it["MetricStat"] for it in alarm.get("Metrics", []) if "MetricStat" in it]
    periods = {it["Period"] for it in stated or [alarm]}

    assert len(periods) == 1
    assert max(periods) * alarm["EvaluationPeriods"] <= 24 * 60 * 60


@pytest.mark.parametrize("metrics", [it["Metrics"] for it in ALARMS.values() if "Metrics" in it])
def test_an_expression_names_the_metrics_of_its_alarm(metrics: list[dict[str, Any]]) -> None:
    expression, *others = metrics
    functions = {"IF", "SUM", "FILL", "AND"}
    words = set(re.findall(r"[a-zA-Z]\w+", expression["Expression"])) - functions

    assert words == {it["Id"] for it in others}
    assert all(it["ReturnData"] is False for it in others)


@pytest.mark.parametrize(
    ("writes", "starts", "is_raised"),
    [
        ([5, 5, 5, 5], [None, None, None, None], True),
        ([5, 5, 5, None], [None, None, None, None], True),  # the latest period isn't counted yet
        ([5, 5, 5, 5], [2, 1, 3, None], False),
        ([5, None, 5, None], [None, 1, None, 1], False),  # read in the period after the write's
        ([None, None, None, None], [None, None, None, None], False),
        ([0, 0, 0, 0], [None, 1, None, None], False),
    ],
)
def test_a_stream_is_unread_where_a_table_is_written_to_and_nothing_starts(
    writes: list[float | None], starts: list[float | None], *, is_raised: bool
) -> None:
    alarm = ALARMS["StreamUnread"]
    expression = alarm["Metrics"][0]["Expression"].replace("AND", "and")

    def value(written: float | None, started: float | None) -> float:
        given = {"writes": written, "starts": started, "IF": lambda it, a, b: a if it else b}
        filled = {"FILL": lambda metric, other: other if metric is None else metric}
        return float(eval(expression, {**given, **filled}))  # noqa: S307 # CloudWatch's, as Python

    values = [value(*each) for each in zip(writes, starts, strict=True)]
    assert alarm["EvaluationPeriods"] == len(values)
    breaching = [it for it in values if it >= alarm["Threshold"]]
    assert (len(breaching) >= alarm["DatapointsToAlarm"]) is is_raised


@pytest.mark.parametrize("metric", sorted(WATCHED | SHOWN), ids=str)
def test_what_is_watched_exists(metric: Metric) -> None:
    known = DIMENSIONS[metric.namespace]
    found = dict(metric.dimensions)
    if metric.name == "SystemErrors":  # which DynamoDB tells by operation only
        assert found.pop("Operation") in OPERATIONS

    assert found.keys() == known.keys()
    assert all(value in known[name] for name, value in found.items())


def test_our_own_metrics_are_those_that_the_functions_write() -> None:
    ours = {metric.name for metric in WATCHED | SHOWN if metric.namespace == NAMESPACE}

    calls = {operation: [1.0] for operation in OPERATIONS}
    assert ours == UNITS.keys() | times_of_request(1, {"basicauth": 1}, {}, calls)


@pytest.mark.parametrize("function", STAGE.functions.values())
def test_every_function_has_a_log_and_is_watched(function: str) -> None:
    logs = {log["LogGroupName"] for log in of_type("AWS::Logs::LogGroup").values()}
    of_function = (("FunctionName", function),)

    assert f"/aws/lambda/{function}" in logs
    assert {Metric("AWS/Lambda", name, of_function) for name in ("Errors", "Throttles")} <= WATCHED
    assert Metric("AWS/Lambda", "Duration", of_function) in SHOWN


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_is_watched(table: str) -> None:
    of_table = (("TableName", table),)

    for name in ("ReadThrottleEvents", "WriteThrottleEvents"):
        assert Metric("AWS/DynamoDB", name, of_table) in WATCHED & SHOWN


def test_logs_are_kept_as_long_as_is_said() -> None:
    logs = of_type("AWS::Logs::LogGroup").values()

    assert [log["RetentionInDays"] for log in logs] == [{"Ref": "LogRetentionDays"}] * 6


def test_the_topic_takes_a_key_where_one_is_given() -> None:
    (topic,) = of_type("AWS::SNS::Topic").values()  # emulators don't keep what it has

    given, none = {"Ref": "KmsKeyArn"}, {"Ref": "AWS::NoValue"}
    assert topic["KmsMasterKeyId"] == {"Fn::If": ["HasKey", given, none]}


def test_both_templates_take_the_same_stages() -> None:
    mine, other = (yaml.safe_load(it.read_text("utf-8"))["Parameters"] for it in (TEMPLATE, DATA))

    assert mine["Stage"]["AllowedPattern"] == other["Stage"]["AllowedPattern"]


def test_the_template_can_be_sent_as_it_is() -> None:
    assert len(TEXT.encode()) <= 51_200  # as a part of a request


# On the emulator


class Operations:
    """Operations stacks on an emulator, and what is in them."""

    def __init__(self, url: str) -> None:
        connect = partial(boto3.client, endpoint_url=url, **ROOT_KEYS)
        self.cloudformation, self.cloudwatch, self.logs, self.sns = map(
            connect, ("cloudformation", "cloudwatch", "logs", "sns")
        )

    def stack(self, stage: str) -> Stack:
        return Stack(self.cloudformation, f"kinto-{stage}-operations", POLLS)

    def put(self, stage: str, **given: str) -> dict[str, str]:
        """Create or update the stack of a stage; gives its outputs."""
        stack = self.stack(stage)
        stack.put(TemplateBody=TEXT, Parameters=parameters({"Stage": stage, **given}))
        return stack.outputs()

    def log_groups(self, stage: str) -> dict[str, Any]:
        found = self.logs.describe_log_groups()["logGroups"]
        name = re.compile(f"/aws/(lambda/kinto-serverless|apigateway/kinto)-{stage}(-[a-z]+)?")
        return {it["logGroupName"]: it for it in found if name.fullmatch(it["logGroupName"])}


@pytest.fixture(scope="module")
def operations() -> Iterator[Operations]:
    with emulator(None, deploys=True) as url:
        yield Operations(url)


@pytest.mark.emulator
def test_the_stack_has_alarms_that_tell_its_topic(operations: Operations) -> None:
    topic = operations.put("told")["AlarmsTopicArn"]

    alarms = operations.cloudwatch.describe_alarms(AlarmNamePrefix="kinto-told-")["MetricAlarms"]
    assert len(alarms) == len(ALARMS)
    assert all(alarm["AlarmActions"] == alarm["OKActions"] == [topic] for alarm in alarms)
    assert topic.endswith(":kinto-told-alarms")


@pytest.mark.emulator
def test_the_topic_takes_alarms_of_this_account_only(operations: Operations) -> None:
    topic = operations.put("topic")["AlarmsTopicArn"]

    attributes = operations.sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    allow, deny = json.loads(attributes["Policy"])["Statement"]
    account = topic.split(":")[4]
    assert allow["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allow["Action"] == deny["Action"] == "sns:Publish"
    assert allow["Resource"] == deny["Resource"] == topic
    assert allow["Condition"]["StringEquals"] == {"aws:SourceAccount": account}
    assert f":{account}:alarm:" in allow["Condition"]["ArnLike"]["aws:SourceArn"]
    assert (deny["Effect"], deny["Principal"]) == ("Deny", "*")
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.emulator
def test_logs_of_stages_are_apart_and_have_their_own_retention(operations: Operations) -> None:
    outputs = operations.put("one")
    operations.put("two", LogRetentionDays="7")

    one, two = operations.log_groups("one"), operations.log_groups("two")
    assert {it["retentionInDays"] for it in one.values()} == {30}
    assert {it["retentionInDays"] for it in two.values()} == {7}
    assert len(one) == len(two) == 6
    assert outputs["AccessLogGroupArn"].endswith(":log-group:/aws/apigateway/kinto-one")


@pytest.mark.emulator
def test_the_dashboard_is_named_by_the_stage_and_shows_it(operations: Operations) -> None:
    url = operations.put("shown")["DashboardUrl"]

    found = operations.cloudwatch.get_dashboard(DashboardName="kinto-shown")["DashboardBody"]
    assert url.endswith("#dashboards:name=kinto-shown")
    assert len(json.loads(found)["widgets"]) == len(WIDGETS)
    assert "kinto-shown-objects" in found
    assert "${" not in found


@pytest.mark.emulator
def test_whom_to_tell_can_be_given_later(operations: Operations) -> None:
    topic = operations.put("later")["AlarmsTopicArn"]
    before = operations.sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]

    operations.put("later", AlarmEmail="ops@example.org")

    after = operations.sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert before == []
    assert [it["Endpoint"] for it in after] == ["ops@example.org"]


@pytest.mark.emulator
def test_logs_take_a_key_where_one_is_given(operations: Operations) -> None:
    operations.put("keyed")
    before = operations.log_groups("keyed").values()

    operations.put("keyed", KmsKeyArn=KEY)

    assert not any("kmsKeyId" in it for it in before)
    assert {it["kmsKeyId"] for it in operations.log_groups("keyed").values()} == {KEY}


@pytest.mark.emulator
def test_putting_it_again_changes_nothing(operations: Operations) -> None:
    operations.put("again")

    given = parameters({"Stage": "again"})
    assert operations.stack("again").put(TemplateBody=TEXT, Parameters=given) == []


def test_operators_are_told_what_to_do_for_each_alarm() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    told = re.findall(r"^### `(kinto-STAGE-[^`]+)`$", page, re.MULTILINE)

    names = [alarm["AlarmName"] for alarm in of_type("AWS::CloudWatch::Alarm").values()]
    assert sorted(told) == sorted(name.replace("-prod-", "-STAGE-") for name in names)
