"""One action, read as a workflow file is, and parcels delivered by it."""

import asyncio
import json
from typing import Any

import pytest

from fifhir.errors import ConfigError, DeliveryError
from fifhir.parcel import Parcel, Sink
from fifhir.sinks import make
from fifhir.sinks.http import Web
from fifhir.workflow.config import load
from fifhir.written import Written

EVENT = {
    "type": "patient_admit",
    "id": "e-1",
    "source": "north",
    "patient": {"mrn": "007", "birth_date": "1970-01-02", "phones": [{"value": "a"}]},
    "encounter": {"class": "I"},
}


def parcel(event: dict[str, Any] = EVENT) -> Parcel:
    written = Written(event["type"], event["id"], event["source"], json.dumps(event).encode())
    return Parcel(written, b"MSH|raw", "route", "action", 0)


def silent(level: str, message: str, /, **fields: object) -> None:
    """A log that nobody reads."""


def sink(action: dict[str, Any], web: Web | None = None) -> Sink:
    """Make the sink of an action, read as a workflow file is."""
    text = json.dumps({"name": "w", "routes": [{"name": "r", "actions": [action]}]})
    config = load(text, "w").routes[0].actions[0]
    return make(config, "r", silent, web or Web(silent))


def faults(action: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        sink(action)
    return "\n".join(finding.text for finding in caught.value.findings)


def delivered(action: dict[str, Any], *parcels: Parcel) -> None:
    """Deliver the parcels one after another through one sink; DeliveryError as it comes."""

    async def go() -> None:
        web = Web(silent)
        made = sink(action, web)
        try:
            for each in parcels or (parcel(),):
                await asyncio.wait_for(made.deliver(each), 30)
        finally:
            await made.close()
            await web.close()
            await asyncio.sleep(0.02)  # what was hung up is gone some turns of the loop later

    asyncio.run(go())


def refused(action: dict[str, Any], *parcels: Parcel) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        delivered(action, *parcels)
    assert "007" not in str(caught.value)
    return caught.value
