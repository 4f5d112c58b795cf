"""The `email` action: one mail, taken by an SMTP server for every recipient or for none."""

import re
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate, getaddresses
from importlib.util import find_spec
from typing import Annotated

from msgspec import Meta, field

from fifhir import template
from fifhir.errors import DeliveryError, TemplateFault
from fifhir.parcel import Parcel
from fifhir.resilience import Resilience
from fifhir.schema import Faults
from fifhir.secret import NONE, Secret
from fifhir.tls import CaFile, CertFile, Insecure, KeyFile, Trust

RECIPIENTS = 100
TLS_PORT = 465  # RFC 8314, 3.3
_ADDRESS = re.compile(r"[^\s@<>,;\x80-\U0010ffff]+@[A-Za-z0-9.-]+")
_POLICY = SMTP.clone(cte_type="7bit")  # for servers without 8BITMIME
_TEXT = r"^text/[a-z]+(; ?charset=[A-Za-z0-9-]+)?$"


class EmailConfig(
    Resilience, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="email"
):
    """Send a mail; the SMTP server's 250 for the text confirms it.

    All recipients get it or none. What the server refuses with 4xx is tried again. If the
    connection breaks after the text was sent, nobody knows whether the mail is on its way, and it
    becomes a dead letter at once. Mind that a mail leaves the house, and that its subject can be
    read on the way and on a locked screen: both hold what you put into them.
    """

    smtp_host: Annotated[str, Meta(min_length=1, max_length=255, description="The SMTP server.")]
    smtp_port: Annotated[
        int, Meta(ge=1, le=65535, description="Its port; 465 speaks TLS from the start.")
    ]
    sender: Annotated[
        str,
        Meta(
            max_length=320,
            description="Who it is from; may have templates.",
            extra={"template": "address"},
        ),
    ] = field(name="from")
    to: Annotated[
        str,
        Meta(
            max_length=8192,
            description="Who gets it, with commas; may have templates, each for one address.",
            extra={"template": "address"},
        ),
    ]
    subject: Annotated[
        str,
        Meta(
            max_length=998,
            description="The subject; may have templates.",
            extra={"template": "header"},
        ),
    ]
    body: Annotated[
        str,
        Meta(
            max_length=65_536,
            description="The text; may have templates.",
            extra={"template": "none"},
        ),
    ] = ""
    content_type: Annotated[
        str, Meta(pattern=_TEXT, description="What the text is; values are not escaped for HTML.")
    ] = "text/plain; charset=utf-8"
    starttls: Annotated[
        bool, Meta(description="Whether TLS is demanded after the greeting (STARTTLS).")
    ] = False
    tls: Annotated[
        bool, Meta(description="Whether TLS is spoken from the start, as it is at port 465.")
    ] = False
    tls_insecure: Insecure = False
    ca_file: CaFile = ""
    cert_file: CertFile = ""
    key_file: KeyFile = ""
    username: Annotated[str, Meta(max_length=256, description="Login, if one is needed.")] = ""
    password: Annotated[Secret, Meta(description="Its password.")] = NONE

    def faults(self) -> Faults:
        yield from super().faults()
        if find_spec("aiosmtplib") is None:
            yield ("type",), "email needs an extra: pip install 'fifhir[email]'"
        if self.tls and self.starttls:
            yield ("starttls",), "TLS is spoken from the start already"
        if self.password and not self.secured:
            yield ("password",), "would be sent in clear text; set starttls, or tls"
        if bool(self.username) != bool(self.password):
            yield ("username",), "username and password go together"
        yield from self.trust().faults(spoken=self.secured, switch="starttls")

    @property
    def at_once(self) -> bool:
        """Whether the first byte is TLS."""
        return self.tls or self.smtp_port == TLS_PORT

    @property
    def secured(self) -> bool:
        return self.at_once or self.starttls

    def trust(self) -> Trust:
        return Trust(self.ca_file, self.cert_file, self.key_file, self.tls_insecure)


class EmailSink:
    """Carries out one `email` action of one route."""

    idempotent = False  # a reader would get it twice, whatever its Message-ID says

    def __init__(self, config: EmailConfig) -> None:
        from fifhir.sinks import smtp  # noqa: PLC0415 - what it needs is an extra

        self.destination = f"smtp://{config.smtp_host}:{config.smtp_port}"
        self._server = smtp.Server(
            config.smtp_host,
            config.smtp_port,
            config.timeout,
            username=config.username,
            password=config.password,
            context=config.trust().context() if config.secured else None,
            at_once=config.at_once,
        )
        self._content_type = config.content_type
        self._sender = template.compile(config.sender, "address")
        self._to = template.compile(config.to, "address")
        self._subject = template.compile(config.subject, "header")
        self._body = template.compile(config.body, "none")

    async def deliver(self, parcel: Parcel) -> None:
        """The server has taken the mail for every recipient."""
        message = self._message(parcel)
        sender, recipients = _addresses(message["From"]), _addresses(message["To"])
        await self._server.take(sender[0], recipients, message.as_bytes())

    async def close(self) -> None:
        """Every mail has its own connection."""

    def _message(self, parcel: Parcel) -> EmailMessage:
        document = parcel.written.document
        message = EmailMessage(policy=_POLICY)
        kind, _, parameter = self._content_type.partition(";")
        charset = parameter.partition("=")[2] or "utf-8"
        try:
            message["From"] = self._sender.render(document)
            message["To"] = self._to.render(document)
            message["Subject"] = self._subject.render(document)
            message.set_content(
                self._body.render(document), subtype=kind.partition("/")[2], charset=charset
            )
        except (TemplateFault, ValueError, LookupError) as fault:
            text = "email: a header or the text cannot be filled in"
            raise DeliveryError("template", text) from fault
        _check(message)
        host = _addresses(message["From"])[0].rpartition("@")[2]
        message["Date"] = formatdate()
        message["Message-ID"] = f"<{parcel.key}@{host}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday note answers it
        return message


def _addresses(header: str) -> list[str]:
    return [address for _, address in getaddresses([header])]


def _check(message: EmailMessage) -> None:
    """One sender and some recipients, each by an address that SMTP can say."""
    senders, recipients = _addresses(message["From"]), _addresses(message["To"])
    if len(senders) != 1 or not 0 < len(recipients) <= RECIPIENTS:
        text = f"email: expected one sender and 1 to {RECIPIENTS} recipients"
        raise DeliveryError("template", text)
    if not all(map(_ADDRESS.fullmatch, senders + recipients)):
        raise DeliveryError("template", "email: what is filled in is no address")
