"""`fi-fhir config`: what an operator reads there is what is in force."""

import json
import subprocess
import sys
from pathlib import Path

import yaml

from fifhir import config

CANARY = "CANARYSECRET"


def run(*words: str, environ: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fifhir", "config", *words]
    return subprocess.run(
        command, env=environ or {}, capture_output=True, text=True, timeout=60, check=False
    )


def test_show_tells_each_value_and_where_it_is_from(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("server:\n  read_timeout: 5s\n")
    found = run("show", "--config", str(file), environ={"FI_FHIR_WORKERS": "3"})
    lines = [line.split() for line in found.stdout.splitlines()]
    assert ["read_timeout:", "5s", "#", f"{file}:2:17"] in lines
    assert ["workers:", "3", "#", "FI_FHIR_WORKERS"] in lines
    assert ["port:", "8080", "#", "default"] in lines


def test_what_show_prints_is_a_settings_file_again(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("server:\n  read_timeout: 5s\nmllp:\n  source: 'true'\n")
    again = tmp_path / "again.yaml"
    again.write_text(run("show", "-c", str(file)).stdout)
    assert config.load(str(again), {}, {}) == config.load(str(file), {}, {})
    shown = json.loads(run("show", "-c", str(file), "-o", "json").stdout)
    assert shown["settings"] == yaml.safe_load(again.read_text())
    assert shown["origins"]["server.read_timeout"] == f"{file}:2:17"


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    line = run("key", "new", "lab").stdout.strip()
    digest = line.rpartition(":")[2]
    for words in (("show",), ("show", "-o", "json"), ("env",), ("validate",)):
        found = run(*words, environ={"FI_FHIR_AUTH_API_KEYS": line})
        assert found.returncode == 0
        assert digest not in found.stdout + found.stderr
    wrong = run("show", environ={"FI_FHIR_AUTH_API_KEYS": CANARY})
    assert (wrong.returncode, CANARY in wrong.stderr) == (78, False)


def test_validate_is_fine_with_defaults_and_names_what_is_wrong(tmp_path: Path) -> None:
    assert run("validate").returncode == 0
    wrong = run("validate", environ={"FI_FHIR_SERVER_PORT": "70000"})
    assert (wrong.returncode, "FI_FHIR_SERVER_PORT" in wrong.stderr) == (1, True)
    file = tmp_path / "c.yaml"
    file.write_text("server: {prot: 1}\n")
    assert "did you mean 'port'" in run("validate", str(file)).stderr


def test_validate_reads_the_workflow_too(tmp_path: Path) -> None:
    file = tmp_path / "w.yaml"
    file.write_text("name: a\nroutes: []\n")
    wrong = run("validate", environ={"FI_FHIR_WORKFLOW_CONFIG_PATH": str(file)})
    assert (wrong.returncode, "w.yaml:2:9" in wrong.stderr) == (1, True)


def test_env_lists_every_variable_with_its_default_and_meaning() -> None:
    rows = json.loads(run("env", "-o", "json").stdout)
    settings = config.load(None, {}, {})
    listed = {
        variable
        for variable, section, key in config.variables()
        if hasattr(getattr(settings, section), key)  # that of a secret's file is told beside it
    } - {"FI_FHIR_DATABASE_USER"}  # another name, told beside the first
    assert {row["variable"] for row in rows} == listed
    assert all(row["meaning"] for row in rows)


def test_init_writes_a_file_that_changes_nothing_and_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    assert run("init", str(file)).returncode == 0
    bare = "\n".join(
        line.replace("#", "", 1)
        for line in file.read_text().splitlines()
        if not line.lstrip().startswith("# ")
    )
    uncommented = tmp_path / "u.yaml"
    uncommented.write_text(bare)
    assert config.load(str(uncommented), {}, {}) == config.load(None, {}, {})
    assert run("init", str(file)).returncode == 1
    assert run("init", str(file), "--force").returncode == 0


def test_a_key_is_told_on_stderr_and_its_line_on_stdout() -> None:
    made = run("key", "new", "lab", "--scopes", "parse")
    assert made.stdout.startswith("lab:parse:sha256:")
    assert "fifhir_" in made.stderr
    assert "fifhir_" not in made.stdout
    assert run("key", "new", "lab", "--scopes", "everything").returncode == 2


def test_env_comes_as_lines_for_a_shell_as_a_table_and_by_section() -> None:
    shell = run("env", "-f", "export", "-s", "server").stdout
    assert "export FI_FHIR_SERVER_HOST=127.0.0.1  # Address" in shell
    assert "FI_FHIR_LOG_LEVEL" not in shell
    sourced = subprocess.run(
        ["sh", "-ec", f"{shell}\nenv"], env={}, capture_output=True, text=True, check=True
    )
    assert "FI_FHIR_SERVER_PORT=8080" in sourced.stdout.splitlines()
    table = run("env", "-o", "markdown").stdout.splitlines()
    assert table[:2] == ["| variable | meaning | default |", "|---|---|---|"]
    assert run("env", "-s", "nowhere").returncode == 2


def test_init_can_be_short(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    assert run("init", str(file), "--minimal").returncode == 0
    assert "config_path" in file.read_text()
    assert "read_timeout" not in file.read_text()


def test_the_schema_for_editors_is_the_one_in_docs(root: Path) -> None:
    made = json.loads(run("schema").stdout)
    assert made == json.loads((root / "docs/schemas/settings.schema.json").read_text())
    assert set(made["$defs"]["Settings"]["properties"]) == set(config.Settings.__struct_fields__)
    assert "password_file" in made["$defs"]["Database"]["properties"]
