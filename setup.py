"""Metadata of the package; the settings of its tools are in pyproject.toml."""

import json
import re
import subprocess
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from setuptools import Command, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel

HERE = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (HERE / "flask_bitmapist" / "_version.py").read_text()
).group(1)

# Each for one thing that a user wants; what developers use is in pyproject.toml.
EXTRAS = {
    "admin": ["Flask-Admin>=2.0"],
    "memory": ["fakeredis>=2.26"],
    "login": ["Flask-Login>=0.6.3"],
    "sqlalchemy": ["SQLAlchemy>=2.0.16", "Flask-SQLAlchemy>=3.1"],
    "babel": ["Flask-Babel>=4.0"],
    "cli": ["rich>=13.0"],
    "dataframe": ["pandas>=2.2.2"],
    "import": ["pyarrow>=17.0"],
    "async": ["Flask[async]"],
    "mcp": ["mcp>=2.0"],
    # Older ones change how the whole process computes with floating-point numbers.
    "fast": ["numkong>=7.3"],
}
SOURCE = "https://github.com/cuttlesoft/flask-bitmapist"


def long_description() -> str:
    """Return the README, with links and pictures that the package index finds too."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    relative = r"(?!https?://|#)"
    text = re.sub(rf"(!\[[^]]*\]\(){relative}", rf"\1{SOURCE}/raw/main/", text)
    return re.sub(rf"(\]\(){relative}", rf"\1{SOURCE}/blob/main/", text)


def software_bill_of_materials() -> dict[str, Any]:
    """Return, as CycloneDX, what of others the wheel holds: the vendored assets.

    Each is a folder ``name-version`` with its files and its licence.  What pip installs
    beside the wheel is in the metadata, and no part of this.
    """
    components = []
    for folder in sorted((HERE / "flask_bitmapist" / "static" / "vendor").iterdir()):
        name, _, version = folder.name.rpartition("-")
        (licence,) = folder.glob("LICENSE*")
        if "MIT License" not in licence.read_text(encoding="utf-8").partition("\n")[0]:
            raise SystemExit(f"{licence}: which licence is this, for the SBOM?")
        components.append(
            {
                "type": "library",
                "bom-ref": folder.name,
                "name": name,
                "version": version,
                "purl": f"pkg:npm/{name}@{version}",
                "licenses": [{"license": {"id": "MIT"}}],
                "components": [
                    {
                        "type": "file",
                        "bom-ref": path.relative_to(HERE).as_posix(),
                        "name": path.relative_to(HERE).as_posix(),
                        "hashes": [
                            {
                                "alg": "SHA-256",
                                "content": sha256(path.read_bytes()).hexdigest(),
                            }
                        ],
                    }
                    for path in sorted(folder.iterdir())
                    if path != licence
                ],
            }
        )
    own = f"pkg:pypi/flask-bitmapist@{VERSION}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": own,
                "name": "flask-bitmapist",
                "version": VERSION,
                "purl": own,
                "licenses": [{"license": {"id": "MIT"}}],
            }
        },
        "components": components,
        "dependencies": [
            {"ref": own, "dependsOn": [each["bom-ref"] for each in components]}
        ],
    }


class WheelWithSBOM(bdist_wheel):
    """A wheel with a bill of materials in its ``.dist-info/sboms``, as PEP 770 says."""

    def write_wheelfile(self, wheelfile_base, *args, **kwargs):
        """Write it beside the file ``WHEEL``."""
        super().write_wheelfile(wheelfile_base, *args, **kwargs)
        folder = Path(wheelfile_base) / "sboms"
        folder.mkdir(exist_ok=True)
        text = json.dumps(software_bill_of_materials(), indent=2)
        (folder / "flask-bitmapist.cdx.json").write_text(text, encoding="utf-8")


class RunTests(Command):
    """``python setup.py test``: the same suite as ``make test``."""

    description = "run the test suite, here or in an environment made for it"
    user_options: ClassVar[list[tuple[str, str, str]]] = []

    def initialize_options(self):
        """Nothing to initialize."""

    def finalize_options(self):
        """Nothing to finalize."""

    def run(self):
        """Run the suite in a process of its own, and end as it ends."""
        if all(map(find_spec, ("bitmapist", "flask_admin", "playwright", "xdist"))):
            command = [sys.executable, "-m", "pytest", "-n", "auto"]
        else:
            command = ["make", "test", f"PYTHON={sys.executable}"]
        raise SystemExit(subprocess.call(command, cwd=HERE))


setup(
    name="Flask-Bitmapist",
    version=VERSION,
    description="A Flask app that knows its users' behaviour: exact, real-time "
    "analytics on Redis bitmaps",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    author="The Flask-Bitmapist developers",
    license_expression="MIT",
    license_files=["LICENSE"],
    url=SOURCE,
    project_urls={
        "Documentation": f"{SOURCE}/blob/main/docs/README.md",
        "Changelog": f"{SOURCE}/blob/main/CHANGELOG.md",
        "Source": SOURCE,
        "Issues": f"{SOURCE}/issues",
    },
    keywords=[
        *("flask", "flask-admin", "redis", "bitmapist", "bitmap", "analytics"),
        *("retention", "cohort", "funnel", "segmentation", "daily active users"),
    ],
    packages=find_packages(include=["flask_bitmapist", "flask_bitmapist.*"]),
    # Not include_package_data: setuptools would take the folders for packages.
    include_package_data=False,
    package_data={
        "flask_bitmapist": [
            "py.typed",
            "templates/**/*",
            "static/**/*",
            "translations/**/*",
            "data/*",
        ]
    },
    zip_safe=False,
    python_requires=">=3.11",
    install_requires=[
        "Flask>=3.0",
        "bitmapist>=3.117",
        "redis[hiredis]>=5.0",
        "WTForms>=3.1",
        "numpy>=2.0",
    ],
    extras_require={
        **EXTRAS,
        "all": [each for extra in EXTRAS.values() for each in extra],
    },
    entry_points={"pytest11": ["flask_bitmapist = flask_bitmapist.testing"]},
    cmdclass={"test": RunTests, "bdist_wheel": WheelWithSBOM},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Web Environment",
        "Framework :: Flask",
        "Intended Audience :: Developers",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Internet :: WWW/HTTP :: Dynamic Content",
        "Topic :: Internet :: Log Analysis",
        "Typing :: Typed",
    ],
)
