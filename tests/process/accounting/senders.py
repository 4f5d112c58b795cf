"""Interface engines that keep to the contract: what is not promised is sent again, unchanged."""

import http.client
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ADT = "MSH|^~\\&|A|{sender}|C|D|20260101||ADT^A01|{control}|P|2.5.1\rPID|1||7\rPV1|1|I\r"
PAUSE = 0.02  # seconds before a message is sent again
TIMEOUT = 30.0  # seconds an answer is waited for
KEPT = {200, 202}
NOT_NOW = {429, 503}


class Sender(threading.Thread):
    """Sends one message after another, each until it is promised; then that is on the disk.

    `sent` are the control ids in their order, `acked` those that were promised.
    """

    def __init__(self, name: str, port: int, numbers: Iterator[int], folder: Path) -> None:
        super().__init__(daemon=True)
        self.name = name
        self.acked: list[str] = []
        self.sent: list[str] = []
        self.fault = ""
        self.given_up = threading.Event()
        self._port = port
        self._numbers = numbers
        self._journal = os.open(folder / f"{name}.acked", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def run(self) -> None:
        try:
            for number in self._numbers:
                control = f"{self.name}-{number}"
                self.sent.append(control)
                if not self._until_promised(control):
                    return
                os.write(self._journal, f"{control}\n".encode())
                os.fsync(self._journal)
                self.acked.append(control)
        except Exception as fault:
            self.fault = f"{self.name}: {fault!r}"
        finally:
            self.hang_up()
            os.close(self._journal)

    def _until_promised(self, control: str) -> bool:
        message = ADT.format(sender=self.name, control=control).encode()
        while not self.given_up.is_set():
            try:
                if self.promised(message, control):
                    return True
            except (OSError, http.client.HTTPException):
                self.hang_up()
            time.sleep(PAUSE)
        return False

    def promised(self, message: bytes, control: str) -> bool:
        raise NotImplementedError

    def hang_up(self) -> None:
        raise NotImplementedError


class Http(Sender):
    """Over HTTP, answered `when` its query says."""

    when = "after_store"
    _client: http.client.HTTPConnection | None = None

    def promised(self, message: bytes, control: str) -> bool:
        client = self._client = self._client or http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=TIMEOUT
        )
        headers = {"Content-Type": "application/hl7-v2", "X-Ack-When": self.when}
        client.request("POST", "/api/v1/workflow", message, headers)
        answer = client.getresponse()
        answer.read()
        assert answer.status in KEPT | NOT_NOW, f"{control} was answered {answer.status}"
        return answer.status in KEPT

    def hang_up(self) -> None:
        if self._client:
            self._client.close()
        self._client = None


class HttpActions(Http):
    when = "after_actions"


class Mllp(Sender):
    """Over MLLP."""

    _peer: socket.socket | None = None

    def promised(self, message: bytes, control: str) -> bool:
        peer = self._peer = self._peer or socket.create_connection(
            ("127.0.0.1", self._port), timeout=TIMEOUT
        )
        peer.sendall(b"\x0b" + message + b"\x1c\r")
        told = b""
        while not told.endswith(b"\x1c\r"):
            more = peer.recv(65536)
            if not more:
                raise ConnectionError("closed without an answer")
            told += more
        assert b"\rMSA|AA|" + control.encode() + b"\r" in told, f"{control} was refused"
        return True

    def hang_up(self) -> None:
        if self._peer:
            self._peer.close()
        self._peer = None
