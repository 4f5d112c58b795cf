"""How a broker is reached: the keys that sending to it and taking from it have in common."""

import logging
import re
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Annotated, Literal, NamedTuple, TypeAlias

from msgspec import Meta

from fifhir.schema import Faults
from fifhir.secret import NONE, Secret
from fifhir.tls import Trust

Driver: TypeAlias = Literal["kafka", "nats", "rabbitmq"]
LIBRARIES: dict[Driver, str] = {"kafka": "aiokafka", "nats": "nats", "rabbitmq": "aio_pika"}
for _name in ("aiokafka", "nats", "aio_pika", "aiormq"):
    # A broker that is away they tell ten times a second; each delivery tells it once.
    logging.getLogger(_name).setLevel(logging.CRITICAL)
CONNECT = 10.0  # seconds to reach a broker, agree on TLS and log in

Servers: TypeAlias = Annotated[
    str, Meta(max_length=4096, description="Where the brokers are, as host:port, with commas.")
]
Username: TypeAlias = Annotated[str, Meta(max_length=256, description="Login, if one is needed.")]
Mechanism: TypeAlias = Annotated[
    Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
    Meta(description="How Kafka is told the password (SASL)."),
]
Tls: TypeAlias = Annotated[bool, Meta(description="Whether to speak TLS.")]

_SERVER = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


class Login(NamedTuple):
    """Where brokers are and who we say we are there. Without `trust` no TLS is spoken."""

    servers: tuple[str, ...]
    username: str = ""
    password: Secret = NONE
    mechanism: str = "PLAIN"
    trust: Trust | None = None


class Keys(NamedTuple):
    """The same as settings and workflows have it."""

    brokers: str
    username: str
    password: Secret
    mechanism: str
    tls: bool
    trust: Trust

    def login(self) -> Login:
        trust = self.trust if self.tls else None
        return Login(servers(self.brokers), self.username, self.password, self.mechanism, trust)

    def faults(self) -> Faults:
        if not servers(self.brokers) or not all(map(_is_server, servers(self.brokers))):
            yield ("brokers",), "expected host:port, several with commas"
        if bool(self.username) != bool(self.password):
            yield ("username",), "username and password go together"
        yield from self.trust.faults(spoken=self.tls)


def servers(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _is_server(text: str) -> bool:
    found = _SERVER.fullmatch(text)
    return found is not None and 0 < int(found[1]) < 65536


def host_port(server: str) -> tuple[str, int]:
    """The two parts of `host:port`."""
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)


def missing(driver: Driver) -> str:
    """What to install for this broker; empty if it is there."""
    if find_spec(LIBRARIES[driver]):
        return ""
    return f"{driver} needs an extra: pip install 'fifhir[{driver}]'"


def destination(driver: Driver, brokers: Iterable[str]) -> str:
    """The brokers, as breakers and metrics name them."""
    return f"{driver}://{','.join(brokers)}"
