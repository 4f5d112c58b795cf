"""The command line as a whole: statuses, what it imports, what it says."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from fifhir.cli import app
from fifhir.cli.examples import EXAMPLES


def fi_fhir(*words: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fifhir", *map(str, words)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize("words", ["--help", "parse --help", "serve --help", "demo --help"])
def test_help_imports_nothing_of_the_daemon(words: str) -> None:
    script = (
        "import sys, fifhir.__main__ as m\n"
        "sys.argv = ['fi-fhir', *sys.argv[1:]]\n"
        "try: m.main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", script, *words.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert "Exit status" in done.stdout
    heavy = {"aiohttp", "asyncpg", "uvloop", "asyncio", "msgspec", "yaml", "prometheus_client"}
    assert heavy.isdisjoint(done.stderr.split())


@pytest.mark.parametrize("words", ["", "nonsense", "parse --nonsense", "workflow validate"])
def test_wrong_usage_is_status_2(words: str) -> None:
    assert fi_fhir(*words.split()).returncode == 2


def test_version_names_version_and_tokenizer() -> None:
    done = fi_fhir("version")
    first, second, *_ = done.stdout.splitlines()
    assert first.split()[0] == "fi-fhir"
    assert second.startswith("tokenizer: ")
    assert fi_fhir("--version").stdout == done.stdout


def test_version_is_loud_about_the_slow_tokenizer() -> None:
    done = fi_fhir("version", FIFHIR_TOKENIZER="python")
    assert "tokenizer: python" in done.stdout
    assert "WARNING" in done.stderr


def test_a_good_workflow_is_valid(root: Path) -> None:
    done = fi_fhir("workflow", "validate", root / "examples" / "workflow.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Workflow 'hospital' is valid.\n")


def test_a_fault_is_shown_with_its_line_and_a_caret(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text("name: a\nroutes:\n\t- x\n")
    assert fi_fhir("workflow", "validate", file).returncode == 1
    file.write_text("name: a\nroutes:\n  - {name: é, filtr: {}, actions: [{type: log}]}\n")
    done = fi_fhir("workflow", "validate", file)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"{file}:3:15: FF103 unknown field 'filtr', did you mean 'filter'?\n"
        "    3 |   - {name: é, filtr: {}, actions: [{type: log}]}\n"
        "      |               ^\n"
        f"1 fault in {file}\n"
    )


@pytest.mark.parametrize("name", ["gone.yaml", "."])
def test_a_workflow_that_cannot_be_read_is_status_1(name: str, tmp_path: Path) -> None:
    done = fi_fhir("workflow", "validate", tmp_path / name)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "environ", "told"),
    [
        ("--config CONFIG", {}, "CONFIG:2:3: unknown field 'prot', did you mean 'port'?"),
        ("", {"FI_FHIR_CONFIG": "CONFIG"}, "CONFIG:2:3: unknown field 'prot'"),
        ("", {"FI_FHIR_LOG_LEVL": "info"}, "did you mean 'FI_FHIR_LOG_LEVEL'?"),
        ("--port 99999", {}, "must be between 0 and 65535"),
        ("--host 0.0.0.0", {}, "'0.0.0.0' is reachable from other machines"),
        ("--workflow /gone.yaml", {}, "/gone.yaml: no such file or directory"),
    ],
)
def test_serve_refuses_a_bad_configuration_with_status_78(
    words: str, environ: dict[str, str], told: str, tmp_path: Path
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("server:\n  prot: 80\n")
    environ = {name: text.replace("CONFIG", str(config)) for name, text in environ.items()}
    done = fi_fhir("serve", *words.replace("CONFIG", str(config)).split(), **environ)
    assert done.returncode == 78
    assert told.replace("CONFIG", str(config)) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_help_ends_with_an_example_that_would_be_understood(name: str) -> None:
    """The words of the example are the command's: options it has, of its own spelling."""
    command = typer.main.get_command(app)
    with contextlib.ExitStack() as stack:
        context = stack.enter_context(command.make_context("fi-fhir", [], resilient_parsing=True))
        for word in name.split():
            inner = getattr(context.command, "get_command")(context, word)  # noqa: B009 - a group
            assert inner, name
            made = inner.make_context(word, [], parent=context, resilient_parsing=True)
            context = stack.enter_context(made)
    epilog = context.command.epilog or ""
    assert epilog.startswith(f"Example: fi-fhir {name}")
    assert "Exit status: 0" in epilog
    known = {each for option in context.command.params for each in option.opts}
    given = re.findall(r" (--?[a-z-]+)", EXAMPLES[name])
    assert set(given) <= known
