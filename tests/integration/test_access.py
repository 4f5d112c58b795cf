"""Who may ask: decided by a key before the body is read, and nothing about keys is ever told."""

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from fifhir.access import new_key

ADT = b"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5.1\rPID|1||7^^^B^MR||TEAPOT\rPV1|1|I\r"
RAW = {"Content-Type": "application/hl7-v2"}


@pytest.fixture(scope="module")
def keys() -> dict[str, tuple[str, str]]:
    """A token and its line for each of two senders."""
    return {name: new_key(name, [name]) for name in ("parse", "workflow")}


@pytest.fixture(scope="module")
def port(
    keys: dict[str, tuple[str, str]], tmp_path_factory: pytest.TempPathFactory, waits: Any
) -> Iterator[int]:
    """A daemon that listens everywhere, because it asks everybody for a key."""
    house = tmp_path_factory.mktemp("access")
    (house / "keys").write_text("# two senders\n" + "\n".join(line for _, line in keys.values()))
    log = house / "log"
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = int(free.getsockname()[1])
    command = [sys.executable, "-m", "fifhir", "serve", "--host", "0.0.0.0", "--workers", "1"]  # noqa: S104
    environ = {
        "FI_FHIR_AUTH_API_KEYS_FILE": str(house / "keys"),
        "FI_FHIR_METRICS_ENABLED": "false",
        "FI_FHIR_DATA_DIR": str(house),
    }
    with log.open("wb") as out:
        daemon = subprocess.Popen(
            [*command, "--port", str(number)], stdout=out, stderr=out, env=environ
        )
    try:
        waits(lambda: b'"ready"' in log.read_bytes(), seconds=30)
        yield number
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(20) == 0
        assert b"fifhir_" not in log.read_bytes()
    finally:
        daemon.kill()
        daemon.wait()


def ask(port: int, path: str, headers: dict[str, str], body: bytes = ADT) -> tuple[int, Any, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        client.request("POST", f"/api/v1/{path}", body, RAW | headers)
        answer = client.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        client.close()


def test_a_key_opens_what_its_scopes_say(port: int, keys: dict[str, tuple[str, str]]) -> None:
    bearer = {"Authorization": f"Bearer {keys['parse'][0]}"}
    assert ask(port, "parse", bearer)[0] == 200
    assert ask(port, "parse?source=lab", {"X-API-Key": keys["parse"][0]})[0] == 200
    assert ask(port, "workflow", bearer)[0] == 403
    assert ask(port, "workflow", {"Authorization": f"bearer {keys['workflow'][0]}"})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer fifhir_" + "A" * 43},
        {"Authorization": "Basic Zm9vOmJhcg=="},
        {"X-API-Key": "x"},
    ],
)
def test_without_a_valid_key_all_are_told_the_same(port: int, headers: dict[str, str]) -> None:
    status, sent, body = ask(port, "parse", headers)
    assert (status, sent["WWW-Authenticate"]) == (401, 'Bearer realm="fi-fhir"')
    assert b"unauthorized" in body


def test_the_digest_is_no_key(port: int, keys: dict[str, tuple[str, str]]) -> None:
    digest = keys["parse"][1].rpartition(":")[2]
    assert ask(port, "parse", {"X-API-Key": digest})[0] == 401


def test_health_and_readiness_need_no_key(port: int) -> None:
    for path in ("/health", "/ready"):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        client.request("GET", path)
        assert client.getresponse().status == 200
        client.close()


def test_what_is_open_to_all_says_nothing(port: int, keys: dict[str, tuple[str, str]]) -> None:
    """No version, no name, no address; and metrics are not open to all."""
    for path in ("/health", "/ready"):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        client.request("GET", path)
        answer = client.getresponse()
        told = answer.read() + str(answer.headers).encode()
        assert answer.headers["Server"] is None
        for word in (metadata.version("fifhir"), "sqlite", "postgres", "python", "/"):
            assert word.encode() not in told.lower().replace(b"application/json", b"")
        client.close()
    for path, token in (("/metrics", ""), ("/metrics", keys["parse"][0]), ("/api/v1/config", "")):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        client.request("GET", path, headers={"X-API-Key": token})
        assert client.getresponse().status in {401, 403, 404}
        client.close()


def test_no_browser_is_given_leave(port: int, keys: dict[str, tuple[str, str]]) -> None:
    """A page of somebody else's gets no answer it may read, and no cookie is ever set."""
    asked = {"Origin": "https://evil.example", "X-API-Key": keys["parse"][0]}
    for method in ("OPTIONS", "POST"):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        client.request(method, "/api/v1/parse", ADT, RAW | asked)
        answer = client.getresponse()
        names = {name.lower() for name in answer.headers}
        assert not [name for name in names if name.startswith(("access-control-", "set-cookie"))]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        client.close()


def test_the_body_of_a_stranger_is_not_read(port: int) -> None:
    """It is refused by its head alone, and is not even told to go on."""
    head = b"POST /api/v1/parse HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(head + b"Expect: 100-continue\r\n\r\n")
        said = client.recv(65536)
    assert said.startswith(b"HTTP/1.1 401 ")


def test_two_authorizations_are_no_authorization(
    port: int, keys: dict[str, tuple[str, str]]
) -> None:
    line = b"Authorization: Bearer %b\r\n" % keys["parse"][0].encode()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"POST /api/v1/parse HTTP/1.1\r\nHost: a\r\n" + line * 2 + b"\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_a_key_is_asked_for_again_on_the_same_connection(
    port: int, keys: dict[str, tuple[str, str]]
) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        for _ in range(3):
            client.request("POST", "/api/v1/parse", ADT, RAW | {"X-API-Key": keys["parse"][0]})
            answer = client.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
        client.request("POST", "/api/v1/parse", ADT, RAW)
        assert client.getresponse().status == 401
    finally:
        client.close()


def test_off_this_machine_it_does_not_start_without_a_key(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fifhir", "serve", "--host", "0.0.0.0", "--port", "0"]  # noqa: S104
    for text, words in (("", "empty"), ("# none\n", "no key"), ("a:b:c\n", "line 1")):
        (tmp_path / "keys").write_text(text)
        environ = {"FI_FHIR_AUTH_API_KEYS_FILE": str(tmp_path / "keys")}
        found = subprocess.run(
            command, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert (found.returncode, words in found.stderr) == (78, True), found.stderr
