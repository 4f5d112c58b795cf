"""The `exec` action: a program, run for each event. What is not on the allow list is not run.

There is no shell. The program gets the event on its standard input and knows no environment but
what the action gives it; when its time is up, it and all it has started are killed.
"""

import asyncio
import contextlib
import os
import resource
import shlex
import signal
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from fifhir import template
from fifhir.errors import DeliveryError, TemplateFault
from fifhir.parcel import Parcel
from fifhir.resilience import Resilience
from fifhir.schema import Duration, Faults

OUTPUT_LIMIT = 1 << 20  # bytes a program may say; then it is killed
LAST_WORDS = 1.0  # seconds to read what a program that was killed had said
ARGUMENT_LIMIT = 64 << 10  # bytes of one argument
SPARED = 10.0  # seconds of CPU beyond `timeout` that the kernel grants


class ExecConfig(
    Resilience, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="exec"
):
    """Run a program for each event. Exit status 0 confirms; 75 (EX_TEMPFAIL) asks to try again.

    Nobody knows how far a program got that failed or was killed, so it is not run again by
    itself. What it prints is thrown away.
    """

    command: Annotated[
        str, Meta(pattern=r"^/", max_length=1024, description="The program, by its absolute path.")
    ]
    allowlist: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=16_384,
            description="Absolute paths of the programs that may be run, with commas.",
        ),
    ]
    args: Annotated[
        str,
        Meta(
            max_length=16_384,
            description="Arguments: a JSON array, or words as a shell has them. Each may have "
            "templates; what a template gives never becomes an option.",
            extra={"template": "none"},
        ),
    ] = ""
    timeout: Annotated[
        Duration, Meta(ge=0.1, le=3600, description="How long the program may run.")
    ] = 30.0
    stdin: Annotated[
        Literal["json", "none", "template"], Meta(description="What it finds on standard input.")
    ] = "json"
    stdin_template: Annotated[
        str,
        Meta(
            max_length=65_536,
            description="The text of standard input, for stdin: template.",
            extra={"template": "none"},
        ),
    ] = ""
    env: Annotated[
        dict[str, str],
        Meta(
            description="Its environment; values may have templates.",
            extra={"keys": r"[A-Za-z_][A-Za-z0-9_]*", "template": "none"},
        ),
    ] = field(default_factory=dict)

    def faults(self) -> Faults:
        yield from super().faults()
        allowed = [name.strip() for name in self.allowlist.split(",")]
        if not all(name.startswith("/") for name in allowed):
            yield ("allowlist",), "expected absolute paths, with commas"
        elif os.path.normpath(self.command) not in allowed:
            yield ("command",), "is not on the allowlist"
        try:
            words(self.args)
        except ValueError:
            yield ("args",), "expected a JSON array of texts, or words with closed quotes"
        if (self.stdin == "template") != bool(self.stdin_template):
            yield ("stdin_template",), "goes with stdin: template"


def words(text: str) -> list[str]:
    """The arguments of a command line; ValueError if they are none."""
    if text.lstrip().startswith("["):
        return msgspec.json.decode(text, type=list[str])
    return shlex.split(text)


class ExecSink:
    """Carries out one `exec` action of one route."""

    idempotent = False

    def __init__(self, config: ExecConfig) -> None:
        self.destination = f"exec://{config.command}"
        self._config = config
        self._arguments = [template.compile(word, "none") for word in words(config.args)]
        self._stdin = template.compile(config.stdin_template, "none")
        self._env = {name: template.compile(text, "none") for name, text in config.env.items()}

    async def deliver(self, parcel: Parcel) -> None:
        """The program ended with status 0."""
        try:
            arguments, given, env = self._filled(parcel)
        except TemplateFault as fault:
            raise DeliveryError("template", str(fault)) from fault
        try:
            process = await asyncio.create_subprocess_exec(
                self._config.command,
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=env | {"FI_FHIR_KEY": parcel.key},
                cwd="/",
                start_new_session=True,
            )
        except OSError as fault:
            reason = (fault.strerror or "not started").lower()
            raise DeliveryError("client_error", f"exec: {reason}") from fault
        try:
            self._bound(process.pid)
            status = await _attended(process, given)
        finally:
            await _end(process)
        if status:
            raise _refusal(status)

    async def close(self) -> None:
        """Every program was waited for."""

    def _filled(self, parcel: Parcel) -> tuple[list[str], bytes, dict[str, str]]:
        document = parcel.written.document
        arguments = [self._argument(each, document) for each in self._arguments]
        env = {name: each.render(document) for name, each in self._env.items()}
        match self._config.stdin:
            case "json":
                given = parcel.written.json
            case "template":
                given = self._stdin.render(document).encode()
            case "none":
                given = b""
        if any("\0" in text for text in (*arguments, *env.values())):
            raise DeliveryError("template", "exec: an argument has a byte no argument can hold")
        return arguments, given, env

    def _argument(self, each: template.Template, document: dict[str, object]) -> str:
        text = each.render(document)
        if not each.is_constant and (text.startswith("-") or len(text) > ARGUMENT_LIMIT):
            raise DeliveryError("template", "exec: an argument became an option, or too long")
        return text

    def _bound(self, pid: int) -> None:
        """The kernel ends what burns time even if this worker does not live to do so."""
        seconds = int(self._config.timeout + SPARED)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_CPU, (seconds, seconds))


async def _attended(process: asyncio.subprocess.Process, given: bytes) -> int:
    """The exit status; all that was given was offered and all that was said is thrown away."""
    assert process.stdin is not None
    assert process.stdout is not None
    writer = asyncio.create_task(_give(process.stdin, given))
    try:
        said = 0
        while chunk := await process.stdout.read(65_536):
            said += len(chunk)
            if said > OUTPUT_LIMIT:
                raise DeliveryError("client_error", f"exec: more than {OUTPUT_LIMIT} bytes said")
        return await process.wait()
    finally:
        writer.cancel()


async def _give(stdin: asyncio.StreamWriter, given: bytes) -> None:
    """A program that does not read what it is given is no fault."""
    with contextlib.suppress(ConnectionError, BrokenPipeError):
        stdin.write(given)
        await stdin.drain()
    stdin.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Nobody of the program's process group lives on."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    with contextlib.suppress(TimeoutError):  # a pipe is closed when its end was read
        async with asyncio.timeout(LAST_WORDS):
            while await process.stdout.read(65_536):
                pass


def _refusal(status: int) -> DeliveryError:
    if status == os.EX_TEMPFAIL:
        return DeliveryError("server_error", "exec: exit status 75", retryable=True)
    text = f"exec: exit status {status}" if status > 0 else f"exec: ended by signal {-status}"
    return DeliveryError("client_error" if status > 0 else "ambiguous", text)
