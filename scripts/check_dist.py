"""Install each built file into an environment of its own and try what is in it.

    python -m scripts.check_dist dist/*

The wheel's bill of materials is held against the schema of CycloneDX.

The environments hold the package and what it requires: no extra, no checkout.  The
redis-server is the one of the tests.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.servers import RedisProcess

SMOKE = Path(__file__).with_name("smoke.py")


def main(files: list[str]) -> None:
    """Try each of *files*, a wheel or a source distribution."""
    kinds = sorted("wheel" if name.endswith(".whl") else "sdist" for name in files)
    if kinds != ["sdist", "wheel"]:
        raise SystemExit(f"a wheel and a source distribution are wanted, not {files}")
    for name in files:
        if name.endswith(".whl"):
            check_bill_of_materials(Path(name))
        with tempfile.TemporaryDirectory() as folder, RedisProcess() as server:
            print(f"{name} ...", flush=True)
            python = install(Path(name).resolve(), Path(folder))
            run(python, "-I", str(SMOKE), server.url, folder=folder)


def check_bill_of_materials(wheel: Path) -> None:
    """Stop where the bill of materials in *wheel* is not what its format says."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if ".dist-info/sboms/" in n)
        text = archive.read(name).decode()
    version = SchemaVersion.from_version(json.loads(text)["specVersion"])
    wrong = JsonStrictValidator(version).validate_str(text)
    if wrong is not None:
        raise SystemExit(f"{name}: {wrong}")
    print(f"{name} is CycloneDX {version.to_version()}", flush=True)


def install(built: Path, folder: Path) -> str:
    """Install *built* into a new environment in *folder* and return its Python."""
    # Not every Python can put pip into an environment; ours installs from outside.
    run(sys.executable, "-m", "venv", "--without-pip", "env", folder=folder)
    python = str(folder / "env" / "bin" / "python")
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--quiet", "--quiet", str(built), folder=folder)
    return python


def run(*command: str, folder: Path | str) -> None:
    """Run a command outside of the checkout, and stop where it fails."""
    done = subprocess.run(command, cwd=folder, check=False)
    if done.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")


if __name__ == "__main__":
    main(sys.argv[1:])
