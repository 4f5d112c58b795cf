"""Backup and restore as PRODUCTION-HARDENING.md writes them, done to stores that are in use.

The lines between ```sh marks of the page are what runs. A disaster drill each: messages are kept
as dead letters and wait in the journal, a backup is made while more come in, everything is taken
away, and from the backup a new daemon has to deliver all that was promised before it.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.contract.destination import Destination
from tests.contract.stand import ROOT, Stand, message, name_of
from tests.postgres import Server, binaries
from tests.waiting import until

Make = Callable[..., Stand]
PAGE = (ROOT / "docs/PRODUCTION-HARDENING.md").read_text()
PATIENT = 180  # seconds a restored journal may take: the leases of the dead have to run out first


def blocks(heading: str) -> list[str]:
    """The ```sh blocks of the page's section under a heading."""
    section = PAGE.partition(f"\n### {heading}\n")[2].partition("\n##")[0]
    assert section, heading
    return re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def workflow(url: str) -> str:
    """Half of the messages fail at once, half hang: the first are letters, the others wait."""
    hook = {"type": "webhook", "retry_max": 0, "timeout": "50s"}
    kinds = {"letters": ("patient_admit", "/bad"), "waits": ("patient_discharge", "/hangs")}
    routes = [
        {
            "name": name,
            "filter": {"event_type": kind},
            "actions": [hook | {"url": url + path}],
        }
        for name, (kind, path) in kinds.items()
    ]
    return json.dumps({"name": "w", "routes": routes})


def promise(made: Stand, destination: Destination) -> set[str]:
    """Letters and waiting messages, all of them acknowledged; their control ids."""
    destination.status = 503
    for number in range(5):
        assert made.post(message(f"letter{number}"))[0] == 202
    destination.open.clear()
    for number in range(20):
        sent = message(f"waits{number}", "ADT^A03")
        assert made.post(sent, X_Ack_When="after_store")[0] == 202
    until(lambda: destination.now > 0, seconds=60)
    return {f"letter{n}" for n in range(5)} | {f"waits{n}" for n in range(20)}


def all_arrives(made: Stand, destination: Destination, promised: set[str]) -> None:
    """The restored daemon delivers what waited; a replay delivers the letters."""
    destination.seen.clear()
    destination.status = 200
    destination.open.set()
    made.start()
    assert len(made.letters()) == 5
    assert made.sh("./fi-fhir workflow replay --dlq --since 24h").returncode == 0

    def arrived() -> set[str]:
        bodies = destination.bodies("/bad") + destination.bodies("/hangs")
        return {body["source_message_id"] for body in bodies}

    until(lambda: promised <= arrived(), seconds=PATIENT)
    assert made.letters() == []
    assert made.stop() == 0


def disaster(made: Stand, destination: Destination) -> None:
    """The daemon is gone, and what it had under way too."""
    assert made.process
    made.process.kill()
    made.process.wait()
    destination.open.set()
    until(lambda: destination.now == 0, seconds=60)
    destination.open.clear()


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_a_dump_brings_back_letters_and_messages_that_wait(
    stand: Make, destination: Destination, postgres: Server
) -> None:
    dsn = postgres.database()
    made = stand(workflow(destination.url), FI_FHIR_DATABASE_DSN=dsn).start()
    promised = promise(made, destination)
    tools = str(binaries())
    restored = dsn.replace(name_of(dsn), "restored")
    given = {
        "PATH": f"{tools}:{made.environ['PATH']}",
        "PGHOST": str(postgres.folder),
        "PGUSER": "postgres",
        "PGDATABASE": name_of(dsn),
        "NEW": "restored",
    }
    (backup, check), (restore,) = blocks("Postgres: backup"), blocks("Postgres: restore")
    found = made.sh(f"set -e\n{backup}\n{check}", **given)
    assert found.returncode == 0, found.stderr
    assert "workflow_events" in found.stdout
    made.post(message("after the backup"))
    disaster(made, destination)
    postgres.sql(f"DROP DATABASE {name_of(dsn)} WITH (FORCE)")
    found = made.sh(f"set -e\n{restore}", **given)
    assert found.returncode == 0, found.stderr
    made.environ["FI_FHIR_DATABASE_DSN"] = restored
    all_arrives(made, destination, promised)


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_a_copy_brings_back_letters_and_messages_that_wait(
    stand: Make, destination: Destination
) -> None:
    made = stand(workflow(destination.url)).start()
    promised = promise(made, destination)
    (backup,), (restore,) = blocks("SQLite: backup"), blocks("SQLite: restore")
    found = made.sh(f"set -e\n{backup}", DATA=made.environ["FI_FHIR_DATA_DIR"])
    assert found.returncode == 0, found.stderr
    made.post(message("after the backup"))
    disaster(made, destination)
    shutil.rmtree(made.environ["FI_FHIR_DATA_DIR"])
    found = made.sh(f"set -e\n{restore}", DATA=made.environ["FI_FHIR_DATA_DIR"])
    assert found.returncode == 0, found.stderr
    kept = Path(made.environ["FI_FHIR_DATA_DIR"]) / "store.db"
    assert kept.stat().st_mode & 0o077 == 0
    all_arrives(made, destination, promised)
