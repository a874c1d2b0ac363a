"""A stage's own domain, where it has one: what Chalice has to know of it, and where it leads."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.stages import Stage

_ROOT = "(none)"  # the base path, as API Gateway calls it


@dataclass(frozen=True, slots=True)
class Domain:
    """The domain that a stage is configured with, whether there is one or not.

    Attributes:
        stage: that it is to lead to.
        gateway: client of boto3, for API Gateway.
    """

    stage: Stage
    gateway: Any

    @property
    def name(self) -> str | None:
        """What clients ask; None where the stage has none."""
        configured = (self.stage.config | self.stage.own).get("api_gateway_custom_domain") or {}
        name: str | None = configured.get("domain_name")
        return name

    def remembered(self, api_id: str | None) -> Iterator[dict[str, Any]]:
        """The domain as Chalice writes it down, if it is there.

        Where it leads to another API, that isn't Chalice's: it would neither move nor delete it.

        Args:
            api_id: of the stage; None where it has none yet.
        """
        found = self._found()
        if found is None:
            return
        leads_here = any(it["basePath"] == _ROOT for it in self._mappings(api_id))
        yield {
            "name": "api_gateway_custom_domain",
            "resource_type": "domain_name",
            "domain_name": found["domainName"],
            "hosted_zone_id": _either(found, "HostedZoneId"),
            "alias_domain_name": _either(found, "DomainName"),
            "certificate_arn": found.get("regionalCertificateArn") or found.get("certificateArn"),
            "security_policy": found.get("securityPolicy"),
            "api_mapping": [{"key": "/"}] if leads_here else [],
        }

    def leads_elsewhere(self, api_id: str) -> Iterator[str]:
        """A line where clients of the domain come to another API, or stage: how to move it."""
        if self._found() is None:
            return
        for mapping in self._all_mappings():
            there = (mapping["restApiId"], mapping.get("stage"))
            if mapping["basePath"] == _ROOT and there != (api_id, self.stage.gateway_stage):
                yield (
                    f"{self.name} leads to the API {there[0]}, stage {there[1]}. To lead it here:"
                    f" aws apigateway update-base-path-mapping --domain-name {self.name}"
                    f" --base-path '{_ROOT}' --patch-operations"
                    f" op=replace,path=/restapiId,value={api_id}"
                    f" op=replace,path=/stage,value={self.stage.gateway_stage}"
                )

    def leave(self, api_id: str | None) -> Iterator[str]:
        """Lead it to this API no more, which can't be deleted before; the domain stays."""
        if self._found() is None:
            return
        for mapping in self._mappings(api_id):
            self.gateway.delete_base_path_mapping(
                domainName=self.name, basePath=mapping["basePath"]
            )
            yield f"{self.name} leads nowhere"
        yield f"the domain {self.name} stays, as DNS may lead to it"

    def _found(self) -> dict[str, Any] | None:
        if self.name is None:
            return None
        try:
            found: dict[str, Any] = self.gateway.get_domain_name(domainName=self.name)
        except self.gateway.exceptions.NotFoundException:
            return None
        return found

    def _mappings(self, api_id: str | None) -> list[dict[str, Any]]:
        """Those that lead to this API."""
        return [it for it in self._all_mappings() if it["restApiId"] == api_id]

    def _all_mappings(self) -> list[dict[str, Any]]:
        pages = self.gateway.get_paginator("get_base_path_mappings").paginate(domainName=self.name)
        return [it for page in pages for it in page.get("items", [])]


def _either(domain: dict[str, Any], name: str) -> str | None:
    """That of a regional domain, or of one at the edge."""
    value: str | None = domain.get(f"regional{name}") or domain.get(f"distribution{name}")
    return value
