"""Documents: their making, their changes, their content (MDM)."""

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import CodeableConcept, Provider, Text
from fifhir.event.orders import OrderRequest
from fifhir.event.patient import Visit


class DocumentPart(Struct, frozen=True, gc=False, omit_defaults=True):
    """A piece of a document (OBX); `content` is as sent, an encoded one is not decoded."""

    set_id: Text = ""
    code: CodeableConcept | UnsetType = UNSET
    sub_id: Text = ""
    value_type: Text = ""
    content_type: Text = ""
    content_encoding: Text = ""
    content: Text = ""
    status: Text = ""
    observation_time: Text = ""
    notes: tuple[Text, ...] = ()


class DocumentNotice(Visit, frozen=True, gc=False, omit_defaults=True):
    """A document and its author: the body all document events share (TXA; HL7 v2.9 9.7.1)."""

    document_type: Text = ""
    document_type_code: CodeableConcept | UnsetType = UNSET
    title: Text = ""
    file_name: Text = ""
    author: Provider | UnsetType = UNSET
    originators: tuple[Provider, ...] = ()
    primary_providers: tuple[Provider, ...] = ()
    assigned_authenticators: tuple[Provider, ...] = ()
    transcriptionists: tuple[Provider, ...] = ()
    authenticators: tuple[Provider, ...] = ()
    unique_document_number: Text = ""
    parent_document_number: Text = ""
    placer_order_number: Text = ""
    filler_order_number: Text = ""
    document_status: Text = ""
    document_completion_status: Text = ""
    confidentiality_status: Text = ""
    availability_status: Text = ""
    storage_status: Text = ""
    change_reason: Text = ""
    activity_datetime: Text = ""
    origination_datetime: Text = ""
    transcription_datetime: Text = ""
    edit_datetime: Text = ""
    authentication_datetime: Text = ""
    distributed_copies: tuple[Provider, ...] = ()
    folders: tuple[CodeableConcept, ...] = ()
    presentation: Text = ""
    content_type: Text = ""
    content_encoding: Text = ""
    content: Text = ""
    parts: tuple[DocumentPart, ...] = ()
    orders: tuple[OrderRequest, ...] = ()


class DocumentOriginal(
    DocumentNotice, frozen=True, gc=False, omit_defaults=True, tag="document_original"
):
    """MDM^T01, T02: a document came into being."""


class DocumentStatusChange(
    DocumentNotice, frozen=True, gc=False, omit_defaults=True, tag="document_status_change"
):
    """MDM^T03, T04: the status of a document changed."""


class DocumentAddendum(
    DocumentNotice, frozen=True, gc=False, omit_defaults=True, tag="document_addendum"
):
    """MDM^T05, T06: a document was added to; `parent_document_number` names the one before."""


class DocumentEdit(DocumentNotice, frozen=True, gc=False, omit_defaults=True, tag="document_edit"):
    """MDM^T07, T08: a document was edited that had not been made available yet."""


class DocumentReplacement(
    DocumentNotice, frozen=True, gc=False, omit_defaults=True, tag="document_replacement"
):
    """MDM^T09, T10: a document takes the place of another, `parent_document_number`."""


class DocumentCancelled(
    DocumentNotice, frozen=True, gc=False, omit_defaults=True, tag="document_cancelled"
):
    """MDM^T11: a document was taken back."""


DocumentEvent: TypeAlias = (
    DocumentOriginal
    | DocumentStatusChange
    | DocumentAddendum
    | DocumentEdit
    | DocumentReplacement
    | DocumentCancelled
)
