"""Beyond this machine nothing listens to strangers unless an operator has said so, in words."""

import signal
import socket
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fifhir.access import new_key

if TYPE_CHECKING:
    from tests.process.conftest import Running

Serve = Callable[..., "Running"]

EVERYWHERE = "0.0.0.0"  # noqa: S104
HTTP = {"FI_FHIR_SERVER_HOST": EVERYWHERE}
MLLP = {"FI_FHIR_MLLP_ENABLED": "true", "FI_FHIR_MLLP_PORT": "0", "FI_FHIR_MLLP_HOST": EVERYWHERE}
SEVERAL = {
    "FI_FHIR_MLLP_ENABLED": "true",
    "FI_FHIR_MLLP_LISTENERS": f"[{{port: 0}}, {{port: 0, host: {EVERYWHERE}}}]",
}
METRICS = {"FI_FHIR_METRICS_HOST": EVERYWHERE}


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        (HTTP, "FI_FHIR_SERVER_HOST"),
        (MLLP, "FI_FHIR_MLLP_HOST"),
        (SEVERAL, "FI_FHIR_MLLP_LISTENERS:1:29"),
        (METRICS, "FI_FHIR_METRICS_HOST"),
        (HTTP | {"FI_FHIR_SERVER_HOST": "::"}, "FI_FHIR_SERVER_HOST"),
        (HTTP | {"FI_FHIR_SERVER_HOST": "a-name-of-this-machine"}, "FI_FHIR_SERVER_HOST"),
    ],
)
def test_it_does_not_start_and_says_which_setting(
    serve: Serve, asked: dict[str, str], key: str
) -> None:
    daemon = serve(wait=False, **asked)
    assert daemon.ended() == 78
    told = daemon.log.read_text()
    assert "is reachable from other machines" in told
    assert told.startswith(f"{key}: ")


@pytest.mark.parametrize(
    "asked",
    [
        HTTP | {"FI_FHIR_SERVER_INSECURE": "true"},
        MLLP | {"FI_FHIR_MLLP_INSECURE": "true"},
        METRICS | {"FI_FHIR_METRICS_INSECURE": "true"},
    ],
)
def test_it_starts_when_told_so(serve: Serve, asked: dict[str, str]) -> None:
    assert serve("--workers", "1", **asked).status()["workers"]


def test_a_reload_cannot_open_what_a_start_would_not(serve: Serve, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("mllp: {enabled: true, port: 0}\n")
    daemon = serve("--workers", "1", "--config", str(settings))
    settings.write_text(f"mllp: {{enabled: true, port: 0, host: {EVERYWHERE}}}\n")
    daemon.send(signal.SIGHUP)
    assert "reachable from other machines" in daemon.until_logged("reload refused")["finding"]


def told(daemon: "Running", path: str, token: str = "", host: str = "127.0.0.1") -> int:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with closing(HTTPConnection(host, daemon.operations, timeout=20)) as client:
        client.request("GET", path, headers=headers)
        answer = client.getresponse()
        assert (answer.status == 401) == ("WWW-Authenticate" in answer.headers)
        return answer.status


def outside() -> str:
    """An address of this machine that others know it by."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but its own: nobody can come from outside")
        return str(way.getsockname()[0])


def test_metrics_beyond_this_machine_need_a_key_with_their_scope(
    serve: Serve, tmp_path: Path
) -> None:
    (good, first), (bad, second) = new_key("prometheus", ["metrics"]), new_key("lab", ["workflow"])
    keys_file = tmp_path / "keys"
    keys_file.write_text(f"{first}\n{second}\n")
    host = outside()
    daemon = serve("--workers", "1", **METRICS, FI_FHIR_AUTH_API_KEYS_FILE=str(keys_file))
    for path in ("/metrics", "/status"):
        asked = [told(daemon, path, token, host) for token in ("", "x", bad, good)]
        assert asked == [401, 401, 401, 200]
        assert told(daemon, path) == 200  # who is on this machine may look
    keys_file.write_text(f"{second}\n")
    daemon.until_logged("reloaded")
    daemon.until(lambda: told(daemon, "/metrics", good, host) == 401)
    assert told(daemon, "/health", host=host) == 200


def test_metrics_on_this_machine_need_none(serve: Serve) -> None:
    token, line = new_key("lab", ["parse"])
    daemon = serve("--workers", "1", FI_FHIR_AUTH_API_KEYS=line)
    assert [told(daemon, path) for path in ("/metrics", "/status")] == [200, 200]
    assert token
