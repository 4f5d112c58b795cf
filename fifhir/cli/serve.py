"""`fi-fhir serve`: read and check everything, then hand over to the daemon."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from fifhir.cli.findings import exit_status
from fifhir.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fifhir.bearer import Verifier
    from fifhir.config import Settings
    from fifhir.profile.choosing import Profiles
    from fifhir.workflow.config import WorkflowConfig

SAMPLE = (
    r"MSH|^~\\&|DEMO|HERE|FIFHIR|THERE|20260302070000||ADT^A01|1|P|2.5.1\r"
    r"PID|1||DEMO1^^^HERE^MR||TEAPOT^HAZEL\rPV1|1|I|WARD1^101^A\r"
)


def serve(  # noqa: PLR0913, PLR0917 - each is an option of the command
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", envvar="FI_FHIR_CONFIG", help="The settings file (YAML)."),
    ] = None,
    workflow: Annotated[
        str | None,
        typer.Option(
            "--workflow", "-w", help="The workflow file; without one every event is logged."
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", "-H", help="Address to listen on. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", "-p", help="Port of the API; 0 takes a free one. [default: 8080]"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", help="Worker processes. [default: the CPUs this process may use]"
        ),
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option("--metrics-port", help="Port of metrics and status. [default: 9090]"),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Listen beyond this machine although nobody is authenticated."
        ),
    ] = False,
    check_destination: Annotated[
        bool,
        typer.Option(
            "--check-destination",
            help="Only prove that the FHIR servers of the workflow are idempotent, and end.",
        ),
    ] = False,
) -> None:
    """Take HL7 v2 over HTTP and MLLP, run every event through the workflow, until SIGTERM.

    Settings come from defaults, the file, FI_FHIR_* in the environment and these options, each
    over the one before. The log is on stdout. HUP reloads, TTIN and TTOU make one worker more or
    less, TERM drains, INT twice or QUIT stops at once.
    """
    flags = {
        "server.host": host,
        "server.port": port,
        "server.workers": workers,
        "server.insecure": insecure or None,
        "workflow.config_path": workflow,
        "observability.metrics_port": metrics_port,
    }
    if os.environ.get("FI_FHIR_LOG_FORMAT") != "json":
        raise typer.Exit(_serve(config, flags, check_destination))
    try:
        status = _serve(config, flags, check_destination)
    except (ConfigError, StoreError) as fault:
        status = _tell(fault)
    raise typer.Exit(status)


def _tell(fault: ConfigError | StoreError) -> int:
    """The exit status; why it does not start is in the log, where a pod's reader expects JSON."""
    from fifhir.logs import Log

    findings = fault.findings if isinstance(fault, ConfigError) else (fault,)
    for finding in findings:
        Log(1, "info", "json").write("error", "cannot start", reason=str(finding))
    return exit_status(fault)


def _serve(config: str | None, flags: "Mapping[str, object]", check_destination: bool) -> int:
    from fifhir.config import load
    from fifhir.daemon import Orders, run
    from fifhir.listener import doors
    from fifhir.logs import Log
    from fifhir.store.opening import check
    from fifhir.watching import Watch, files
    from fifhir.workflow.engine import Workflow

    first = load(config, os.environ, flags)
    if check_destination:
        from fifhir.cli.destination import check_all

        return check_all(_workflow(first))
    watched = first.observability
    style = "console" if watched.log_format == "text" else watched.log_format
    log = Log(1, watched.log_level, style)
    if first.workflow.dlq_enabled:
        check(first.database, first.store)

    def read() -> Orders:
        """What the file, the variables, profiles and workflow say now; again at every reload."""
        settings = load(config, os.environ, flags)
        wanted = settings.workflow
        workflow = Workflow(
            _workflow(settings),
            log.write,
            dry_run=wanted.dry_run,
            together=wanted.max_concurrency,
        )
        door, *others = doors({("server",): settings.server, **settings.mllp.open()})
        bearer = verifier(settings)
        return Orders(settings, profiles(settings), workflow, door, tuple(others), bearer)

    watch = Watch(lambda: files(config, os.environ, flags))
    greet = _silent if watched.log_format == "json" else _greet
    return run(read(), log, reload=read, watch=watch, ready=greet)


def verifier(settings: "Settings") -> "Verifier | None":
    """What reads tokens as the settings say; ConfigError if the issuer's keys do not do."""
    from fifhir.errors import ConfigError, Finding
    from fifhir.tls import BadFile

    try:
        return settings.auth.verifier()
    except BadFile as fault:
        raise ConfigError((Finding(f"auth.{fault.key}", str(fault)),)) from fault


def profiles(settings: "Settings") -> "Profiles":
    """All profiles the settings name; ConfigError also where one is named that is not there."""
    from fifhir.listener import dotted
    from fifhir.profile.choosing import Profiles
    from fifhir.profile.loading import load_all

    wanted = settings.profiles
    known = Profiles(load_all(wanted.path) if wanted.path else None, wanted.rules, wanted.default)
    known.check(
        (dotted((*path, "profile")), listener.profile)
        for path, listener in settings.mllp.open().items()
        if listener.profile
    )
    return known


def _workflow(settings: "Settings") -> "WorkflowConfig":
    from fifhir.cli.workflow_file import read
    from fifhir.workflow.config import DEFAULT

    path = settings.workflow.config_path
    return read(path, settings.assumed()) if path else DEFAULT


def _silent(url: str) -> None:
    """A log that is to be JSON is read together with stderr; nobody sits before it."""


def _greet(url: str) -> None:
    """Whoever started it sees where it listens and how a message is posted."""
    print(f"fi-fhir listens on {url}; post a message:\n  {curl(url)}", file=sys.stderr, flush=True)


def curl(url: str) -> str:
    """A line for the shell that posts one invented message."""
    return (
        f"printf '{SAMPLE}' |\n    curl --data-binary @- "
        f"-H 'Content-Type: application/hl7-v2' {url}/api/v1/workflow"
    )
