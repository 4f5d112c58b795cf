"""The ports for MLLP: bound once at the start, and given to the workers of every reload."""

import time
from socket import socket
from typing import NamedTuple

from fifhir import machine
from fifhir.errors import ConfigError, Finding
from fifhir.ingress.mllp import Place
from fifhir.listener import Mllp, dotted
from fifhir.logs import Log
from fifhir.scoreboard import Scoreboard
from fifhir.tls import Door

FIXED = "addresses change by a restart only"
SOON = 14 * 86_400  # seconds; a certificate that ends sooner is worth a word at every start


class Frames(NamedTuple):
    """The sockets, each with the host and the port it was asked for."""

    sockets: tuple[tuple[str, int, socket], ...]

    @classmethod
    def listen(cls, mllp: Mllp) -> "Frames":
        """All of them listen; OSError if one cannot."""
        return cls(
            tuple(
                (each.host, each.port, machine.listen(each.host, each.port))
                for each in mllp.open().values()
            )
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The address of each, which it is counted under."""
        return tuple(machine.address(sock) for _, _, sock in self.sockets)

    def places(self, mllp: Mllp, doors: tuple[Door | None, ...]) -> tuple[Place, ...]:
        """Every listener with its socket; ConfigError if there is not exactly one for each."""
        free, places, findings = list(self.sockets), [], []
        for (path, each), door in zip(mllp.open().items(), doors, strict=True):
            found = next((had for had in free if had[:2] == (each.host, each.port)), None)
            if found is None:
                text = f"nothing listens on {each.host}:{each.port} since the start; {FIXED}"
                findings.append(Finding(dotted(path), text))
                continue
            free.remove(found)
            places.append(Place(machine.address(found[2]), found[2], each, door))
        findings += [
            Finding("mllp", f"{host}:{port} is listened on since the start; {FIXED}")
            for host, port, _ in free
        ]
        if findings:
            raise ConfigError(tuple(findings))
        return tuple(places)


def tell_expiry(listener: str, door: Door | None, board: Scoreboard, log: Log) -> None:
    """When the certificate of a listener ends is in the metrics, and in the log if it is soon."""
    if door is None:
        return
    ends = door.expires.timestamp()
    if slot := board.catalogue.expires(listener):
        board.retired.set(slot, ends)
    if ends < time.time() + SOON:
        log.warn("tls certificate expires", listener=listener, at=door.expires.isoformat())
