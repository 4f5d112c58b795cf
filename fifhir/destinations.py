"""What the settings say of destinations: the keys of actions that do not say them themselves.

A workflow can so be the same everywhere, and where its messages go is the environment's to say.
"""

import base64
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta, Struct

from fifhir.schema import Duration, Faults
from fifhir.secret import NONE, Secret

AUTHORISED = frozenset(
    {"token", "authorization", "token_url", "client_id", "client_secret", "scopes"}
)
"""Keys of an action that say who we are; one of them is enough for the settings to keep quiet."""

ALL = ""  # stands for actions of every type that have the key


class Assumed(Struct, frozen=True):
    """Keys for actions of a type, unless an action says one of them or of `unless`."""

    type: str
    keys: dict[str, str]
    unless: frozenset[str] = frozenset()


class FhirServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The server of `fhir` actions that do not name one, and who we are there."""

    base_url: Annotated[
        str, Meta(max_length=2048, description="The `endpoint`, as in https://fhir.example/r4.")
    ] = ""
    timeout: Annotated[
        Duration, Meta(ge=0.1, le=3600, description="The `timeout` of `fhir` actions.")
    ] = 30.0
    auth_type: Annotated[
        Literal["none", "basic", "bearer", "oauth2"],
        Meta(
            description="How we say who we are: `username` and `password`, `bearer_token`, or "
            "`oauth2`. An action with keys of its own for that uses those."
        ),
    ] = "none"
    username: Annotated[str, Meta(max_length=512, description="For basic.")] = ""
    password: Annotated[Secret, Meta(description="For basic.")] = NONE
    bearer_token: Annotated[Secret, Meta(description="For bearer.")] = NONE
    oauth2_token_url: Annotated[
        str,
        Meta(
            max_length=2048,
            description="For oauth2: where a token is had; `oauth2: {token_url: ...}` is the same.",
            extra={"within": "oauth2_"},
        ),
    ] = ""
    oauth2_client_id: Annotated[str, Meta(max_length=512, description="For oauth2.")] = ""
    oauth2_client_secret: Annotated[Secret, Meta(description="For oauth2.")] = NONE
    oauth2_scopes: Annotated[
        str, Meta(max_length=2048, description="For oauth2, with spaces or commas.")
    ] = ""

    def faults(self) -> Faults:
        if self.base_url and not self.base_url.startswith(("http://", "https://")):
            yield ("base_url",), "expected http://... or https://..."
        needed = {
            "none": (),
            "basic": ("username", "password"),
            "bearer": ("bearer_token",),
            "oauth2": ("oauth2_token_url", "oauth2_client_id", "oauth2_client_secret"),
        }[self.auth_type]
        for name in needed:
            if not getattr(self, name):
                yield ("auth_type",), f"{self.auth_type} needs {name} as well"

    def assumed(self) -> Iterator[Assumed]:
        if self.base_url:
            yield Assumed("fhir", {"endpoint": self.base_url})
        yield Assumed("fhir", {"timeout": f"{self.timeout:g}s"})
        if keys := self._identity():
            yield Assumed("fhir", keys, AUTHORISED)

    def _identity(self) -> dict[str, str]:
        match self.auth_type:
            case "basic":
                pair = f"{self.username}:{self.password.reveal()}".encode()
                return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
            case "bearer":
                return {"token": self.bearer_token.reveal()}
            case "oauth2":
                return {
                    "token_url": self.oauth2_token_url,
                    "client_id": self.oauth2_client_id,
                    "client_secret": self.oauth2_client_secret.reveal(),
                    "scopes": self.oauth2_scopes,
                }
        return {}


class QueueBroker(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The brokers of `queue` actions that do not name any."""

    driver: Annotated[
        Literal["", "kafka", "nats", "rabbitmq"], Meta(description="Which broker it is.")
    ] = ""
    brokers: Annotated[
        str, Meta(max_length=4096, description="Where they are, as host:port, with commas.")
    ] = ""
    username: Annotated[str, Meta(max_length=256, description="Login, if one is needed.")] = ""
    password: Annotated[Secret, Meta(description="Its password.")] = NONE
    tls: Annotated[bool, Meta(description="Whether to speak TLS.")] = False

    def faults(self) -> Faults:
        if bool(self.driver) != bool(self.brokers):
            yield ("brokers",), "driver and brokers go together; one of the two is missing"

    def assumed(self) -> Iterator[Assumed]:
        """An action that names brokers of its own is not given our login."""
        if not self.brokers:
            return
        keys = {"driver": self.driver, "brokers": self.brokers, "tls": str(self.tls).lower()}
        login = {"username": self.username, "password": self.password.reveal()}
        given = {key: text for key, text in login.items() if text}
        yield Assumed("queue", keys | given, frozenset({"driver", "brokers"}))
