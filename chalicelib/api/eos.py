"""The end of the service: announced on every answer, and in the end the only one.

Rule: spec, "The service around the resources", section 7.
"""

import json

from chalicelib.settings import Settings


def has_ended(settings: Settings, now_ms: int) -> bool:
    """Whether the end is there."""
    return settings.ends_at_ms is not None and now_ms >= settings.ends_at_ms


def alert(settings: Settings, now_ms: int) -> dict[str, str]:
    """The header that announces the end; none where there is none. Escaped, so in ASCII."""
    if settings.eos is None:
        return {}
    told = {
        "code": "hard-eol" if has_ended(settings, now_ms) else "soft-eol",
        "message": settings.eos_message,
        "url": settings.eos_url or settings.project_docs,
    }
    return {"Alert": json.dumps(told, separators=(",", ":"))}
