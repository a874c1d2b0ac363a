"""Paths to routes, as API Gateway matches them."""

from typing import Any

import pytest

from infra.gateway import PathMatcher

MATCHER = PathMatcher(["/", "/v1", "/v1/buckets", "/v1/buckets/{bucket}", "/{proxy+}"])


@pytest.mark.parametrize(
    ("url", "route", "captured", "query"),
    [
        ("/", "/", {}, {}),
        ("/v1", "/v1", {}, {}),
        ("/v1/", "/v1", {}, {}),
        ("/v1/buckets/blog", "/v1/buckets/{bucket}", {"bucket": "blog"}, {}),
        ("/v1/buckets/blog/", "/v1/buckets/{bucket}", {"bucket": "blog"}, {}),
        ("/v1/buckets/a%2Fb", "/v1/buckets/{bucket}", {"bucket": "a%2Fb"}, {}),
        ("/v1/buckets/a;b", "/v1/buckets/{bucket}", {"bucket": "a;b"}, {}),
        ("/v1/buckets//", "/{proxy+}", {"proxy": "v1/buckets//"}, {}),
        ("//v1", "/{proxy+}", {"proxy": "/v1"}, {}),
        ("/nothing", "/{proxy+}", {"proxy": "nothing"}, {}),
        ("/v2/no/such/path", "/{proxy+}", {"proxy": "v2/no/such/path"}, {}),
        ("/v1?a=1&a=2&b=", "/v1", {}, {"a": ["1", "2"], "b": [""]}),
        ("/v1?path=/x/y?z", "/v1", {}, {"path": ["/x/y?z"]}),
    ],
)
def test_path_leads_to_route(
    url: str, route: str, captured: dict[str, str], query: dict[str, Any]
) -> None:
    match = MATCHER.match_route(url)

    assert (match.route, match.captured, match.query_params) == (route, captured, query)
