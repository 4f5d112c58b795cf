"""The `email` action against a real SMTP server: what arrives, over what, and what is refused."""

import email
import ssl
from asyncio import Server
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.delivering import EVENT, delivered, faults, parcel, refused
from tests.process.pki import NAMES, authority, issue


class Mailbox:
    """Takes mail, unless `answers` says otherwise for a command; `drop` hangs up after the text."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answers: dict[str, str] = {}
        self.drop = False

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.answers.get(address, self.answers.get("RCPT", "250 OK"))

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.drop:
            assert server.transport is not None
            server.transport.close()
            return "250 nobody hears this"
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        if "DATA" not in self.answers:
            self.mails.append(mail)
            self.recipients.append(envelope.rcpt_tos)
        return self.answers.get("DATA", "250 OK")

    def admit(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, told: Any
    ) -> AuthResult:
        right = isinstance(told, LoginPassword) and told.password == b"hush"
        return AuthResult(success=right, handled=right)


class AnyPort(Controller):
    """Listens on whichever port is free."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@pytest.fixture
def post() -> Iterator[Callable[..., tuple[Mailbox, dict[str, Any]]]]:
    """Starts servers; each is its mailbox, and an action that sends to it."""
    running: list[Controller] = []

    def start(**options: Any) -> tuple[Mailbox, dict[str, Any]]:
        box = Mailbox()
        controller = AnyPort(box, hostname="127.0.0.1", port=0, authenticator=box.admit, **options)
        controller.start()
        running.append(controller)
        return box, action(smtp_port=controller.port)

    yield start
    for controller in running:
        controller.stop()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("pki")
    authority(where, "ca")
    issue(where, "server", "ca", NAMES)
    return where


def context(pki: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pki / "server.pem", pki / "server.key")
    return made


def action(**changed: Any) -> dict[str, Any]:
    return {
        "type": "email",
        "smtp_host": "localhost",
        "smtp_port": 25,
        "from": "fi-fhir@north.example",
        "to": "Ward <ward@north.example>, duty@north.example",
        "subject": "Admission at {{.source}}",
        "body": "MRN {{.patient.mrn}}\nGrüße\n.\n.leading dot",
        "timeout": "20s",
        **changed,
    }


def test_a_mail_arrives_as_it_was_filled_in(post: Callable[..., Any]) -> None:
    box, action = post()
    delivered(action)
    (mail,) = box.mails
    assert mail["Subject"] == "Admission at north"
    assert mail["To"] == "Ward <ward@north.example>, duty@north.example"
    assert mail.get_content().splitlines() == ["MRN 007", "Grüße", ".", ".leading dot"]
    assert mail["Auto-Submitted"] == "auto-generated"
    assert box.recipients == [["ward@north.example", "duty@north.example"]]


def test_the_same_delivery_has_the_same_message_id(post: Callable[..., Any]) -> None:
    box, action = post()
    delivered(action, parcel(), parcel())
    first, second = (mail["Message-ID"] for mail in box.mails)
    assert first == second == f"<{parcel().key}@north.example>"


@pytest.mark.parametrize(
    "value", ["x\r\nBcc: evil@x", "x\nBcc: evil@x", "x\r\n\r\nbody", "x\u2028y"]
)
def test_a_value_never_begins_another_header(post: Callable[..., Any], value: str) -> None:
    box, action = post()
    delivered(action | {"subject": "{{.source}}"}, parcel({**EVENT, "source": value}))
    assert "Bcc" not in box.mails[0]
    assert box.recipients == [["ward@north.example", "duty@north.example"]]


@pytest.mark.parametrize(
    "value", ["a@b.example, evil@x.example", "<evil@x.example>a", "", "nobody", "a@b>,<c@d"]
)
def test_a_value_never_names_a_second_recipient(post: Callable[..., Any], value: str) -> None:
    box, action = post()
    event = {**EVENT, "patient": {"email": value}}
    assert refused(action | {"to": "{{.patient.email}}"}, parcel(event)).kind == "template"
    assert box.mails == []


def test_a_value_may_be_the_recipient(post: Callable[..., Any]) -> None:
    box, action = post()
    event = {**EVENT, "patient": {"email": "o'neil+x@b.example"}}
    delivered(action | {"to": "{{.patient.email}}"}, parcel(event))
    assert box.recipients == [["o'neil+x@b.example"]]


@pytest.mark.parametrize(
    ("command", "answer", "kind", "again"),
    [
        ("MAIL", "451 later", "server_error", True),
        ("RCPT", "450 greylisted", "server_error", True),
        ("RCPT", "550 nobody", "client_error", False),
        ("duty@north.example", "550 nobody", "client_error", False),
        ("DATA", "452 full", "server_error", True),
        ("DATA", "554 spam", "client_error", False),
    ],
)
def test_what_the_server_answers_counts_and_nobody_gets_half(
    post: Callable[..., Any], command: str, answer: str, kind: str, again: bool
) -> None:
    box, action = post()
    box.answers[command] = answer
    fault = refused(action)
    assert (fault.kind, fault.retryable) == (kind, again)
    assert box.mails == []


def test_a_connection_that_breaks_after_the_text_leaves_it_open(post: Callable[..., Any]) -> None:
    box, action = post()
    box.drop = True
    fault = refused(action)
    assert (fault.kind, fault.retryable) == ("ambiguous", False)


def test_no_server_is_a_failure_to_try_again() -> None:
    fault = refused(action(smtp_port=1))
    assert (fault.kind, fault.retryable) == ("connection_error", True)


def test_starttls_is_demanded_and_the_server_verified(post: Callable[..., Any], pki: Path) -> None:
    box, action = post(tls_context=context(pki), require_starttls=True)
    delivered(action | {"starttls": True, "ca_file": str(pki / "ca.pem")})
    assert len(box.mails) == 1
    assert refused(action | {"starttls": True}).kind == "tls"
    delivered(action | {"starttls": True, "tls_insecure": True})


def test_a_server_without_starttls_gets_nothing(post: Callable[..., Any]) -> None:
    box, action = post()
    assert refused(action | {"starttls": True}).kind == "tls"
    assert box.mails == []


def test_tls_from_the_start_with_a_login(post: Callable[..., Any], pki: Path) -> None:
    box, action = post(ssl_context=context(pki), auth_require_tls=False)
    secured = action | {"tls": True, "ca_file": str(pki / "ca.pem"), "username": "me"}
    delivered(secured | {"password": "hush"})
    assert len(box.mails) == 1
    fault = refused(secured | {"password": "wrong"})
    assert (fault.kind, fault.retryable) == ("auth_error", False)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"username": "me", "password": "hush"}, "clear text"),
        ({"username": "me"}, "go together"),
        ({"tls": True, "starttls": True}, "from the start already"),
        ({"tls_insecure": True}, "TLS is not spoken"),
        ({"starttls": True, "ca_file": "/nowhere.pem"}, "cannot use the authorities"),
        ({"subject": "{{.patient.mnr}}"}, "unknown field"),
        ({"content_type": "text/html\r\nBcc: x"}, "must match"),
    ],
)
def test_what_is_wrong_is_told_at_load(change: dict[str, Any], text: str) -> None:
    assert text in faults(action(**change))


def test_without_its_extra_the_action_is_refused_at_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fifhir.sinks.email.find_spec", lambda name: None)
    assert "pip install 'fifhir[email]'" in faults(action())
