"""Tokens of a real issuer at a real daemon; slow, for npm has to fetch the issuer."""

import http.client
import http.server
import json
import shutil
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import jwt
import pytest

from tests.waiting import until

if TYPE_CHECKING:
    from tests.process.conftest import Running

Serve = Callable[..., "Running"]

ISSUER = Path(__file__).with_name("issuer.mjs")
PACKAGE = "oidc-provider@9.13.3"
AUDIENCE = "https://fi-fhir.example"
ADMIT = b"MSH|^~\\&|A|B|C|D|20260302||ADT^A01|1|P|2.5\rPID|1||9\rPV1|1|I\r"


DELIVER = """
name: deliver
version: "1"
routes:
  - name: onward
    actions:
      - type: webhook
        url: http://127.0.0.1:{port}/events
        token_url: {issuer}/token
        client_id: sender
        client_secret: a secret of the tests
        scopes: workflow
"""


class Issuer:
    """oidc-provider, which issues JWT access tokens for client credentials."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.port = int(self._said(str.isdigit))
        self.url = f"http://127.0.0.1:{self.port}"

    def token(self, client: str, scope: str) -> str:
        form = urlencode({"grant_type": "client_credentials", "scope": scope})
        basic = b64encode(f"{client}:a secret of the tests".encode()).decode()
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": f"Basic {basic}",
        }
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as peer:
            peer.request("POST", "/token", form, headers)
            return str(json.loads(peer.getresponse().read())["access_token"])

    def rotate(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._said("rotated".__eq__)

    def _said(self, meant: Callable[[str], bool]) -> str:
        """The next line that is meant for us, among its notices."""
        assert self._process.stdout
        return next(said for line in self._process.stdout if meant(said := line.strip()))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the issuer and what it needs."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("issuer")
    if not (npm and shutil.which("node")):
        pytest.skip("there is no npm: no issuer of tokens to try")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    fetched = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=250)
    if fetched.returncode:
        pytest.skip("npm could not fetch an issuer of tokens: it is not tried")
    shutil.copy(ISSUER, folder)
    return folder


@pytest.fixture
def issuer(house: Path) -> Iterator[Issuer]:
    with subprocess.Popen(
        ["node", ISSUER.name],
        cwd=house,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield Issuer(process)
        finally:
            process.kill()


def settings(issuer: str, keys: str) -> dict[str, str]:
    told = {"ISSUER": issuer, "AUDIENCE": AUDIENCE, "JWKS_URL": keys}
    return {f"FI_FHIR_AUTH_JWT_{name}": each for name, each in told.items()}


def ask(daemon: "Running", token: str, path: str = "parse") -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/hl7-v2", "Authorization": f"Bearer {token}"}
    with closing(http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)) as peer:
        peer.request("POST", f"/api/v1/{path}", ADMIT, headers)
        answer = peer.getresponse()
        return answer.status, json.loads(answer.read())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_token_opens_what_its_scopes_say(serve: Serve, issuer: Issuer) -> None:
    daemon = serve("--workers", "2", **settings(issuer.url, f"{issuer.url}/jwks"))
    for client in ("lab", "ward"):  # RS256 and ES256
        token = issuer.token(client, "parse")
        until(lambda token=token: ask(daemon, token)[0] != 503)  # type: ignore[misc]
        status, answer = ask(daemon, token)
        assert (status, answer["events"][0]["source"]) == (200, f"jwt:{client}")
        assert ask(daemon, token, "workflow")[0] == 403
        assert ask(daemon, token[:-8] + "AAAAAAAA")[0] == 401
    assert ask(daemon, issuer.token("lab", "parse workflow"), "workflow")[0] == 200
    assert token not in daemon.log.read_text()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_issuer_may_change_its_keys(serve: Serve, issuer: Issuer) -> None:
    """A key nobody knows is fetched; what the old one signed is good no more."""
    daemon = serve("--workers", "1", **settings(issuer.url, f"{issuer.url}/jwks"))
    old = issuer.token("lab", "parse")
    until(lambda: ask(daemon, old)[0] == 200)
    issuer.rotate()
    new = issuer.token("lab", "parse")
    until(lambda: ask(daemon, new)[0] == 200, seconds=60)
    assert ask(daemon, old)[0] in {401, 429}  # we may have been refused too often by now
    assert daemon.metric('fi_fhir_auth_refused_total{reason="unready"}') >= 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_token_for_somebody_else_is_no_key(serve: Serve, issuer: Issuer) -> None:
    asked = settings("https://another.example", f"{issuer.url}/jwks")
    daemon = serve("--workers", "1", **asked)
    token = issuer.token("lab", "parse")
    until(lambda: ask(daemon, token)[0] != 503)
    assert ask(daemon, token)[0] == 401


class Guarded(http.server.BaseHTTPRequestHandler):
    """A destination that lets in whoever brings a token of the issuer with the scope workflow."""

    keys: "jwt.PyJWKClient"
    scopes: list[str]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        token = self.headers["Authorization"].removeprefix("Bearer ")
        key = self.keys.get_signing_key_from_jwt(token)
        told = jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE)
        self.scopes.append(told["scope"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_action_has_its_token_from_the_issuer(
    serve: Serve, issuer: Issuer, tmp_path: Path
) -> None:
    scopes = list[str]()
    told = {"keys": jwt.PyJWKClient(f"{issuer.url}/jwks"), "scopes": scopes}
    handler = type("GuardedHere", (Guarded,), told)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        workflow = tmp_path / "workflow.yaml"
        workflow.write_text(DELIVER.format(port=server.server_address[1], issuer=issuer.url))
        daemon = serve("--workers", "1", "--workflow", str(workflow))
        for _ in range(3):
            assert ask(daemon, "none", "workflow")[0] == 200
        server.shutdown()
    assert scopes == ["workflow"] * 3
    assert len(daemon.entries("oauth token fetched")) == 1
    assert "a secret of the tests" not in daemon.log.read_text()


class Keys(http.server.BaseHTTPRequestHandler):
    """What a troubled issuer publishes: `answer` writes it."""

    answer: Callable[["Keys"], None]
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        type(self).answer(self)

    def log_message(self, *_: object) -> None: ...


def silent(_: Keys) -> None:
    """It says nothing, and hangs up in the end."""


def endless(keys: Keys) -> None:
    keys.send_response(200)
    keys.end_headers()
    for _ in range(64):
        keys.wfile.write(b" " * (1 << 16))


def elsewhere(keys: Keys) -> None:
    keys.send_response(302)
    keys.send_header("Location", "http://127.0.0.1:1/jwks")
    keys.end_headers()


def rubbish(keys: Keys) -> None:
    keys.send_response(200)
    keys.end_headers()
    keys.wfile.write(b"<html>")


@pytest.mark.parametrize("trouble", [silent, endless, elsewhere, rubbish])
def test_without_keys_nobody_is_let_in_and_nothing_is_refused_for_good(
    serve: Serve, trouble: Callable[[Keys], None]
) -> None:
    handler = type("Troubled", (Keys,), {"answer": trouble})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            daemon = serve("--workers", "1", **settings(url, f"{url}/jwks"))
            daemon.until_logged("jwks not fetched")
            head = b64encode(b'{"alg":"RS256","kid":"1"}').decode().rstrip("=")
            assert ask(daemon, f"{head}.e30.AAAA")[0] == 503
            assert ask(daemon, "no-token")[0] == 401
        finally:
            server.shutdown()
            thread.join()
