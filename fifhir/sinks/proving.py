"""Whether a FHIR server does what the action `fhir` relies on, tried with two Organizations.

They are inactive. Written twice, they have to be there once; one names the other by `urn:uuid:`
as in every bundle; and they are removed again. Of what the server says only statuses are told.
"""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from fifhir.errors import DeliveryError
from fifhir.fhir import answer
from fifhir.fhir.bundle import OWN
from fifhir.fhir.vocabulary import Json
from fifhir.sinks import http
from fifhir.sinks.fhir import STRATEGIES, FhirConfig, headers
from fifhir.sinks.http import Answer, Web

FOUND_WITHIN = 15.0  # seconds; a search may be behind a write
_PAUSE = 0.5
_LOCATION = re.compile(r"(?:.*/)?(Organization/[A-Za-z0-9.-]{1,64})(?:/_history/.*)?")
_RELEASE = re.compile(r"4\.0\.\d{1,3}")
_FIRST, _SECOND = "fi-fhir check, first", "fi-fhir check, second"
_PROMISES = {
    "create": ("what is there stays (If-None-Exist)", _FIRST),
    "update": ("what is there is replaced where its identifier is found", _SECOND),
    "upsert": ("what is there is replaced under the id we chose", _SECOND),
}


class Step(Struct, frozen=True):
    """One thing that was tried, whether it went well, and what was seen."""

    asked: str
    well: bool
    seen: str = ""


class _Failed(Exception):
    """What was seen instead."""


async def prove(config: FhirConfig, web: Web) -> AsyncIterator[Step]:
    """Every step until one fails; whatever was written is removed in the end."""
    trial = _Trial(config, web)
    steps = (
        ("it answers as FHIR R4", trial.metadata),
        ("a transaction is carried out", trial.write),
        ("the same again writes nothing new", trial.repeat),
        (_PROMISES[config.operation][0], trial.kept),
        ("urn:uuid references lead to what was written", trial.led),
    )
    for asked, step in steps:
        made = await _tried(asked, step)
        yield made
        if not made.well:
            break
    if trial.written:
        yield await _tried("what was written is removed", trial.remove)


async def _tried(asked: str, step: Any) -> Step:
    try:
        return Step(asked, True, await step())
    except (_Failed, DeliveryError) as fault:
        return Step(asked, False, str(fault))


class _Trial:
    """Two Organizations, a parent and its part, with identifiers that nobody else has."""

    def __init__(self, config: FhirConfig, web: Web) -> None:
        self.written: list[str] = []
        self._config = config
        self._web = web
        self._url = config.endpoint.rstrip("/")
        self._numbers = (str(uuid.uuid4()), str(uuid.uuid4()))

    async def metadata(self) -> str:
        found = await self._ask("GET", "/metadata")
        stated = answer.document(found.body)
        version = str(stated.get("fhirVersion"))
        if stated.get("resourceType") != "CapabilityStatement":
            raise _Failed(f"{found.status}, and no CapabilityStatement")
        if not _RELEASE.fullmatch(version):
            raise _Failed("its CapabilityStatement speaks of another release than 4.0")
        return version

    async def write(self) -> str:
        # Some servers answer 200 where an id is put that they did not know.
        put = STRATEGIES[self._config.operation] == "put"
        return await self._send(_FIRST, {"200", "201"} if put else {"201"})

    async def repeat(self) -> str:
        before = self.written.copy()
        said = await self._send(_SECOND, {"200"})
        if self.written != before:
            raise _Failed("it was written a second time; the server ignores the condition")
        for number in self._numbers:
            await self._found_once(number)
        return f"{said}, found once each"

    async def kept(self) -> str:
        if len(self.written) != len(self._numbers):
            raise _Failed("the server does not say where it is (Bundle.entry.response.location)")
        wanted = _PROMISES[self._config.operation][1]
        if (await self._read(self.written[0])).get("name") != wanted:
            raise _Failed("it was not")
        return ""

    async def led(self) -> str:
        part = await self._read(self.written[1])
        reference = part.get("partOf")
        named = reference.get("reference") if isinstance(reference, dict) else None
        if named != self.written[0] and not str(named).endswith(f"/{self.written[0]}"):
            raise _Failed("the reference was left as it was sent")
        return ""

    async def remove(self) -> str:
        left = [
            each
            for each in reversed(self.written)
            if (await self._ask("DELETE", f"/{each}")).status not in {200, 202, 204, 404, 410}
        ]
        if left:
            raise _Failed(f"remove by hand: {', '.join(left)}")
        return ""

    async def _send(self, name: str, wanted: set[str]) -> str:
        """The transaction; every entry has a status that is wanted."""
        bundle = self._bundle(name)
        found = await self._ask("POST", "", msgspec.json.encode(bundle))
        if refusal := http.refused(found, frozenset()):
            raise _Failed(f"{refusal}{answer.refused(found.status, found.body, bundle)}")
        self._note(found)
        answer.confirm(found.body, bundle)
        entries = answer.document(found.body)["entry"]
        statuses = [str(each["response"]["status"])[:3] for each in entries]
        if not wanted.issuperset(statuses):
            raise _Failed(f"entries answered {', '.join(statuses)}, not {max(wanted)}")
        return ", ".join(statuses)

    def _note(self, found: Answer) -> None:
        """Where things are: to compare, and to remove them whatever comes."""
        entries = answer.document(found.body).get("entry")
        for each in entries if isinstance(entries, list) else ():
            response = each.get("response") if isinstance(each, dict) else None
            location = response.get("location") if isinstance(response, dict) else None
            place = _LOCATION.fullmatch(str(location))
            if place and place[1] not in self.written:
                self.written.append(place[1])

    def _bundle(self, name: str) -> Json:
        entries = [self._entry(number, name) for number in self._numbers]
        parent, part = entries
        part["resource"]["partOf"] = {"reference": parent["fullUrl"]}
        return {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    def _entry(self, number: str, name: str) -> Json:
        strategy, match = STRATEGIES[self._config.operation], f"identifier={OWN}|{number}"
        resource: Json = {
            "resourceType": "Organization",
            "identifier": [{"system": OWN, "value": number}],
            "active": False,
            "name": name,
        }
        request = {"method": "PUT", "url": f"Organization?{match}"}
        if strategy == "put":
            resource["id"], request["url"] = number, f"Organization/{number}"
        if strategy == "conditional_create":
            request = {"method": "POST", "url": "Organization", "ifNoneExist": match}
        return {"fullUrl": f"urn:uuid:{number}", "resource": resource, "request": request}

    async def _found_once(self, number: str) -> None:
        loop = asyncio.get_running_loop()
        end, count = loop.time() + FOUND_WITHIN, 0
        while count != 1 and loop.time() < end:
            wanted = quote(f"{OWN}|{number}", safe="")
            found = await self._ask("GET", f"/Organization?identifier={wanted}")
            entries = answer.document(found.body).get("entry")
            count = len(entries) if isinstance(entries, list) else 0
            if count > 1:
                break
            await asyncio.sleep(_PAUSE * (count == 0))
        if count != 1:
            raise _Failed(f"a search finds it {count} times")

    async def _read(self, place: str) -> Json:
        found = await self._ask("GET", f"/{place}")
        if found.status != 200:
            raise _Failed(f"what was written is answered with {found.status}")
        return answer.document(found.body)

    async def _ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        try:
            async with asyncio.timeout(self._config.timeout):
                return await self._web.call_as(
                    *(self._config, method, f"{self._url}{path}", body, headers(self._config)),
                    keep=http.KEPT,
                )
        except TimeoutError:
            raise _Failed(f"no answer within {self._config.timeout:g} s") from None
