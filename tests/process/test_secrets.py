"""Secrets are rotated by changing their file; nothing is restarted and no message is lost."""

import http.client
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.postgres import Server as Postgres
from tests.web import Server

if TYPE_CHECKING:
    from tests.process.conftest import Running

Serve = Callable[..., "Running"]

ADMIT = b"MSH|^~\\&|A|B|C|D|20260302||ADT^A01|1|P|2.5\rPID|1||9^^^B^MR||TEAPOT\rPV1|1|I\r"
HOOK = """\
name: w
routes:
  - name: hook
    actions:
      - {{type: webhook, url: "{url}/in", token: "${{file:{token}}}", retry_max: 0}}
"""
GRANT = """\
name: w
routes:
  - name: hook
    actions:
      - type: webhook
        url: "{url}/in"
        token_url: "{url}/token"
        client_id: fi-fhir
        client_secret: "${{file:{token}}}"
        retry_max: 0
"""


@pytest.fixture
def web() -> Iterator[Server]:
    server = Server()
    server.answer = lambda path, body: (200, {}, b'{"access_token":"t","expires_in":60}')
    yield server
    server.stop()


def send(daemon: "Running") -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)) as peer:
        peer.request("POST", "/api/v1/workflow", ADMIT, {"Content-Type": "application/hl7-v2"})
        return peer.getresponse().status


@pytest.mark.parametrize("workflow", [HOOK, GRANT], ids=["token", "client_secret"])
def test_the_secret_of_a_destination_is_rotated_by_its_file(
    serve: Serve, web: Server, tmp_path: Path, workflow: str
) -> None:
    def shown(secret: str) -> bool:
        """Whether a message is delivered with this secret now."""
        web.seen.clear()
        assert send(daemon) == 200
        return any(
            secret in headers.get("Authorization", "") + body.decode()
            for _, headers, body in web.seen
        )

    token = tmp_path / "token"
    token.write_text("first-secret\n")
    (tmp_path / "workflow.yaml").write_text(workflow.format(url=web.url, token=token))
    daemon = serve("--workers", "1", "--workflow", str(tmp_path / "workflow.yaml"))
    assert shown("first-secret")
    token.write_text("second-secret\n")
    daemon.until_logged("reloaded")
    daemon.until(lambda: shown("second-secret"))
    assert not any(secret in daemon.log.read_text() for secret in ("first-", "second-"))


def test_no_command_takes_a_secret_as_an_argument() -> None:
    """Whoever lists processes would read it."""
    done = subprocess.run(
        [sys.executable, "-c", OPTIONS], capture_output=True, text=True, check=True, timeout=60
    )
    options = done.stdout.split()
    assert "--config" in options
    words = ("password", "secret", "token", "api-key", "credential", "dsn")
    assert not [option for option in options if any(word in option for word in words)]


OPTIONS = """
import typer
from fifhir.cli import app

def walk(command):
    for option in command.params:
        print(*option.opts)
    for inner in getattr(command, "commands", {}).values():
        walk(inner)

walk(typer.main.get_command(app))
"""


@pytest.fixture
def guarded(postgres: Postgres) -> Iterator[Postgres]:
    """A Postgres whose user `keeper` needs a password."""
    rules = postgres.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all keeper scram-sha-256\n{before}")
    postgres.sql("CREATE ROLE keeper LOGIN PASSWORD 'first'")
    postgres.sql("CREATE DATABASE kept OWNER keeper")
    postgres.sql("SELECT pg_reload_conf()")
    yield postgres
    rules.write_text(before)
    postgres.sql("SELECT pg_reload_conf()")
    postgres.sql("DROP DATABASE kept WITH (FORCE)")
    postgres.sql("DROP ROLE keeper")


def ready(daemon: "Running") -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=30)) as peer:
        peer.request("GET", "/ready")
        return peer.getresponse().status


def test_the_password_of_the_database_is_rotated_by_its_file(
    serve: Serve, guarded: Postgres, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("first\n")
    daemon = serve(
        *("--workers", "1"),
        FI_FHIR_DATABASE_HOST=str(guarded.folder),
        FI_FHIR_DATABASE_NAME="kept",
        FI_FHIR_DATABASE_USERNAME="keeper",
        FI_FHIR_DATABASE_PASSWORD_FILE=str(password),
        FI_FHIR_DATABASE_SSL_MODE="disable",
    )
    daemon.until(lambda: ready(daemon) == 200)
    old = daemon.pids()
    guarded.sql("ALTER ROLE keeper PASSWORD 'second'")
    assert ready(daemon) == 200  # connections that are open stay
    password.write_text("second\n")
    daemon.until_logged("reloaded")
    daemon.until(lambda: not any(daemon.alive(pid) for pid in old))
    guarded.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'keeper'")
    daemon.until(lambda: ready(daemon) == 200)
    assert send(daemon) == 200
