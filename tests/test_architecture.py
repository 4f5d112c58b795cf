"""What import-linter cannot see: the compiled seam, the cost of --help, and documents that lie."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from fifhir.metrics import Catalogue, exposition
from fifhir.scoreboard import Scoreboard

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / "fifhir"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?<!-n )(?<!upgrade )\bfi-fhir((?: [a-z][a-z-]*)+)")  # not a namespace
METRIC = re.compile(r"\b(?!workflow_events\b)(?:workflow|fi_fhir)_[a-z_]+[a-z]\b(?![-.])")
LOWEST = {"errors", "escape", "dtm", "nm", "path"}  # pure modules that stand below both tokenizers
COMPILED = ("_hl7parse", "_hl7plan", "_hl7json", "_hl7scribe", "_http1")  # may know those before it
DOORS = {"_http1": "ingress/heads.py"}  # of the others, message.py


def imported(source: str) -> Iterator[str]:
    """Yield the full name of everything a Python module imports, wherever it does so."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("compiled", COMPILED)
def test_each_compiled_module_has_one_door(compiled: str) -> None:
    openers = {
        path.relative_to(HOUSE).as_posix()
        for path in HOUSE.rglob("*.py")
        if any(compiled in name.split(".") for name in imported(path.read_text()))
    }
    assert openers == {DOORS.get(compiled, "message.py")}


def test_every_compiled_module_has_its_seat() -> None:
    assert {path.stem for path in HOUSE.rglob("*.pyx")} == set(COMPILED)
    assert {path.stem for path in HOUSE.rglob("*.pxd")} <= set(COMPILED)
    for name in COMPILED:
        assert (HOUSE / f"{name}_py.py").exists(), "a compiled module has a specification"
        assert (HOUSE / f"{name}.pyi").exists(), "and a surface"


@pytest.mark.parametrize("compiled", COMPILED)
@pytest.mark.parametrize("suffix", [".pyx", ".pxd"])
def test_compiled_modules_stand_on_c_and_what_is_below(compiled: str, suffix: str) -> None:
    path = HOUSE / f"{compiled}{suffix}"
    if suffix == ".pxd" and not path.exists():
        return  # nobody stands on the last one
    below = LOWEST | set(COMPILED[: COMPILED.index(compiled)])
    pairs = re.findall(
        r"^\s*(?:from\s+([\w.]+)\s+)?c?import\s+(\(|\w[\w.]*(?:\s*,\s*\w+)*)",
        path.read_text(),
        re.MULTILINE,
    )
    assert pairs
    for origin, names in pairs:
        root = (origin or names).split(".")[0]
        assert root in {"cython", "cpython", "libc", "fifhir"}
        if root == "fifhir":
            floor = [origin.split(".")[1]] if "." in origin else re.split(r"\s*,\s*", names)
            assert set(floor) <= below, origin


def test_help_imports_neither_server_nor_driver() -> None:
    answer = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "fifhir", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert "fifhir.cli" in loaded
    assert not loaded & {"aiohttp", "asyncpg", "uvloop", "httptools", "prometheus_client", "yaml"}


def commands() -> list[str]:
    """Return every `fi-fhir <words>` that the documents and the Makefile show."""
    code = [block for path in DOCUMENTS for block in CODE.findall(path.read_text())]
    code += re.findall(r"\$\(BIN\)/(fi-fhir .*)", (ROOT / "Makefile").read_text())
    return sorted({found.strip() for text in code for found in COMMAND.findall(text)})


@pytest.mark.parametrize("command", commands())
def test_the_documents_show_commands_that_exist(command: str) -> None:
    noun, *rest = command.split()
    for words in ([noun, *rest[:1]], [noun]):  # a second word may be an argument: a file's name
        answer = subprocess.run(
            [sys.executable, "-m", "fifhir", *words, "--help"], capture_output=True, check=False
        )
        if answer.returncode == 0:
            return
    pytest.fail(f"fi-fhir {command}: no such command")


def test_the_documents_point_at_files_that_exist() -> None:
    links = {
        path.parent / link.partition("#")[0]
        for path in DOCUMENTS
        for link in re.findall(r"\]\((?!https?:|#)([^)]+)\)", path.read_text())
    }
    walk = (ROOT / "README.md").read_text()
    rooms = {HOUSE / name for name in re.findall(r"`([\w/]+\.p(?:yx?|xd))`", walk)}
    assert rooms
    assert not [str(path) for path in links | rooms if not path.exists()]


def test_the_documents_name_metrics_that_exist() -> None:
    catalogue = Catalogue(event_types=["patient_admit"])
    shown = exposition(Scoreboard(catalogue, 1)).decode()
    known = set(re.findall(r"^# TYPE (\S+)", shown, re.MULTILINE))
    named = {name for path in DOCUMENTS for name in METRIC.findall(path.read_text())}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in named} <= known


def test_the_lock_satisfies_every_requirement_of_the_project() -> None:
    lock = (ROOT / "requirements" / "dev.txt").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *extras["test"],
        *extras["check"],
    ]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked[requirement.name]), str(requirement)


def test_no_requirement_of_the_lock_comes_without_a_hash() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        pinned = re.findall(r"^\S+==[^\\\n]*(?:\\\n[^\\\n]*)*", path.read_text(), re.MULTILINE)
        assert pinned
        assert all("--hash=sha256:" in entry for entry in pinned), path.name
        assert "://" not in path.read_text(), path.name  # an index is the machine's business
