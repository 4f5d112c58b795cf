"""Settings come from four sources, and a mistake in any of them is told, never passed over."""

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest

from fifhir.access import new_key
from fifhir.config import load, variables
from fifhir.errors import ConfigError
from fifhir.secret import Secret
from fifhir.tls import BadFile


def faults(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(str(path) if path else None, environ or {}, flags or {})
    return [str(finding) for finding in caught.value.findings]


def test_with_nothing_set_it_listens_on_this_machine_only() -> None:
    settings = load(None, {}, {})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.observability.metrics_port == 9090
    assert settings.server.shutdown_timeout == 10.0


def test_flags_go_over_variables_over_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("server:\n  port: 1001\n  workers: 1\n  read_timeout: 5s\n")
    environ = {"FI_FHIR_SERVER_PORT": "1002", "FI_FHIR_WORKERS": "2"}
    server = load(str(file), environ, {"server.port": 1003, "server.workers": None}).server
    assert (server.port, server.workers, server.read_timeout, server.write_timeout) == (
        1003,
        2,
        5.0,
        30.0,
    )


def test_a_file_takes_values_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("server:\n  port: ${PORT:-8081}\nobservability:\n  log_level: ${LEVEL}\n")
    settings = load(str(file), {"LEVEL": "debug"}, {})
    assert (settings.server.port, settings.observability.log_level) == (8081, "debug")


def test_every_fault_is_told_at_once_with_where_it_came_from(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("server:\n  prot: 80\n  read_timeout: 5\nobservability: {log_level: loud}\n")
    found = faults(
        file, {"FI_FHIR_WORKERS": "many", "FI_FHIR_SERVER_PROT": "1"}, {"server.port": 70000}
    )
    assert sorted(found) == sorted(
        [
            f"{file}:2:3: unknown field 'prot', did you mean 'port'?",
            f"{file}:3:17: expected a duration with its unit, as in 250ms, 30s or 5m",
            f"{file}:4:28: must be one of debug, error, info, warn; found 'loud'",
            "FI_FHIR_SERVER_PROT: unknown variable, did you mean 'FI_FHIR_SERVER_PORT'?",
            "FI_FHIR_WORKERS: expected a whole number, found 'many'",
            "server.port (flag): must be between 0 and 65535",
        ]
    )


@pytest.mark.parametrize("variable", [name for name, _, _ in variables()])
def test_every_variable_reaches_its_setting(variable: str, tmp_path: Path) -> None:
    known = {name: (section, key) for name, section, key in variables()}
    section, key = known[variable]
    words = {"insecure": "true", "metrics_enabled": "false", "log_level": "error"}
    words |= {
        "host": "127.0.0.2",
        "metrics_endpoint": "/m",
        "config_path": "w",
        "log_format": "json",
        "enabled": "true",
        "ack": "enhanced",
        "error_segment": "false",
        "dlq_enabled": "false",
        "dry_run": "true",
        "max_concurrency": "7",
        "retry_max_attempts": "7",
        "retry_initial_wait": "7s",
        "retry_max_wait": "7s",
        "base_url": "https://fhir.example/r4",
        "auth_type": "bearer",
        "bearer_token": "words",
        "oauth2_client_secret": "words",
        "max_in_flight_bytes": str(1 << 30),
        "rules": "[{source: lab, profile: lab}]",
        "listeners": "[{port: 2576}]",
        "tls_identities": "[urn:lab]",
        "tls_client_auth": "optional",
        "reload_on_change": "false",
        "metrics_host": "127.0.0.2",
        "metrics_insecure": "true",
        "jwt_jwks_url": "https://issuer.example/others",
        "jwt_algorithms": "[ES256]",
        "jwt_refresh": "77s",
        "jwt_leeway": "7s",
        "on_transient": "AR",
        "ack_when": "after_store" if "SERVER" in variable else "after_actions",
        "driver": "kafka" if "QUEUE" in variable else "sqlite",
        "brokers": "broker:9092",
        "tls": "true",
        "provider": "file",
        "ssl_mode": "disable",
        "on_start": "fail",
        "conn_max_lifetime": "7s",
        "duplicate_window": "7s",
        "retention": "7s",
        "api_keys": new_key("lab", ["parse"])[1],
        "dsn": "postgresql://somebody@somewhere/name",
        "password": "a password",
        "topics": "[hl7]",
        "mechanism": "SCRAM-SHA-256",
        "start": "latest",
        "tls_insecure": "true",
        "ack_wait": "7s",
        "trace_field": "ZTR-1",
        "log_messages": "true",
        "log_slow": "7s",
        "tracing_enabled": "true",
        "tracing_endpoint": "http://collector:4318/v1/traces",
        "tracing_sampler": "0.5",
        "encryption_keys": f"2026:{base64.b64encode(bytes(32)).decode()}",
    }
    listener = variable.partition("_TLS_")[0]
    tls = [f"{listener}_TLS_{file}_FILE" for file in ("CERT", "KEY", "CLIENT_CA")]
    broker = section in {"kafka", "nats"}
    beside = dict.fromkeys(tls, "file") if "_TLS_" in variable and not broker else {}
    if broker and key == "enabled":
        needed = {"BROKERS": "broker:1", "TOPICS": "[hl7]", "STREAM": "HL7"}
        of_it = {name for name in known if name.startswith(f"FI_FHIR_{section.upper()}_")}
        named = {f"FI_FHIR_{section.upper()}_{name}": each for name, each in needed.items()}
        beside |= {name: each for name, each in named.items() if name in of_it}
    if key == "tracing_enabled":
        beside |= {"FI_FHIR_TRACING_ENDPOINT": words["tracing_endpoint"]}
    if key.startswith("jwt_"):
        keys = "JWT_JWKS_FILE" if key == "jwt_jwks_file" else "JWT_JWKS_URL"
        issuer = "https://issuer.example/keys"
        needed = dict.fromkeys(("JWT_ISSUER", "JWT_AUDIENCE", keys), issuer)
        beside |= {f"FI_FHIR_AUTH_{name}": each for name, each in needed.items()}
    pair = {"FI_FHIR_QUEUE_DRIVER": "nats", "FI_FHIR_QUEUE_BROKERS": "broker:4222"}
    if section == "queue":
        beside |= {name: text for name, text in pair.items() if name != variable}
    if key == "auth_type":
        beside |= {"FI_FHIR_FHIR_BEARER_TOKEN": words["bearer_token"]}
    line = words.get(key.removesuffix("_file"), "")
    if line and key.endswith("_file"):
        words[key] = str(tmp_path / "secret")
        (tmp_path / "secret").write_text(line + "\n")
    text = words.get(key, "7s" if key.endswith("timeout") else "1024")
    settings = load(None, {**beside, variable: text}, {})
    value = getattr(getattr(settings, section), key.removesuffix("_file"), None)
    value = getattr(getattr(settings, section), key) if value is None else value
    if isinstance(value, Secret):
        assert value.reveal() == line
        return
    if isinstance(value, tuple):
        assert len(value) == 1
        return
    assert str(value) in (text, text.title(), text.replace("s", ".0"))
    assert value != getattr(getattr(load(None, {}, {}), section), key)


def test_mllp_takes_no_port_and_no_address_that_is_not_its_own() -> None:
    enabled = {"FI_FHIR_MLLP_ENABLED": "true"}
    (taken,) = faults(None, {**enabled, "FI_FHIR_MLLP_PORT": "9090"})
    assert taken.endswith("9090 is observability.metrics_port already")
    (open_to_all,) = faults(None, {**enabled, "FI_FHIR_MLLP_HOST": "0.0.0.0"})  # noqa: S104
    assert "set insecure if the network in front of it is trusted" in open_to_all
    assert not load(None, {"FI_FHIR_MLLP_HOST": "0.0.0.0"}, {}).mllp.enabled  # noqa: S104


SEVERAL = """\
mllp:
  enabled: true
  source: hospital
  frame_timeout: 3s
  listeners:
    - port: 2575
    - {port: 2576, source: lab, ack: enhanced, frame_timeout: 10s}
"""


def test_a_listener_has_what_it_does_not_say_from_the_section(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(SEVERAL)
    first, second = load(str(file), {"FI_FHIR_MLLP_ACK": "application"}, {}).mllp.open().values()
    assert (first.port, first.source, first.ack, first.frame_timeout) == (
        *(2575, "hospital", "application", 3.0),
    )
    assert (second.port, second.source, second.ack, second.frame_timeout) == (
        *(2576, "lab", "enhanced", 10.0),
    )


def test_every_listener_needs_its_own_port_and_says_who_may_send(tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text(SEVERAL.replace("2576", "9090, host: 0.0.0.0"))
    (told,) = faults(file, {})
    assert told.startswith(f"{file}:7:26: '0.0.0.0' is reachable from other machines and senders")
    file.write_text(SEVERAL.replace("2576", "9090"))
    assert faults(file, {}) == [f"{file}:7:14: 9090 is observability.metrics_port already"]
    file.write_text(SEVERAL.replace("2576", "2575"))
    assert faults(file, {}) == [f"{file}:7:14: 2575 is mllp.listeners[0].port already"]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"CERT_FILE": "c"}, "a certificate and its key go together; one of the two is missing"),
        ({"CLIENT_CA_FILE": "c"}, "needs tls_cert_file and tls_key_file as well"),
        ({"IDENTITIES": "[urn:x]"}, "needs tls_client_ca_file: who is not asked has no identity"),
    ],
)
def test_what_tls_needs_goes_together(keys: dict[str, str], told: str) -> None:
    environ = {f"FI_FHIR_MLLP_TLS_{name}": value for name, value in keys.items()}
    assert [fault.partition(": ")[2] for fault in faults(None, environ)] == [told]


def test_an_identity_is_a_uri_or_a_pinned_key() -> None:
    files = {f"FI_FHIR_MLLP_TLS_{name}_FILE": "f" for name in ("CERT", "KEY", "CLIENT_CA")}
    good = f"[urn:lab, 'spiffe://here/lab', sha256:{'0a' * 32}]"
    assert len(load(None, {**files, "FI_FHIR_MLLP_TLS_IDENTITIES": good}, {}).mllp.tls_identities)
    for bad in ("lab", f"sha256:{'0A' * 32}", "'urn: x'"):
        (told,) = faults(None, {**files, "FI_FHIR_MLLP_TLS_IDENTITIES": f"[{bad}]"})
        assert "expected a URI, or sha256: and 64 hexadecimal digits" in told


def test_the_service_variables_of_kubernetes_are_not_ours() -> None:
    environ = {
        "FI_FHIR_SERVICE_HOST": "10.0.0.1",
        "FI_FHIR_SERVICE_PORT": "80",
        "FI_FHIR_SERVICE_PORT_HTTP": "80",
        "FI_FHIR_PORT": "tcp://10.0.0.1:80",
        "FI_FHIR_PORT_80_TCP": "tcp://10.0.0.1:80",
        "FI_FHIR_PORT_80_TCP_ADDR": "10.0.0.1",
        "FI_FHIR_METRICS_SERVICE_HOST": "10.0.0.2",
        "FI_FHIR_METRICS_PORT": "tcp://10.0.0.2:9090",
        "FI_FHIR_METRICS_PORT_9090_TCP_PROTO": "tcp",
    }
    assert load(None, environ, {}) == load(None, {}, {})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "fi-fhir.example"])  # noqa: S104
def test_it_listens_beyond_this_machine_only_when_told_to(host: str) -> None:
    (finding,) = faults(flags={"server.host": host})
    assert finding.startswith(f"server.host (flag): '{host}' is reachable from other machines")
    assert load(None, {}, {"server.host": host, "server.insecure": True}).server.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_alone_needs_no_leave(host: str) -> None:
    assert load(None, {}, {"server.host": host}).server.host == host


def test_one_port_cannot_serve_twice() -> None:
    assert faults(environ={"FI_FHIR_METRICS_PORT": "8080"}) == [
        "FI_FHIR_METRICS_PORT: 8080 is server.port already"
    ]


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    gone = tmp_path / "gone.yaml"
    assert faults(gone) == [f"{gone}: no such file or directory"]
    assert faults(tmp_path) == [f"{tmp_path}: is a directory"]
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"a: \xff")
    assert faults(binary) == [f"{binary}: not UTF-8 at byte 3"]
    listed = tmp_path / "l.yaml"
    listed.write_text("- a\n")
    assert faults(listed) == [
        f"{listed}:1:1: expected a mapping of sections: server, workflow, ..."
    ]


def test_a_file_of_comments_alone_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("# nothing yet\nserver:\n")
    assert load(str(file), {}, {}) == load(None, {}, {})


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"JWKS_URL": "http://issuer.example/jwks"}, "expected https://"),
        ({"AUDIENCE": ""}, "needs jwt_audience"),
        ({"JWKS_URL": ""}, "needs one of jwt_jwks_url and jwt_jwks_file"),
        ({"JWKS_FILE": "keys"}, "needs one of jwt_jwks_url and jwt_jwks_file"),
        ({"ALGORITHMS": "[HS256]"}, "must be one of"),
        ({"ALGORITHMS": "[none]"}, "must be one of"),
        ({"ISSUER": ""}, "needs jwt_issuer"),
    ],
)
def test_settings_that_would_take_too_many_tokens_are_refused(
    asked: dict[str, str], words: str
) -> None:
    issuer = "https://issuer.example"
    good = {"ISSUER": issuer, "AUDIENCE": "fi-fhir", "JWKS_URL": f"{issuer}/keys"}
    environ = {f"FI_FHIR_AUTH_JWT_{name}": each for name, each in (good | asked).items()}
    assert any(words in fault for fault in faults(None, environ))


def test_keys_of_an_issuer_that_do_not_do_are_told(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text('{"keys": []}')
    told = {"ISSUER": "i", "AUDIENCE": "a", "JWKS_FILE": str(keys)}
    settings = load(None, {f"FI_FHIR_AUTH_JWT_{name}": each for name, each in told.items()}, {})
    with pytest.raises(BadFile, match="no key that signatures can be checked with"):
        settings.auth.verifier()
