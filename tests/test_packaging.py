"""What a stranger installs: the sdist is complete, and a wheel from it runs the compiled tokenizer.

Each Python gets two clean environments, one that builds and one that only runs, both from the
lock. The wheel is tried from another directory, where no source tree can stand in for it.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

PYTHONS = ("3.11", "3.12", "3.13")
COMPILED = ("_hl7parse", "_hl7plan", "_hl7json", "_hl7scribe", "_http1")
ADMISSION = (
    b"MSH|^~\\&|REG|NORTH|LAB|SOUTH|20260301120000+0100||ADT^A01|C1|P|2.5\r"
    b"EVN|A01|20260301120000+0100\r"
    b"PID|1||4711^^^NORTH^MR||Muster^Erika||19700101|F\r"
    b"PV1|1|I|W1^2^3\r"
)


def run(*words: str | Path, **options: object) -> bytes:
    """Return what a command prints; its complaint is the test's when it fails."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    answer = subprocess.run(  # type: ignore[call-overload]
        words, capture_output=True, check=False, env=clean, **options
    )
    assert answer.returncode == 0, answer.stderr.decode(errors="replace")
    output: bytes = answer.stdout
    return output


def interpreter(version: str) -> str | None:
    """Return where Python `version` is on this machine, if it is."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [sys.executable] if version == "{}.{}".format(*sys.version_info) else []
    found += [str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python{version}"))]
    found += filter(None, [shutil.which(f"python{version}")])
    for path in found:
        test = subprocess.run(
            [path, "-c", "import venv, ensurepip"], capture_output=True, check=False
        )
        if test.returncode == 0:
            return path
    return None


def environment(python: str, place: Path, lock: Path) -> Path:
    """Make a virtual environment holding exactly what `lock` names; return its bin directory."""
    run(python, "-m", "venv", place)
    run(place / "bin" / "pip", "install", "--require-hashes", "-r", lock)
    return place / "bin"


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory, root: Path) -> Path:
    """The sdist of the files git knows, so that nothing built earlier can slip in."""
    place = tmp_path_factory.mktemp("sdist")
    checkout = place / "checkout"
    for name in run("git", "ls-files", "-z", cwd=root).decode().split("\0"):
        if name and (root / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, checkout / name)
    build = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, place, cwd=checkout)
    return next(place.glob("fifhir-*.tar.gz"))


def test_the_sdist_holds_every_source_and_nothing_built(sdist: Path, root: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    tracked = run("git", "ls-files", "fifhir", cwd=root).decode().split()
    assert {"fifhir/py.typed", "LICENSE"} <= held
    for name in COMPILED:
        assert {f"fifhir/{name}.pyx", f"fifhir/{name}.pyi"} <= held
    assert set(tracked) <= held
    assert not [name for name in held if name.endswith((".c", ".so", ".pyc"))]


@pytest.mark.parametrize("version", PYTHONS)
def test_a_wheel_from_the_sdist_runs_the_compiled_tokenizer(
    version: str, sdist: Path, root: Path, tmp_path: Path
) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} with venv on this machine: the wheel is NOT tried on it")
    builder = environment(python, tmp_path / "builder", root / "requirements" / "build.txt")
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path)
    said = run(builder / "pip", "wheel", "--verbose", *options, sdist)
    assert not re.findall(rb"(?m)^.*\bwarning: (?!.*deprecat).*$", said)  # of the compiler
    wheel = next(tmp_path.glob("fifhir-*.whl"))
    held = zipfile.ZipFile(wheel).namelist()
    for name in COMPILED:
        assert [file for file in held if re.fullmatch(rf"fifhir/{name}\..*\.so", file)]
    sources = (".pyx", ".pxd", ".c", ".h")
    assert not [name for name in held if name.endswith(sources) or name.startswith("tests")]

    everything = version == "{}.{}".format(*sys.version_info)  # once, as the image has it
    lock, extras = ("image.txt", "[all]") if everything else ("run.txt", "")
    clean = environment(python, tmp_path / "clean", root / "requirements" / lock)
    run(clean / "pip", "install", "--no-index", f"{wheel}{extras}")
    run(clean / "pip", "check")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert b"compiled" in run(clean / "fi-fhir", "version", cwd=elsewhere)
    event = run(clean / "fi-fhir", "parse", input=ADMISSION, cwd=elsewhere)
    assert b'"type":"patient_admit"' in event


def test_the_extra_all_is_all_that_operators_may_want(root: Path) -> None:
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    others = {each for name in extras.keys() - {"all", "test", "check"} for each in extras[name]}
    assert set(extras["all"]) == others
