"""The settings: defaults, then the file, then FI_FHIR_* in the environment, then flags.

The three sources are laid over each other as one tree before it is read, so that every value is
checked once, by its type, and every fault is told with the place it came from: a line of the
file, the name of a variable, or a flag.
"""

import re
import ssl
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, cast

from msgspec import Meta, Struct, inspect

from fifhir import document, flat, machine, schema
from fifhir.auth import Auth
from fifhir.destinations import ALL, Assumed, FhirServer, QueueBroker
from fifhir.errors import ConfigError, Finding
from fifhir.listener import Mllp, Port, dotted
from fifhir.logs import Level
from fifhir.profile.choosing import Rule
from fifhir.schema import Duration, Faults
from fifhir.secret import Secret
from fifhir.store.config import Database, StoreSettings
from fifhir.subscription import KafkaSettings, NatsSettings
from fifhir.tls import TlsKeys

PREFIX = "FI_FHIR_"
FILE = "_file"  # behind a secret's name: the file that holds it
CONFIG_VARIABLE = "FI_FHIR_CONFIG"  # names the file, so it cannot be in it

# Kubernetes puts these into every pod for each Service of the namespace. A Service called fi-fhir
# or fi-fhir-metrics makes them look like ours (FI_FHIR_METRICS_PORT=tcp://10.0.0.1:9090).
_SERVICE_LINK = re.compile(
    r"FI_FHIR_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


class Server(TlsKeys, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The listener for HTTP, and the processes behind it."""

    host: Annotated[str, Meta(min_length=1, description="Address or name to listen on.")] = (
        "127.0.0.1"
    )
    port: Annotated[Port, Meta(description="TCP port of the API; 0 takes a free one.")] = 8080
    workers: Annotated[
        int,
        Meta(
            ge=0,
            le=1024,
            description="Worker processes; 0 means one for each CPU this process may use.",
            extra={"env": "FI_FHIR_WORKERS"},
        ),
    ] = 0
    read_timeout: Annotated[
        Duration, Meta(ge=1, le=3600, description="Longest time a request may take to arrive.")
    ] = 30.0
    write_timeout: Annotated[
        Duration,
        Meta(ge=1, le=3600, description="Longest time a client may take to read an answer."),
    ] = 30.0
    shutdown_timeout: Annotated[
        Duration,
        Meta(
            ge=0, le=3600, description="Time for requests in flight to end when the daemon stops."
        ),
    ] = 10.0
    max_body_bytes: Annotated[
        int,
        Meta(ge=1024, le=1 << 30, description="Largest request body in bytes; larger is 413."),
    ] = 64 * 1024 * 1024
    ack_when: Annotated[
        Literal["after_actions", "after_store"],
        Meta(
            description="When /api/v1/workflow answers a message: after_actions, once every action "
            "is confirmed or kept; or after_store, once it is in the journal, from where it is "
            "delivered. X-Ack-When says so for one request."
        ),
    ] = "after_actions"
    max_connections: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Open connections a worker; 0 means its open-files limit less 256.",
        ),
    ] = 0
    tls_client_auth: Annotated[
        Literal["required", "optional"],
        Meta(
            description="Whether a client must have a certificate of tls_client_ca_file, or may "
            "come in without one, as probes do, and then needs a key for all that needs one."
        ),
    ] = "required"
    reload_on_change: Annotated[
        bool,
        Meta(
            description="Whether a change of the settings' file, or of the workflow, a profile, a "
            "certificate or a secret's file that it names, is a reload, as HUP is."
        ),
    ] = True
    insecure: Annotated[
        bool,
        Meta(description="Listen beyond this machine although requests are not authenticated."),
    ] = False

    @property
    def verify(self) -> ssl.VerifyMode:
        return ssl.CERT_OPTIONAL if self.tls_client_auth == "optional" else ssl.CERT_REQUIRED

    def faults(self) -> Faults:
        yield from super().faults()
        if self.tls_client_auth == "optional" and not self.tls_client_ca_file:
            yield ("tls_client_auth",), "needs tls_client_ca_file: nobody is asked for one"


class WorkflowSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The workflow that events run through."""

    config_path: Annotated[
        str,
        Meta(description="The workflow file; empty runs the embedded one, which logs every event."),
    ] = ""
    dry_run: Annotated[
        bool,
        Meta(
            description="Answer what would be done, and do nothing of it: every request to "
            "/api/v1/workflow is one with X-Dry-Run. Not together with MLLP, whose AA is a promise."
        ),
    ] = False
    max_concurrency: Annotated[
        int,
        Meta(ge=1, le=10_000, description="Calls a worker has under way to one destination."),
    ] = 64
    action_timeout: Annotated[
        Duration,
        Meta(ge=0.1, le=3600, description="The `timeout` of actions that do not say one."),
    ] = 30.0
    retry_max_attempts: Annotated[
        int, Meta(ge=0, le=100, description="Their `retry_max`: tries after the first that failed.")
    ] = 3
    retry_initial_wait: Annotated[
        Duration, Meta(ge=0, le=3600, description="Their `retry_delay`: before the first of those.")
    ] = 1.0
    retry_max_wait: Annotated[
        Duration, Meta(ge=0, le=3600, description="Their `retry_max_delay`: longest wait.")
    ] = 30.0
    dlq_enabled: Annotated[
        bool,
        Meta(
            description="Whether what an action could not do is kept as a dead letter; if not, the "
            "message stays with its sender.",
        ),
    ] = True
    dlq_max_size: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000_000,
            description="Dead letters there may be; past that, messages stay with their senders.",
        ),
    ] = 10_000

    @property
    def most_letters(self) -> int:
        """How many dead letters there may be; 0 means none at all."""
        return self.dlq_max_size if self.dlq_enabled else 0

    def assumed(self) -> Assumed:
        """What every action has that does not say it."""
        return Assumed(
            ALL,
            {
                "timeout": f"{self.action_timeout:g}s",
                "retry_max": str(self.retry_max_attempts),
                "retry_delay": f"{self.retry_initial_wait:g}s",
                "retry_max_delay": f"{self.retry_max_wait:g}s",
            },
        )


class ProfileSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the messages of each source are read. A profile asked for by name goes before rules."""

    path: Annotated[
        str,
        Meta(description="A profile's file, or a folder of them (*.yaml); empty: the built-in."),
    ] = ""
    default: Annotated[
        str, Meta(min_length=1, description="The profile where no rule fits, by its id.")
    ] = "default"
    rules: Annotated[
        tuple[Rule, ...],
        Meta(
            max_length=1000,
            description="Which profile reads which messages; the first that fits counts. Each has "
            "`profile` and any of `source`, `application` (MSH-3) and `facility` (MSH-4).",
        ),
    ] = ()


class Observability(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metrics, status, logs and traces."""

    metrics_enabled: Annotated[bool, Meta(description="Whether to listen on metrics_port.")] = True
    metrics_host: Annotated[
        str,
        Meta(
            min_length=1,
            description="Address or name where metrics and status are. Beyond this machine they "
            "need a key with the scope metrics, or metrics_insecure.",
        ),
    ] = "127.0.0.1"
    metrics_insecure: Annotated[
        bool,
        Meta(
            description="Tell metrics and status to whoever reaches their port. They hold no "
            "patient's data, but the names of routes, sources and destinations."
        ),
    ] = False
    metrics_port: Annotated[
        Port, Meta(description="TCP port of metrics and status; 0 takes a free one.")
    ] = 9090
    metrics_endpoint: Annotated[
        str, Meta(pattern=r"^/[A-Za-z0-9/_.-]+$", description="Path of the metrics on both ports.")
    ] = "/metrics"
    log_level: Annotated[Level, Meta(description="Least level that is written.")] = "info"
    log_format: Annotated[
        Literal["", "json", "console", "text"],
        Meta(description="Empty means console at a terminal and json otherwise; text is console."),
    ] = ""
    log_messages: Annotated[
        bool,
        Meta(
            description="Whether every message gets a line, with its trace and time; at log_level "
            "debug it does in any case."
        ),
    ] = False
    log_slow: Annotated[
        Duration, Meta(ge=0, le=3600, description="An action that takes so long gets a line.")
    ] = 0.5
    tracing_enabled: Annotated[
        bool,
        Meta(
            description="Whether spans are sent to a collector; needs the extra `otel`. Trace ids "
            "are in the log and passed on in any case."
        ),
    ] = False
    tracing_endpoint: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s@]+)?$",
            description="The collector, OTLP over HTTP, as in http://collector:4318/v1/traces.",
        ),
    ] = ""
    tracing_sampler: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="Share of the traces begun here that are sent; in one that others began it "
            "is as they decided.",
        ),
    ] = 0.1

    def faults(self) -> Faults:
        if self.tracing_enabled and not self.tracing_endpoint:
            yield ("tracing_endpoint",), "spans need a collector to be sent to"


class Secrets(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where `${secret:NAME}` in the settings file comes from."""

    provider: Annotated[
        Literal["env", "file"], Meta(description="A variable of that name, or a file.")
    ] = "env"
    prefix: Annotated[str, Meta(description="env: what stands before the variable's name.")] = ""
    path: Annotated[
        str, Meta(min_length=1, description="file: the folder that has a file for each secret.")
    ] = document.SECRETS


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set."""

    server: Server = Server()
    auth: Auth = Auth()
    mllp: Mllp = Mllp()
    kafka: KafkaSettings = KafkaSettings()
    nats: NatsSettings = NatsSettings()
    profiles: ProfileSettings = ProfileSettings()
    workflow: WorkflowSettings = WorkflowSettings()
    fhir: FhirServer = FhirServer()
    queue: QueueBroker = QueueBroker()
    database: Database = Database()
    store: StoreSettings = StoreSettings()
    observability: Observability = Observability()
    secrets: Secrets = Secrets()

    def faults(self) -> Faults:
        if not (self.server.insecure or self.asks or machine.is_loopback(self.server.host)):
            yield (
                ("server", "host"),
                f"'{self.server.host}' is reachable from other machines and requests are not "
                "authenticated; give auth.api_keys, auth.jwt_issuer or server.tls_client_ca_file, "
                "listen on 127.0.0.1, or set server.insecure (--insecure) if the network in front "
                "of it is trusted",
            )
        for name, each in (("kafka", self.kafka), ("nats", self.nats)):
            if each.enabled and not self.workflow.dlq_enabled:
                text = "needs workflow.dlq_enabled: a message that cannot be read has to be kept"
                yield (name, "enabled"), text
            if each.enabled and self.workflow.dry_run:
                text = "not with workflow.dry_run: what is taken from a broker has to be delivered"
                yield (name, "enabled"), text
        watched = self.observability
        if not (
            watched.metrics_insecure
            or not watched.metrics_enabled
            or self.auth.api_keys
            or machine.is_loopback(watched.metrics_host)
        ):
            yield (
                ("observability", "metrics_host"),
                f"'{watched.metrics_host}' is reachable from other machines and metrics are not "
                "guarded; give auth.api_keys with a key of scope metrics, listen on 127.0.0.1, or "
                "set observability.metrics_insecure if the network in front of it is trusted",
            )
        if self.workflow.dry_run and self.mllp.enabled:
            yield (
                ("workflow", "dry_run"),
                "a message acknowledged over MLLP has to be delivered; set mllp.enabled to false",
            )
        taken: dict[int, str] = {}
        for path, port in self._ports():
            if port and port in taken:
                yield path, f"{port} is {taken[port]} already"
            taken.setdefault(port, dotted(path))

    def assumed(self) -> tuple[Assumed, ...]:
        """What actions have that they do not say themselves; the first to say a key counts."""
        return (*self.fhir.assumed(), *self.queue.assumed(), self.workflow.assumed())

    @property
    def asks(self) -> bool:
        """Whether who uses the API has to say who they are."""
        return bool(self.auth.api_keys or self.auth.jwt_issuer or self.server.tls_client_ca_file)

    def _ports(self) -> Iterator[tuple[schema.Path, int]]:
        """Every port there is to listen on, and where it is set."""
        yield ("server", "port"), self.server.port
        if self.observability.metrics_enabled:
            yield ("observability", "metrics_port"), self.observability.metrics_port
        for path, listener in self.mllp.open().items():
            yield (*path, "port"), listener.port


def load(path: str | None, environ: Mapping[str, str], flags: Mapping[str, object]) -> Settings:
    """The settings in force; ConfigError tells every fault of the file, variables and flags.

    `flags` are keyed like the file (`server.port`); None means the flag was not given.
    """
    root, findings = lay(path, environ, flags)
    settings, wrong = schema.read(root, Settings)
    findings += wrong
    if settings is None or findings:
        raise ConfigError(schema.in_order(findings))
    return settings


def lay(
    path: str | None, environ: Mapping[str, str], flags: Mapping[str, object]
) -> tuple[document.Mapping, list[Finding]]:
    """The sources of `load` laid over each other, not read yet, and what is wrong so far."""
    root, findings = overlaid(path, environ, flags)
    findings += _open_files(root)
    _hand_down(root)
    return root, findings


def overlaid(
    path: str | None, environ: Mapping[str, str], flags: Mapping[str, object]
) -> tuple[document.Mapping, list[Finding]]:
    """As `lay`, with the names of the files that hold secrets instead of the secrets."""
    root, findings = _from_file(path, environ)
    findings += _levelled(root)
    findings += _lay_environment(root, environ)
    for key, given in flags.items():
        if given is not None:
            section, name = key.split(".")
            text = str(given).lower() if isinstance(given, bool) else str(given)
            _lay(root, section, name, document.Scalar(f"{key} (flag)", text, plain=False))
    return root, findings


def variables() -> Iterator[tuple[str, str, str]]:
    """Every variable with the section and the name of the setting it gives."""
    for section in schema.shape(Settings).fields:
        for item in cast(inspect.StructType, section.type).fields:
            _, extra = schema.unwrap(item.type)
            inner = "" if section.name == "observability" else f"{section.name.upper()}_"
            default = f"{PREFIX}{inner}{item.name.upper()}"
            variable = str(extra.get("env", default))
            if "alias" in extra:
                yield str(extra["alias"]), section.name, item.name
            yield variable, section.name, item.name
            if _is_secret(item):
                yield f"{variable}{FILE.upper()}", section.name, f"{item.name}{FILE}"


def _from_file(
    path: str | None, environ: Mapping[str, str]
) -> tuple[document.Mapping, list[Finding]]:
    empty = document.Mapping("settings")
    if not path:
        return empty, []
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as fault:
        return empty, [Finding(path, (fault.strerror or "unreadable").lower())]
    except UnicodeDecodeError as fault:
        return empty, [Finding(path, f"not UTF-8 at byte {fault.start}")]
    root, findings = document.compose(text, path, _with_provider(text, path, environ))
    if isinstance(root, document.Mapping):
        return root, findings
    if root is not None and not (isinstance(root, document.Scalar) and root.null):
        findings.append(
            Finding(root.place, "expected a mapping of sections: server, workflow, ...")
        )
    return empty, findings


def _with_provider(text: str, path: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The variables, and what the file says of secrets: that is wanted while it is read."""
    plain, _ = document.compose(text, path)
    entry = plain.entries.get("secrets") if isinstance(plain, document.Mapping) else None
    if entry is None or not isinstance(entry.node, document.Mapping):
        return environ
    given = {
        f"{PREFIX}SECRETS_{name.upper()}": each.node.text
        for name, each in entry.node.entries.items()
        if isinstance(each.node, document.Scalar)
    }
    return {**given, **environ}


def _lay_environment(root: document.Mapping, environ: Mapping[str, str]) -> list[Finding]:
    known = {variable: (section, name) for variable, section, name in variables()}
    findings: list[Finding] = []
    for variable in sorted(environ):
        text = environ[variable]
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if _SERVICE_LINK.fullmatch(variable) or (
            variable.endswith("_PORT") and _SERVICE_ADDRESS.match(text)
        ):
            continue
        if variable not in known:
            hint = schema.near(variable, (*known, CONFIG_VARIABLE))
            findings.append(Finding(variable, f"unknown variable{hint}"))
            continue
        value, wrong = _from_variable(variable, text, *known[variable])
        findings += wrong
        _lay(root, *known[variable], value)
    return findings


def _from_variable(
    variable: str, text: str, section: str, name: str
) -> tuple[document.Node, list[Finding]]:
    """What a variable says: text as it is, and a list in YAML, `[{source: lab, profile: lab}]`."""
    plain = document.Scalar(variable, text, plain=False)
    if (section, name) not in _lists():
        return plain, []
    node, findings = document.compose(text, variable)
    return (plain if node is None else node), findings


@cache
def _lists() -> frozenset[tuple[str, str]]:
    return frozenset(
        (section.name, item.encode_name)
        for section in schema.shape(Settings).fields
        for item in cast(inspect.StructType, section.type).fields
        if isinstance(schema.unwrap(item.type)[0], inspect.VarTupleType)
    )


def _is_secret(item: inspect.Field) -> bool:
    kind, _ = schema.unwrap(item.type)
    return isinstance(kind, inspect.CustomType) and kind.cls is Secret


def _levelled(root: document.Mapping) -> list[Finding]:
    """Blocks within a section stand under their flat keys, as variables name them."""
    findings: list[Finding] = []
    for section in schema.shape(Settings).fields:
        entry = root.entries.get(section.name)
        if entry is not None and isinstance(entry.node, document.Mapping):
            fields = cast(inspect.StructType, section.type).fields
            node, twice = flat.levelled(entry.node, fields)
            root.entries[section.name] = document.Entry(entry.place, node)
            findings += twice
    return findings


def _open_files(root: document.Mapping) -> list[Finding]:
    """Every secret that a file holds (`password_file` for `password`) stands in the tree itself."""
    findings: list[Finding] = []
    for section in schema.shape(Settings).fields:
        entry = root.entries.get(section.name)
        if entry is None or not isinstance(entry.node, document.Mapping):
            continue
        for item in cast(inspect.StructType, section.type).fields:
            if _is_secret(item) and (file := entry.node.entries.pop(item.name + FILE, None)):
                findings += _open_file(entry.node, item.name, file)
    return findings


def _open_file(section: document.Mapping, name: str, file: document.Entry) -> Iterator[Finding]:
    node = file.node
    if name in section.entries:
        yield Finding(file.place, f"both {name} and {name}{FILE} are given; one is enough")
    elif not isinstance(node, document.Scalar) or not node.text:
        yield Finding(file.place, "expected the path of a file")
    else:
        try:
            text = Path(node.text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            reason = getattr(fault, "strerror", None) or "not UTF-8"
            yield Finding(node.place, f"cannot read the file of {name}: {reason.lower()}")
        else:
            if not text.strip():
                yield Finding(node.place, f"the file of {name} is empty")
            place = f"{node.place} ({node.text})"
            value = document.Scalar(place, text.rstrip("\r\n"), plain=False)
            section.entries[name] = document.Entry(place, value)


def _hand_down(root: document.Mapping) -> None:
    """Each of mllp.listeners has what it does not say itself from mllp."""
    entry = root.entries.get("mllp")
    if entry is None or not isinstance(entry.node, document.Mapping):
        return
    shared = dict(entry.node.entries)
    listeners = shared.pop("listeners", None)
    shared.pop("enabled", None)
    if listeners is not None and isinstance(listeners.node, document.Sequence):
        for item in listeners.node.items:
            if isinstance(item, document.Mapping):
                item.entries = shared | item.entries


def _lay(root: document.Mapping, section: str, name: str, value: document.Node) -> None:
    """Put a value over whatever the file says; a file's wrong section is left to be told."""
    entry = root.entries.get(section)
    if entry is None or (isinstance(entry.node, document.Scalar) and entry.node.null):
        entry = document.Entry(value.place, document.Mapping(value.place))
        root.entries[section] = entry
    if isinstance(entry.node, document.Mapping):
        entry.node.entries[name] = document.Entry(value.place, value)
