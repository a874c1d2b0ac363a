"""A package unpacked, and what Lambda has beside it: all that a function can import."""

import zipfile
from importlib.util import find_spec
from pathlib import Path

ON_LAMBDA = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")
"""What AWS's runtime for Python has."""


def unpack(archive: Path, folder: Path) -> list[str]:
    """Unpack a package into a folder; gives what `sys.path` has before the standard library.

    Of what Lambda has, the versions that are installed here.
    """
    code, lambdas = folder / "code", folder / "lambda"
    with zipfile.ZipFile(archive) as file:
        file.extractall(code)
    lambdas.mkdir()
    for name in ON_LAMBDA:
        here = _place_of(name)
        (lambdas / here.name).symlink_to(here)
    return [str(code), str(lambdas)]


def _place_of(name: str) -> Path:
    """The folder or the file that is imported by this name."""
    found = find_spec(name)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    origin = Path(found.origin)
    return origin.parent if origin.name == "__init__.py" else origin
