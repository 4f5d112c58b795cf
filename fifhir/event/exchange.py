"""What systems ask and answer each other: acknowledgments, queries, responses."""

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.answer import Acknowledged, ReportedError
from fifhir.event.datatypes import CodeableConcept, Number, Provider, Text
from fifhir.event.immunization import Vaccination
from fifhir.event.meta import Meta
from fifhir.event.patient import Patient, Visit


class Acknowledgment(Meta, frozen=True, gc=False, omit_defaults=True, tag="acknowledgment"):
    """ACK, MCF: a system answered that it took a message, or why it did not."""

    acknowledged: Acknowledged | UnsetType = UNSET
    errors: tuple[ReportedError, ...] = ()


class Query(Struct, frozen=True, gc=False, omit_defaults=True):
    """What was asked for (QPD and RCP; QRD and QRF before v2.4; HL7 v2.9 chapter 5)."""

    name: CodeableConcept | UnsetType = UNSET
    tag: Text = ""
    parameters: Text = ""
    subjects: tuple[Provider, ...] = ()
    departments: tuple[CodeableConcept, ...] = ()
    asked_at: Text = ""
    priority: Text = ""
    limit: Text = ""
    start: Text = ""
    end: Text = ""


class QueryRequest(Visit, frozen=True, gc=False, omit_defaults=True, tag="query"):
    """QBP, QRY, QSB, VXQ, RQI, RQC, RQP and their like: somebody asks for what is known."""

    query: Query | UnsetType = UNSET


class QueryResponse(Meta, frozen=True, gc=False, omit_defaults=True, tag="query_response"):
    """RSP, RTB, ORF, ADR, VXX, VXR and their like: what was known, in the order sent."""

    acknowledged: Acknowledged | UnsetType = UNSET
    status: Text = ""
    hits: Number | UnsetType = UNSET
    query: Query | UnsetType = UNSET
    errors: tuple[ReportedError, ...] = ()
    patients: tuple[Patient, ...] = ()
    immunizations: tuple[Vaccination, ...] = ()


ExchangeEvent: TypeAlias = Acknowledgment | QueryRequest | QueryResponse
