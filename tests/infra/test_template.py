"""What is packaged, made whole for CloudFormation and for Terraform."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.stages import Stage
from infra.template import ANY_STREAM, merged, of_cloudformation, of_terraform

NESTED: st.SearchStrategy[Any] = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def function(**variables: str) -> dict[str, Any]:
    return {"Type": "AWS::Serverless::Function", "Properties": {"Environment": variables}}


def test_functions_have_the_names_that_deploying_gives_them() -> None:
    names = ("APIHandler", "Changes", "Purge", "Deliver", "Retry")
    template = {"Resources": {"RestAPI": {}, **{name: function() for name in names}}}

    whole = of_cloudformation(template, Stage.read("staging"))

    found = {name: whole["Resources"][name]["Properties"]["FunctionName"] for name in names}
    assert found == {
        "APIHandler": "kinto-serverless-staging",
        "Changes": "kinto-serverless-staging-changes",
        "Purge": "kinto-serverless-staging-purge",
        "Deliver": "kinto-serverless-staging-deliver",
        "Retry": "kinto-serverless-staging-retry",
    }


def test_the_stream_is_a_parameter_wherever_chalice_named_it() -> None:
    events = [{"Stream": ANY_STREAM}, "another"]
    template = {"Resources": {"Changes": {"Properties": {"One": ANY_STREAM, "Two": events}}}}

    whole = of_cloudformation(template, Stage.read("dev"))

    properties = whole["Resources"]["Changes"]["Properties"]
    assert properties["One"] == {"Ref": "ObjectsStreamArn"}
    assert properties["Two"] == [{"Stream": {"Ref": "ObjectsStreamArn"}}, "another"]
    assert whole["Parameters"].keys() == {"ObjectsStreamArn"}


def test_terraform_is_told_the_stream_as_a_variable() -> None:
    template = {"resource": {"aws_lambda_function": {"changes": {"stream": ANY_STREAM}}}}

    whole = of_terraform(template, Stage.read("dev"))

    assert whole["variable"].keys() == {"objects_stream_arn"}
    stream = whole["resource"]["aws_lambda_function"]["changes"]["stream"]
    assert stream == "${var.objects_stream_arn}"


@given(NESTED, NESTED)
def test_what_is_merged_in_is_there_and_is_nothing_new_a_second_time(one: Any, other: Any) -> None:
    whole = merged(one, other)

    assert _has(whole, other)
    assert merged(whole, other) == whole


@given(st.dictionaries(st.sampled_from("abc"), NESTED), st.dictionaries(st.just("d"), NESTED))
def test_what_is_merged_in_takes_nothing_away(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert merged(one, other) == {**one, **other}


def _has(whole: Any, part: Any) -> bool:
    if not isinstance(part, dict):
        return bool(whole == part)
    return all(name in whole and _has(whole[name], inner) for name, inner in part.items())
