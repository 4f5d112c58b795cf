"""Every key and variable of the original's settings: it is here, and it does something.

settings.csv names for each key its variable and the test that shows its effect. What the original
had and this has not is in docs/configuration.md, with what does its work.
"""

import ast
import csv
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fifhir import config
from fifhir.errors import ConfigError
from fifhir.resilience import Resilience
from fifhir.sinks import CONFIGS
from fifhir.workflow.config import load
from tests.contract.destination import Destination
from tests.contract.stand import ADT, ROOT, Stand, message, name_of, webhook
from tests.postgres import Server
from tests.waiting import until

Make = Callable[..., Stand]
TABLE = list(csv.DictReader((Path(__file__).parent / "settings.csv").read_text().splitlines()))


@pytest.mark.parametrize("row", TABLE, ids=[row["variable"] for row in TABLE])
def test_every_key_is_here_under_its_names_and_has_a_test(row: dict[str, str]) -> None:
    section, _, name = row["key"].partition(".")
    known = {variable: (at, key) for variable, at, key in config.variables()}
    assert known[row["variable"]] == (section, name.replace(".", "_"))
    file, _, function = row["test"].partition("::")
    tree = ast.parse((ROOT / file).read_text())
    assert function in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}


def test_a_dry_daemon_does_nothing(stand: Make, destination: Destination) -> None:
    made = stand(webhook(f"{destination.url}/in"), FI_FHIR_WORKFLOW_DRY_RUN="true").start()
    for headers in ({}, {"X_Ack_When": "after_store"}):
        status, said = made.post(ADT, **headers)
        assert (status, said["dryRun"], said["routesMatched"]) == (200, True, ["hook"])
    assert destination.seen == []
    with pytest.raises(ConfigError, match="DRY_RUN"):
        config.load(None, {"FI_FHIR_WORKFLOW_DRY_RUN": "true", "FI_FHIR_MLLP_ENABLED": "true"}, {})


def test_one_call_at_a_time_if_so_set(stand: Make, destination: Destination) -> None:
    made = stand(webhook(f"{destination.url}/in"), FI_FHIR_WORKFLOW_MAX_CONCURRENCY="1").start()
    senders = [
        threading.Thread(target=made.post, args=(message(f"one{number}"),)) for number in range(6)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    assert (len(destination.seen), destination.most) == (6, 1)


def test_actions_have_what_the_settings_say_of_them(tmp_path: Path) -> None:
    """How often, how long apart and how long an action tries is a courier's to keep."""
    environ = {
        "FI_FHIR_WORKFLOW_ACTION_TIMEOUT": "7s",
        "FI_FHIR_WORKFLOW_RETRY_MAX_ATTEMPTS": "9",
        "FI_FHIR_WORKFLOW_RETRY_INITIAL_WAIT": "2s",
        "FI_FHIR_WORKFLOW_RETRY_MAX_WAIT": "11s",
        "FI_FHIR_FHIR_TIMEOUT": "5s",
    }
    assumed = config.load(None, environ, {}).assumed()
    text = (
        "name: w\nroutes:\n  - name: r\n    actions:\n"
        "      - {type: webhook, url: 'http://a/'}\n"
        "      - {type: webhook, url: 'http://a/', timeout: 1s, retry: {max: 2, delay: 3s}}\n"
        "      - {type: fhir, endpoint: 'http://a/r4'}\n"
        "      - {type: log}\n"
    )
    silent, own, fhir, _ = load(text, "w.yaml", assumed=assumed).routes[0].actions
    assert isinstance(silent, Resilience)
    assert isinstance(own, Resilience)
    assert isinstance(fhir, Resilience)
    told = (silent.timeout, silent.retry_max, silent.retry_delay, silent.retry_max_delay)
    assert told == (7.0, 9, 2.0, 11.0)
    assert (own.timeout, own.retry_max, own.retry_delay, own.retry_max_delay) == (1.0, 2, 3.0, 11.0)
    assert (fhir.timeout, fhir.retry_max) == (5.0, 9)


def test_without_a_queue_a_failed_message_stays_with_its_sender(
    stand: Make, destination: Destination
) -> None:
    destination.status = 503
    made = stand(webhook(f"{destination.url}/in"), FI_FHIR_WORKFLOW_DLQ_ENABLED="false").start()
    assert made.post(ADT)[0] == 503


def test_past_its_size_the_queue_takes_nothing(stand: Make, destination: Destination) -> None:
    destination.status = 503
    made = stand(webhook(f"{destination.url}/in"), FI_FHIR_WORKFLOW_DLQ_MAX_SIZE="1").start()
    assert [made.post(message(f"size{number}"))[0] for number in range(2)] == [202, 503]


@pytest.mark.parametrize(
    ("kind", "given", "header"),
    [
        ("basic", {"USERNAME": "ann", "PASSWORD": "hush"}, "Basic YW5uOmh1c2g="),
        ("bearer", {"BEARER_TOKEN": "hush"}, "Bearer hush"),
        ("none", {}, None),
        (
            "oauth2",
            {
                "OAUTH2_TOKEN_URL": "{url}/token",
                "OAUTH2_CLIENT_ID": "me",
                "OAUTH2_CLIENT_SECRET": "hush",
                "OAUTH2_SCOPES": "system/*.write",
            },
            "Bearer t1",
        ),
    ],
)
def test_the_fhir_server_and_who_we_are_there_is_the_settings_to_say(
    stand: Make, destination: Destination, kind: str, given: dict[str, str], header: str | None
) -> None:
    environ = {name: text.format(url=destination.url) for name, text in given.items()}
    environ |= {"AUTH_TYPE": kind, "BASE_URL": f"{destination.url}/fhir"}
    made = stand(
        "name: w\nroutes: [{name: fhir, actions: [{type: fhir}]}]\n",
        **{f"FI_FHIR_FHIR_{name}": text for name, text in environ.items()},
    ).start()
    assert made.post(ADT)[0] == 200
    (call,) = destination.seen
    assert (call[0], call[1].get("Authorization")) == ("/fhir", header)
    scopes = [form["scope"] for form in destination.tokens]
    assert scopes == ([["system/*.write"]] if kind == "oauth2" else [])
    assert "hush" not in made.log_file.read_text()


def test_an_action_that_says_who_it_is_is_asked_nothing_else() -> None:
    environ = {"FI_FHIR_FHIR_AUTH_TYPE": "bearer", "FI_FHIR_FHIR_BEARER_TOKEN": "ours"}
    assumed = config.load(None, environ, {}).assumed()
    text = "name: w\nroutes: [{name: r, actions: [{type: fhir, endpoint: 'http://a', token: own}]}]"
    (action,) = load(text, "w.yaml", assumed=assumed).routes[0].actions
    assert getattr(action, "token").reveal() == "own"  # noqa: B009 - one of many kinds


def test_oauth2_may_be_a_block(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "fhir:\n  auth_type: oauth2\n"
        "  oauth2: {token_url: 'https://t', client_id: me, client_secret: hush}\n"
    )
    environ = {"FI_FHIR_FHIR_OAUTH2_CLIENT_ID": "somebody"}
    fhir = config.load(str(file), environ, {}).fhir
    assert (fhir.oauth2_token_url, fhir.oauth2_client_id) == ("https://t", "somebody")


def test_the_database_is_found_by_its_single_keys(stand: Make, postgres: Server) -> None:
    name = name_of(postgres.database())
    keys = {"DRIVER": "postgres", "HOST": str(postgres.folder), "PORT": "5432", "NAME": name}
    for user in ("USERNAME", "USER"):
        given = {f"FI_FHIR_DATABASE_{key}": text for key, text in keys.items()}
        made = stand(**given, **{f"FI_FHIR_DATABASE_{user}": "postgres"}).start()
        until(lambda made=made: made.ask("GET", "/ready")[0] == 200, seconds=60)  # type: ignore[misc]
        assert made.stop() == 0
    assert postgres.sql("SELECT count(*) FROM dlq_events", name) == "0"
    refused = stand(FI_FHIR_DATABASE_SSL_MODE="perhaps").sh("./fi-fhir config validate")
    assert "FI_FHIR_DATABASE_SSL_MODE: must be one of" in refused.stderr


def test_no_more_connections_than_are_set(
    stand: Make, postgres: Server, destination: Destination
) -> None:
    dsn = postgres.database()
    made = stand(
        webhook(f"{destination.url}/in"),
        FI_FHIR_DATABASE_DSN=dsn,
        FI_FHIR_DATABASE_MAX_OPEN_CONNS="3",
        FI_FHIR_DATABASE_MAX_IDLE_CONNS="2",
    ).start()
    until(lambda: made.ask("GET", "/ready")[0] == 200, seconds=60)
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    mine = name_of(dsn)  # psql's own connection is counted too
    until(lambda: int(postgres.sql(count, mine)) - 1 >= 2, seconds=60)
    senders = [
        threading.Thread(
            target=made.post, args=(message(f"c{n}"),), kwargs={"X_Ack_When": "after_store"}
        )
        for n in range(12)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(60)
    assert int(postgres.sql(count, mine)) - 1 <= 3


def test_queue_actions_have_the_brokers_of_the_settings() -> None:
    environ = {"DRIVER": "kafka", "BROKERS": "a:9092,b:9092", "USERNAME": "ann", "TLS": "true"}
    given = {f"FI_FHIR_QUEUE_{name}": text for name, text in environ.items()}
    (queue,) = [
        each
        for each in config.load(None, given | {"FI_FHIR_QUEUE_PASSWORD": "hush"}, {}).assumed()
        if each.type == "queue"
    ]
    assert queue.keys["brokers"] == "a:9092,b:9092"
    assert (queue.keys["password"], queue.keys["tls"]) == ("hush", "true")
    if "queue" in CONFIGS:
        assert queue.keys.keys() <= set(CONFIGS["queue"].__struct_fields__)


def test_metrics_are_where_they_are_set_to_be_or_nowhere(stand: Make) -> None:
    made = stand(FI_FHIR_METRICS_ENDPOINT="/numbers").start()
    assert made.ask("GET", "/numbers", port=made.operations)[0] == 200
    assert made.ask("GET", "/metrics", port=made.operations)[0] == 404
    off = stand(FI_FHIR_METRICS_ENABLED="false").sh("./fi-fhir config show -o json")
    assert json.loads(off.stdout)["settings"]["observability"]["metrics_enabled"] is False
    assert (
        config.load(None, {"FI_FHIR_METRICS_PORT": "9999"}, {}).observability.metrics_port == 9999
    )


def test_a_secret_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("database: {password: '${secret:db}'}\n")
    assert config.load(str(file), {"db": "one"}, {}).database.password.reveal() == "one"
    prefixed = {"FI_FHIR_SECRETS_PREFIX": "MY_", "MY_db": "two"}
    assert config.load(str(file), prefixed, {}).database.password.reveal() == "two"
    (tmp_path / "db").write_text("three\n")
    file.write_text(file.read_text() + f"secrets: {{provider: file, path: '{tmp_path}'}}\n")
    assert config.load(str(file), {}, {}).database.password.reveal() == "three"
    (tmp_path / "db").unlink()
    with pytest.raises(ConfigError, match="cannot read the file"):
        config.load(str(file), {}, {})
