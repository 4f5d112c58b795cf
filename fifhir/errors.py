"""Every error that crosses a floor, named for who must act on it.

No message text here or anywhere below may hold a field's value: what a sender wrote is patient
data. Texts are fixed; places are given in HL7 notation (PID-3.1) or as file:line:column.
"""

from dataclasses import dataclass


class FifhirError(Exception):
    """The root of all errors this package raises on purpose."""


class MessageError(FifhirError):
    """The sender must mend the message; sending it again unchanged fails again.

    `reason` is a stable machine word, `location` the place in HL7 notation, and `code` the
    condition of HL7 table 0357 that an acknowledgment carries (ERR-3).
    """

    def __init__(self, reason: str, text: str, *, location: str = "MSH", code: str = "100") -> None:
        super().__init__(text)
        self.reason = reason
        self.location = location
        self.code = code


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with a configuration: `place` is file:line:column or a dotted key.

    `code` is the stable name of this kind of mistake (docs/workflows.md).
    """

    place: str
    text: str
    code: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class ConfigError(FifhirError):
    """The operator must mend a configuration; every finding is told at once."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings))
        self.findings = findings


class StoreError(FifhirError):
    """The operator must see to the database; until then nothing that needs it is promised.

    `kind` is one of `KINDS`.
    """

    KINDS = (
        *("unavailable", "read_only", "full", "slow", "overload"),
        *("undurable", "schema", "corrupt", "sealed"),
    )

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class DeliveryError(FifhirError):
    """A destination did not confirm. The text is fixed, with a status number at most.

    `kind` is one of `KINDS`, `retryable` whether the same again may go well, `retry_after` the
    seconds the destination asked for.
    """

    KINDS = (
        *("circuit_open", "rate_limited", "timeout", "connection_error", "tls", "auth_error"),
        *("server_error", "client_error", "ambiguous", "template", "transform", "poison"),
        "unreadable",
        *("unknown",),
    )

    def __init__(
        self, kind: str, text: str, *, retryable: bool = False, retry_after: float | None = None
    ) -> None:
        super().__init__(text)
        self.kind = kind
        self.retryable = retryable
        self.retry_after = retry_after


class CelError(FifhirError):
    """The author of a condition must mend it; `column` counts from 1 within its text."""

    def __init__(self, column: int, text: str) -> None:
        super().__init__(text)
        self.column = column


class CelFault(FifhirError):
    """A condition has no result for this event: a field is missing, or of another type."""


class TemplateError(FifhirError):
    """The author of a template must mend it; `column` counts from 1 within its text."""

    def __init__(self, column: int, text: str) -> None:
        super().__init__(text)
        self.column = column


class TemplateFault(FifhirError):
    """A template cannot be rendered for this event; the action that needs it fails."""


class TransformFault(FifhirError):
    """An event cannot be changed as the route wants it; the route's actions fail."""
