"""Whoever our actions deliver to: a web server that does as it is told and remembers everything."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs


class Destination:
    """Answers with `status` while `open` is set; `tokens` are the forms that asked for a token.

    /token gives OAuth2 tokens t1, t2, ...; /fhir is a FHIR server that takes each transaction;
    /slow answers after 600 ms, /good always with 200. `most` is how many calls came at a time.
    """

    def __init__(self) -> None:
        self.status = 200
        self.refused_tokens: set[str] = set()
        self.open = threading.Event()
        self.open.set()
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.tokens: list[dict[str, list[str]]] = []
        self.most = self.now = 0
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def bodies(self, path: str = "/in") -> list[dict[str, Any]]:
        """What was posted to a path, in the order it came."""
        return [json.loads(body) for at, _, body in self.seen if at == path]

    def stop(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(mine: Destination) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path == "/token":
                mine.tokens.append(parse_qs(body.decode()))
                self.say(200, {"access_token": f"t{len(mine.tokens)}", "expires_in": 3600})
                return
            with mine.lock:
                mine.now += 1
                mine.most = max(mine.most, mine.now)
            mine.open.wait(60)
            time.sleep(0.6 if self.path == "/slow" else 0)
            with mine.lock:
                mine.now -= 1
                mine.seen.append((self.path, dict(self.headers), body))
            self.say(*self.verdict(body))

        def verdict(self, body: bytes) -> tuple[int, object]:
            if self.headers.get("Authorization", "").removeprefix("Bearer ") in mine.refused_tokens:
                return 401, {}
            if self.path == "/good":
                return 200, {}
            if self.path != "/fhir" or mine.status != 200:
                return mine.status, {}
            entries = json.loads(body)["entry"]
            response = [{"response": {"status": "200"}} for _ in entries]
            return 200, {
                "resourceType": "Bundle",
                "type": "transaction-response",
                "entry": response,
            }

        def say(self, status: int, body: object) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
