"""Who is insured, what an insurer certified, and accidents."""

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import Address, ContactPoint, Provider, Text


class Insured(Struct, frozen=True, gc=False, omit_defaults=True):
    """What more is known of the insured person (IN2)."""

    employee_ids: Text = ""
    ssn: Text = ""
    employer_name: Text = ""
    employer_status: Text = ""
    medicare_number: Text = ""
    medicaid_case_name: Text = ""
    medicaid_case_number: Text = ""
    military_sponsor: Text = ""
    military_id: Text = ""
    military_organization: Text = ""
    military_station: Text = ""
    military_service: Text = ""
    military_rank: Text = ""
    military_status: Text = ""
    military_retire_date: Text = ""
    payor_id: Text = ""
    payor_subscriber_id: Text = ""
    eligibility_source: Text = ""
    language: Text = ""
    living_arrangement: Text = ""
    publicity: Text = ""
    protection: Text = ""
    student: Text = ""
    religion: Text = ""
    mothers_maiden_name: Text = ""
    nationality: Text = ""
    ethnic_group: Text = ""
    marital_status: Text = ""
    hire_date: Text = ""
    job_title: Text = ""
    job_status: Text = ""
    phones: tuple[ContactPoint, ...] = ()
    work_phones: tuple[ContactPoint, ...] = ()
    relationship_to_patient: Text = ""
    race: Text = ""
    id: Text = ""


class Certification(Struct, frozen=True, gc=False, omit_defaults=True):
    """The leave an insurer gave (IN3)."""

    set_id: Text = ""
    number: Text = ""
    certified_by: Provider | UnsetType = UNSET
    required: Text = ""
    certified_at: Text = ""
    modified_at: Text = ""
    operator: Provider | UnsetType = UNSET
    begin: Text = ""
    end: Text = ""
    days: Text = ""
    non_concurrence: Text = ""
    non_concurrence_at: Text = ""
    physician_reviewer: Provider | UnsetType = UNSET
    contact: Text = ""
    contact_phone: Text = ""
    appeal_reason: Text = ""
    agency: Text = ""
    agency_phone: Text = ""
    case_manager: Text = ""
    second_opinion_date: Text = ""
    second_opinion_status: Text = ""
    second_opinion_physician: Provider | UnsetType = UNSET
    type: Text = ""
    category: Text = ""


class Accident(Struct, frozen=True, gc=False, omit_defaults=True):
    """An accident that the visit goes back to (ACC)."""

    occurred_at: Text = ""
    code: Text = ""
    location: Text = ""
    auto_state: Text = ""
    job_related: Text = ""
    death: Text = ""
    entered_by: Provider | UnsetType = UNSET
    description: Text = ""
    brought_in_by: Text = ""
    police_notified: Text = ""
    address: Address | UnsetType = UNSET
