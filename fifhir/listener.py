"""What listeners for MLLP are set to: one by `mllp` itself, or several by `mllp.listeners`."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta

from fifhir import machine
from fifhir.errors import ConfigError, Finding
from fifhir.schema import Duration, Faults, Path
from fifhir.tls import BadFile, Door, TlsKeys

Port = Annotated[int, Meta(ge=0, le=65535)]


class ListenerSettings(TlsKeys, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One listener for MLLP; where it listens is settled at the start."""

    host: Annotated[str, Meta(min_length=1, description="Address or name to listen on.")] = (
        "127.0.0.1"
    )
    port: Annotated[Port, Meta(description="TCP port of MLLP; 0 takes a free one.")] = 2575
    source: Annotated[
        str, Meta(min_length=1, description="What events of this listener are called after.")
    ] = "mllp"
    profile: Annotated[
        str,
        Meta(description="The profile that reads this listener's messages; empty: by the rules."),
    ] = ""
    ack: Annotated[
        Literal["auto", "application", "enhanced"],
        Meta(
            description="auto answers as MSH-15 and MSH-16 of the message ask; application always "
            "with one AA, AE or AR; enhanced always with one CA, CE or CR."
        ),
    ] = "auto"
    ack_when: Annotated[
        Literal["after_store", "after_actions"],
        Meta(
            description="When a message is acknowledged: after_store, once it is in the journal, "
            "from where it is delivered in the order of its sender (source, MSH-3, MSH-4); or "
            "after_actions. Where no action reaches out of the process, or nothing may be kept, "
            "it is after_actions."
        ),
    ] = "after_store"
    on_transient: Annotated[
        Literal["close", "AR"],
        Meta(
            description="What a message gets that failed for a reason of ours: close, so that the "
            "sender sends it again, or AR (CR) with ERR-3 207 for a sender that repeats after it."
        ),
    ] = "close"
    application: Annotated[
        str,
        Meta(description="MSH-3 of acknowledgments; empty takes MSH-5 of the message."),
    ] = ""
    facility: Annotated[
        str, Meta(description="MSH-4 of acknowledgments; empty takes MSH-6 of the message.")
    ] = ""
    error_segment: Annotated[
        bool, Meta(description="Whether a refusal has an ERR segment, or MSA-3 alone.")
    ] = True
    trace_field: Annotated[
        str,
        Meta(
            pattern=r"^([A-Z][A-Z0-9]{2}-[1-9][0-9]{0,2})?$",
            description="The field that holds a traceparent (W3C Trace Context), as in ZTR-1; "
            "empty: none.",
        ),
    ] = ""
    max_frame_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=64 * 1024 * 1024,
            description="Largest message in bytes; a larger one closes the connection.",
        ),
    ] = 16 * 1024 * 1024
    max_in_flight_bytes: Annotated[
        int,
        Meta(
            ge=1024,
            le=1 << 36,
            description="Bytes of messages a worker holds that are not answered yet; what goes "
            "past it closes its connection.",
        ),
    ] = 256 * 1024 * 1024
    max_connections: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Open MLLP connections a worker.")
    ] = 1000
    frame_timeout: Annotated[
        Duration, Meta(ge=0.1, le=3600, description="Longest time from a frame's VT to its end.")
    ] = 10.0
    idle_timeout: Annotated[
        Duration,
        Meta(ge=1, le=604_800, description="How long a connection may be silent between frames."),
    ] = 3600.0
    insecure: Annotated[
        bool,
        Meta(description="Listen beyond this machine although senders are not authenticated."),
    ] = False

    def faults(self) -> Faults:
        yield from super().faults()
        yield from self.exposure()
        if self.max_in_flight_bytes < self.max_frame_bytes:
            yield ("max_in_flight_bytes",), "must be at least max_frame_bytes"

    def exposure(self) -> Faults:
        """Whether anybody else than this machine may send without having to say who it is."""
        if not (self.insecure or self.tls_client_ca_file or machine.is_loopback(self.host)):
            yield (
                ("host",),
                f"'{self.host}' is reachable from other machines and senders are not "
                "authenticated; give tls_client_ca_file with a certificate, listen on 127.0.0.1, "
                "or set insecure if the network in front of it is trusted",
            )


class Mllp(ListenerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """MLLP. These are the keys of the only listener, or what each of `listeners` begins with."""

    enabled: Annotated[bool, Meta(description="Whether to listen for MLLP.")] = False
    listeners: Annotated[
        tuple[ListenerSettings, ...],
        Meta(
            max_length=100,
            description="Several listeners instead of one, each with the keys of this section; "
            "what one does not say is as it is said here.",
        ),
    ] = ()

    def open(self) -> dict[Path, ListenerSettings]:
        """Every listener there is to be, under where it stands in the settings."""
        if not self.enabled:
            return {}
        if not self.listeners:
            return {("mllp",): self}
        return {("mllp", "listeners", at): each for at, each in enumerate(self.listeners)}

    def exposure(self) -> Faults:
        if self.enabled and not self.listeners:
            yield from super().exposure()


def doors(listeners: Mapping[Path, TlsKeys]) -> tuple[Door | None, ...]:
    """What each listener asks of who comes in; ConfigError tells every file that does not do.

    The listeners are under where they stand in the settings.
    """
    made: list[Door | None] = []
    findings: list[Finding] = []
    for path, listener in listeners.items():
        try:
            made.append(listener.door())
        except BadFile as fault:
            findings.append(Finding(dotted((*path, fault.key)), str(fault)))
    if findings:
        raise ConfigError(tuple(findings))
    return tuple(made)


def dotted(path: Path) -> str:
    """A place in the settings as an operator writes it: mllp.listeners[1].port."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)[1:]
