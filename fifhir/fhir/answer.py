"""What a FHIR server says became of a bundle, entry by entry; nothing of it is ever repeated.

Of an answer only numbers and the codes of issues are told: its texts may quote the patient.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from fifhir.errors import DeliveryError
from fifhir.fhir.vocabulary import Json

_CODE = re.compile(r"[a-z-]{1,40}")  # of an issue (IssueType)
_ENTRY = re.compile(r"Bundle\.entry\[(\d{1,5})\]")
_STATUS = re.compile(r"([1-5]\d\d)(?!\d)")
_TOLD = 5  # entries, and codes of one outcome
_MEANS = {
    404: "it is not there",
    409: "something else is being done with it",
    410: "it was deleted",
    412: "the condition matches several resources of the server",
    422: "the server's rules refuse it",
}
_AGAIN = frozenset({409, 429, 500, 502, 503, 504})
"""Statuses of which the same bundle may be rid the next time."""


class Entry(Struct, frozen=True):
    """An entry that was not carried out; `number` counts from 0, as `Bundle.entry[0]` does."""

    number: int
    kind: str
    status: int
    codes: tuple[str, ...] = ()

    def __str__(self) -> str:
        why = ", ".join(filter(None, (_MEANS.get(self.status, ""), *self.codes)))
        return f"entry {self.number} ({self.kind}) {self.status}{f': {why}' if why else ''}"


def document(body: bytes) -> Json:
    """The JSON object that an answer is; empty if it is none."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def confirm(body: bytes, sent: Json) -> None:
    """Every entry of the bundle was carried out; DeliveryError tells those that were not.

    A 200 may hold failures, or be a proxy's page: only a response of the bundle's own kind, with
    a status for each of its entries, is a confirmation.
    """
    answer, wanted = document(body), f"{sent['type']}-response"
    if answer.get("resourceType") != "Bundle" or answer.get("type") != wanted:
        raise DeliveryError("ambiguous", f"the answer is no {wanted}", retryable=True)
    entries = answer.get("entry")
    answered = entries if isinstance(entries, list) else []
    if len(answered) != len(sent["entry"]):
        text = f"{len(sent['entry'])} entries were sent and {len(answered)} answered"
        raise DeliveryError("ambiguous", text, retryable=True)
    if undone := list(_undone(answered, sent["entry"])):
        raise _error(undone, len(answered))


def _undone(answered: list[Any], sent: list[Json]) -> Iterator[Entry]:
    for number, (each, asked) in enumerate(zip(answered, sent, strict=True)):
        response = each.get("response") if isinstance(each, dict) else None
        response = response if isinstance(response, dict) else {}
        status = _STATUS.match(str(response.get("status")))
        if not status or status[1][0] != "2":
            codes = _codes(response.get("outcome"))
            yield Entry(number, _kind(asked), int(status[1]) if status else 0, codes)


def _error(undone: list[Entry], count: int) -> DeliveryError:
    told = "; ".join(map(str, undone[:_TOLD]))
    text = f"{len(undone)} of {count} entries were not carried out: {told}"
    kind = "server_error" if any(each.status >= 500 for each in undone) else "client_error"
    return DeliveryError(kind, text, retryable=all(each.status in _AGAIN for each in undone))


def refused(status: int, body: bytes, sent: Json) -> str:
    """What a refusal of the whole bundle says: the status, the issues' codes, the entries meant."""
    outcome = document(body)
    codes, means, entries = _codes(outcome), _MEANS.get(status, ""), sent["entry"]
    numbers = sorted({each for each in _numbers(outcome) if each < len(entries)})
    meant = [f"entry {each} ({_kind(entries[each])})" for each in numbers[:_TOLD]]
    return "".join(
        f"{before}{text}{behind}"
        for before, text, behind in (
            (": ", means, ""),
            (" (", ", ".join(codes), ")"),
            ("; ", ", ".join(meant), ""),
        )
        if text
    )


def _numbers(outcome: Json) -> Iterator[int]:
    for issue in _issues(outcome):
        for key in ("expression", "location"):
            places = issue.get(key)
            for place in places if isinstance(places, list) else ():
                if found := _ENTRY.match(str(place)):
                    yield int(found[1])


def _codes(outcome: Any) -> tuple[str, ...]:
    told = (str(each.get("code")) for each in _issues(outcome))
    return tuple(dict.fromkeys(code for code in told if _CODE.fullmatch(code)))[:_TOLD]


def _issues(outcome: Any) -> list[Json]:
    listed = outcome.get("issue") if isinstance(outcome, dict) else None
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _kind(entry: Json) -> str:
    return str(entry["resource"]["resourceType"])
