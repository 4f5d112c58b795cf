"""The ports for MLLP: bound by the supervisor, and given to the workers of each crew.

A reload may open ports and close others. Those of the crew that serves stay open until the next
one does; a socket that is in no crew's hands any more is shut down, which ends it in every process.
"""

import socket
import time
from collections.abc import Iterable

from fifhir import machine
from fifhir.errors import ConfigError, Finding
from fifhir.ingress.mllp import Place
from fifhir.listener import ListenerSettings, Mllp, dotted
from fifhir.logs import Log
from fifhir.scoreboard import Scoreboard
from fifhir.tls import Door

SOON = 14 * 86_400  # seconds; a certificate that ends sooner is worth a word at every start


class Frames:
    """Every socket there is, under the host and port it was asked for: `serving` and to come."""

    def __init__(self) -> None:
        self._open: list[tuple[str, int, socket.socket]] = []
        self._serving: tuple[Place, ...] = ()
        self._coming: tuple[Place, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The address of each that serves, which it is counted under."""
        return tuple(place.name for place in self._serving)

    def places(self, mllp: Mllp, doors: Iterable[Door | None]) -> tuple[Place, ...]:
        """A socket for every listener, opened if it is new; ConfigError tells all that cannot be.

        They are to come until they are `taken` or `dropped`.
        """
        free, places, findings = list(self._open), [], []
        for (path, each), door in zip(mllp.open().items(), doors, strict=True):
            found = next((had for had in free if had[:2] == (each.host, each.port)), None)
            try:
                if found is None:
                    found = self._listen(each)
                else:
                    free.remove(found)
            except OSError as fault:
                findings.append(Finding(dotted(path), str(fault)))
            else:
                places.append(Place(machine.address(found[2]), found[2], each, door))
        if findings:
            self.drop()
            raise ConfigError(tuple(findings))
        self._coming = tuple(places)
        return self._coming

    def take(self) -> None:
        """What was to come serves, and what is not among it is shut down."""
        self._serving = self._coming
        self.drop()

    def drop(self) -> None:
        """What was to come does not: only what serves stays open."""
        self._coming = self._serving
        kept = [place.sock for place in self._serving]
        for opened in [each for each in self._open if each[2] not in kept]:
            self._open.remove(opened)
            shut(opened[2])

    def leave(self, places: tuple[Place, ...]) -> None:
        """In a worker just forked: it has no socket but those of its places."""
        kept = [place.sock for place in places]
        for _, _, sock in self._open:
            if sock not in kept:
                sock.close()

    def _listen(self, listener: ListenerSettings) -> tuple[str, int, socket.socket]:
        host, port = listener.host, listener.port
        opened = host, port, machine.listen(host, port)
        self._open.append(opened)
        return opened


def shut(sock: socket.socket) -> None:
    """Nobody is accepted here any more, by no process; who was not accepted yet is reset."""
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:  # no state to end
        pass
    finally:
        sock.close()


def tell_expiry(listener: str, door: Door | None, board: Scoreboard, log: Log) -> None:
    """When the certificate of a listener ends is in the metrics, and in the log if it is soon."""
    if door is None:
        return
    ends = door.expires.timestamp()
    if slot := board.catalogue.expires(listener):
        board.retired.set(slot, ends)
    if ends < time.time() + SOON:
        log.warn("tls certificate expires", listener=listener, at=door.expires.isoformat())
