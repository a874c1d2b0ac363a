"""The tables of cold starts: nothing that was measured is left out of a sum."""

import zipfile
from pathlib import Path

from bench.cold_start import FLOOR, OURS, package_table, traced_tables


def test_the_parts_of_a_package_tell_what_each_file_is_for(tmp_path: Path) -> None:
    archive = tmp_path / "deployment.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name, size in {
            "app.py": 10_000,
            "__pycache__/app.cpython-311.pyc": 20_000,
            "__pycache__/typing_extensions.cpython-311.pyc": 30_000,
            "_cffi_backend.cpython-311-aarch64-linux-gnu.so": 40_000,
            "pynamodb-6.1.0.dist-info/METADATA": 50_000,
        }.items():
            file.writestr(name, bytes(size))

    told = package_table(archive)

    assert "| ours | 0.03 | 0.02 |" in told
    assert "| schemas: jsonschema, regex | 0.03 | 0.03 |" in told
    assert "| tokens: cryptography, PyJWT | 0.04 | 0.00 |" in told
    assert "| what packages tell of themselves | 0.05 | 0.00 |" in told
    assert "The package has 0.15 MB" in told


def test_times_of_modules_add_up_by_what_they_belong_to() -> None:
    floor = {"floor": 50.0, "botocore.session": 8.0, "json": 2.0}
    ours = {"app": 40.0, "botocore.session": 8.0, "json": 2.0, "chalicelib.settings": 3.0}

    told = "\n".join(traced_tables({FLOOR: floor, OURS: ours}))

    assert "| botocore, and what it needs | 8.0 | 8.0 |" in told
    assert "| our modules | 0.0 | 3.0 |" in told
    assert "| all | 60.0 | 53.0 |" in told
    assert "| chalicelib.settings | 3.0 |  |" in told
    assert "| json | 2.0 | yes |" in told
    assert "| app |" not in told
