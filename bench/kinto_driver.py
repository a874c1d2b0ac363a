"""Kinto as in production, without a web server: `python -m bench.kinto_driver`, in its environment.

Settings: <https://kinto.readthedocs.io/en/latest/configuration/production.html>.
"""

import io
import logging.config
import os
from typing import Any

from bench.driving import drive, separate_output

_LOGGING = {
    "version": 1,
    "formatters": {"json": {"()": "kinto.core.JsonLogFormatter"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "stream": "ext://sys.stdout",
            "formatter": "json",
        }
    },
    "root": {"level": "INFO", "handlers": ["console"]},
    "disable_existing_loggers": False,
}


def _settings(url: str) -> dict[str, str]:
    return {
        "kinto.storage_backend": "kinto.core.storage.postgresql",
        "kinto.storage_url": url,
        "kinto.permission_backend": "kinto.core.permission.postgresql",
        "kinto.permission_url": url,
        "kinto.cache_backend": "kinto.core.cache.postgresql",
        "kinto.cache_url": url,
        "kinto.storage_pool_size": "50",
        "kinto.permission_pool_size": "50",
        "kinto.cache_pool_size": "50",
        "kinto.http_scheme": "https",
        "kinto.paginate_by": "100",
        "kinto.batch_max_requests": "25",
        "kinto.includes": "kinto.plugins.default_bucket",
        "kinto.experimental_collection_schema_validation": "true",
        "kinto.userid_hmac_secret": os.environ["KINTO_USERID_HMAC_SECRET"],
        "multiauth.policies": "basicauth",
    }


def _environ(request: tuple[str, str, dict[str, str], str]) -> dict[str, Any]:
    """What a web server makes of a request: method, path with query, headers, body."""
    method, target, headers, text = request
    path, _, query = target.partition("?")
    body = text.encode()
    sent = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return sent | {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": headers.get("Content-Type", ""),
        "CONTENT_LENGTH": f"{len(body)}",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8888",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def main() -> None:
    """Make the tables, and serve."""
    answers = separate_output()
    import kinto  # type: ignore[import-not-found]  # of its own environment
    from kinto.core.scripts import migrate  # type: ignore[import-not-found]

    logging.config.dictConfig(_LOGGING)
    app = kinto.main({}, **_settings(os.environ["BENCH_DATABASE"]))
    migrate({"registry": app.registry})

    def call(environ: dict[str, Any]) -> tuple[str, dict[str, str], bytes]:
        head: list[Any] = []
        chunks = app(environ, lambda status, headers, _failed=None: head.extend((status, headers)))
        body = b"".join(chunks)
        if hasattr(chunks, "close"):
            chunks.close()
        return head[0], head[1], body

    def tell(given: tuple[str, Any, bytes]) -> tuple[int, dict[str, str], str]:
        status, headers, body = given
        return int(status.split()[0]), dict(headers), body.decode()

    drive(answers, _environ, call, tell)


if __name__ == "__main__":
    main()
