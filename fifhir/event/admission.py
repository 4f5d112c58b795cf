"""Visits and persons: admissions, transfers, discharges, merges and their like (ADT)."""

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.clinical import Allergy, Diagnosis, Guarantor, Insurance, Procedure
from fifhir.event.coverage import Accident
from fifhir.event.datatypes import Identifier, Location, Provider, Text
from fifhir.event.meta import Meta
from fifhir.event.observation import Observation
from fifhir.event.patient import Encounter, Patient, Visit
from fifhir.event.relation import RelatedPerson, Role


class Occurrence(Struct, frozen=True, gc=False, omit_defaults=True):
    """What happened, when, and who recorded it (EVN)."""

    recorded_at: Text = ""
    planned_at: Text = ""
    occurred_at: Text = ""
    reason: Text = ""
    operator: Provider | UnsetType = UNSET
    facility: Text = ""


class Prior(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a merge puts an end to (MRG): a patient's, account's or visit's former identifiers."""

    mrn: Text
    identifiers: tuple[Identifier, ...] = ()
    account_number: Text = ""
    visit_number: Text = ""
    family_name: Text = ""
    given_name: Text = ""
    alternate_ids: tuple[Identifier, ...] = ()
    external_id: Identifier | UnsetType = UNSET
    alternate_visit_ids: tuple[Identifier, ...] = ()


class Move(Struct, frozen=True, gc=False, omit_defaults=True):
    """One of several things a message merges or moves: what it was, and the visit it is now."""

    prior: Prior | UnsetType = UNSET
    encounter: Encounter | UnsetType = UNSET


class Subject(Struct, frozen=True, gc=False, omit_defaults=True):
    """One of several patients a message is about, with what is that patient's own."""

    patient: Patient | UnsetType = UNSET
    encounter: Encounter | UnsetType = UNSET
    prior: Prior | UnsetType = UNSET
    moves: tuple[Move, ...] = ()
    next_of_kin: tuple[RelatedPerson, ...] = ()
    roles: tuple[Role, ...] = ()
    vital_signs: tuple[Observation, ...] = ()
    observations: tuple[Observation, ...] = ()
    allergies: tuple[Allergy, ...] = ()
    conditions: tuple[Diagnosis, ...] = ()
    procedures: tuple[Procedure, ...] = ()
    insurance_info: tuple[Insurance, ...] = ()
    guarantors: tuple[Guarantor, ...] = ()
    accident: Accident | UnsetType = UNSET


class Registration(Visit, frozen=True, gc=False, omit_defaults=True):
    """What registration (ADT) tells of a patient and a visit.

    A message about several patients has `patients` and, lest they be taken for one another's,
    none of the other keys of its body. `vital_signs` are those of the `observations`.
    """

    occurrence: Occurrence | UnsetType = UNSET
    next_of_kin: tuple[RelatedPerson, ...] = ()
    roles: tuple[Role, ...] = ()
    vital_signs: tuple[Observation, ...] = ()
    observations: tuple[Observation, ...] = ()
    allergies: tuple[Allergy, ...] = ()
    conditions: tuple[Diagnosis, ...] = ()
    procedures: tuple[Procedure, ...] = ()
    insurance_info: tuple[Insurance, ...] = ()
    guarantors: tuple[Guarantor, ...] = ()
    accident: Accident | UnsetType = UNSET
    patients: tuple[Subject, ...] = ()


class Change(Registration, frozen=True, gc=False, omit_defaults=True):
    """Something that had other identifiers before; `moves` are all, `prior` is the first's."""

    prior: Prior | UnsetType = UNSET
    moves: tuple[Move, ...] = ()


class PatientAdmit(Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_admit"):
    """ADT^A01, A04: a patient was admitted or registered."""


class PatientPreadmit(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_preadmit"
):
    """ADT^A05: a patient is to come; what is known is sent ahead."""


class PatientAdmitPending(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_admit_pending"
):
    """ADT^A14: an admission is planned."""


class PatientTransfer(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_transfer"
):
    """ADT^A02: a patient moved."""


class PatientTransferPending(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_transfer_pending"
):
    """ADT^A15: a move is planned."""


class PatientDischarge(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_discharge"
):
    """ADT^A03: a visit ended."""


class PatientDischargePending(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_discharge_pending"
):
    """ADT^A16: the end of a visit is planned."""


class PatientClassChange(
    Change, frozen=True, gc=False, omit_defaults=True, tag="patient_class_change"
):
    """ADT^A06, A07: an outpatient became an inpatient, or the reverse."""


class PatientDeparture(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_departure"
):
    """ADT^A09: a patient left a place, for another that is not yet reached."""


class PatientArrival(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_arrival"
):
    """ADT^A10: a patient arrived at a place."""


class PatientLeave(Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_leave"):
    """ADT^A21: a patient went on leave of absence."""


class PatientReturn(Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_return"):
    """ADT^A22: a patient came back from leave of absence."""


class PatientUpdate(Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_update"):
    """ADT^A08: what is known about a patient or a visit changed."""


class PatientAdmitCancelled(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_admit_cancelled"
):
    """ADT^A11: an admission or registration was taken back."""


class PatientPreadmitCancelled(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_preadmit_cancelled"
):
    """ADT^A38: a pre-admission was taken back."""


class PatientAdmitPendingCancelled(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_admit_pending_cancelled"
):
    """ADT^A27: a planned admission was taken back."""


class PatientTransferCancelled(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_transfer_cancelled"
):
    """ADT^A12: a move was taken back."""


class PatientTransferPendingCancelled(
    Registration,
    frozen=True,
    gc=False,
    omit_defaults=True,
    tag="patient_transfer_pending_cancelled",
):
    """ADT^A26: a planned move was taken back."""


class PatientDischargeCancelled(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_discharge_cancelled"
):
    """ADT^A13: the end of a visit was taken back."""


class PatientDischargePendingCancelled(
    Registration,
    frozen=True,
    gc=False,
    omit_defaults=True,
    tag="patient_discharge_pending_cancelled",
):
    """ADT^A25: the planned end of a visit was taken back."""


class PatientArrivalCancelled(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_arrival_cancelled"
):
    """ADT^A32: an arrival was taken back."""


class PatientDepartureCancelled(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_departure_cancelled"
):
    """ADT^A33: a departure was taken back."""


class PatientLeaveCancelled(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_leave_cancelled"
):
    """ADT^A52: a leave of absence was taken back."""


class PatientReturnCancelled(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_return_cancelled"
):
    """ADT^A53: the return from a leave of absence was taken back."""


class VisitDelete(Registration, frozen=True, gc=False, omit_defaults=True, tag="visit_delete"):
    """ADT^A23: the record of a visit is to be deleted."""


class PersonAdd(Registration, frozen=True, gc=False, omit_defaults=True, tag="person_add"):
    """ADT^A28: a person became known."""


class PersonUpdate(Registration, frozen=True, gc=False, omit_defaults=True, tag="person_update"):
    """ADT^A31: what is known about a person changed."""


class PersonDelete(Registration, frozen=True, gc=False, omit_defaults=True, tag="person_delete"):
    """ADT^A29: the record of a person is to be deleted."""


class PatientMerge(Change, frozen=True, gc=False, omit_defaults=True, tag="patient_merge"):
    """ADT^A18, A30, A34-A36, A39-A45: two records were one; `prior` was merged into `patient`."""


class PatientIdChange(Change, frozen=True, gc=False, omit_defaults=True, tag="patient_id_change"):
    """ADT^A46, A47, A48: a patient has other identifiers now; `prior` has those before."""


class AccountNumberChange(
    Change, frozen=True, gc=False, omit_defaults=True, tag="account_number_change"
):
    """ADT^A49: an account has another number now; `prior` has the one before."""


class VisitNumberChange(
    Change, frozen=True, gc=False, omit_defaults=True, tag="visit_number_change"
):
    """ADT^A50, A51: a visit has another number now; `prior` has the one before."""


class PatientSwap(Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_swap"):
    """ADT^A17: two patients, in `patients`, changed places."""


class PatientLink(Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_link"):
    """ADT^A24: the records in `patients` are about one person; nothing is merged."""


class PatientUnlink(Registration, frozen=True, gc=False, omit_defaults=True, tag="patient_unlink"):
    """ADT^A37: the records in `patients` are no longer linked."""


class AttendingProviderChange(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="attending_provider_change"
):
    """ADT^A54: somebody else attends."""


class AttendingProviderChangeCancelled(
    Registration,
    frozen=True,
    gc=False,
    omit_defaults=True,
    tag="attending_provider_change_cancelled",
):
    """ADT^A55: that somebody else attends was taken back."""


class ConsultingProviderChange(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="consulting_provider_change"
):
    """ADT^A61: somebody else is consulted."""


class ConsultingProviderChangeCancelled(
    Registration,
    frozen=True,
    gc=False,
    omit_defaults=True,
    tag="consulting_provider_change_cancelled",
):
    """ADT^A62: that somebody else is consulted was taken back."""


class AllergiesUpdate(
    Registration, frozen=True, gc=False, omit_defaults=True, tag="allergies_update"
):
    """ADT^A60: what is known of a patient's allergies changed."""


class BedStatusUpdate(Meta, frozen=True, gc=False, omit_defaults=True, tag="bed_status_update"):
    """ADT^A20: a bed became free, occupied, clean or otherwise."""

    location: Location | UnsetType = UNSET
    status: Text = ""


Admission: TypeAlias = (
    PatientAdmit
    | PatientPreadmit
    | PatientAdmitPending
    | PatientTransfer
    | PatientTransferPending
    | PatientDischarge
    | PatientDischargePending
    | PatientClassChange
    | PatientDeparture
    | PatientArrival
    | PatientLeave
    | PatientReturn
    | PatientUpdate
    | PatientAdmitCancelled
    | PatientPreadmitCancelled
    | PatientAdmitPendingCancelled
    | PatientTransferCancelled
    | PatientTransferPendingCancelled
    | PatientDischargeCancelled
    | PatientDischargePendingCancelled
    | PatientArrivalCancelled
    | PatientDepartureCancelled
    | PatientLeaveCancelled
    | PatientReturnCancelled
    | VisitDelete
    | PersonAdd
    | PersonUpdate
    | PersonDelete
    | PatientMerge
    | PatientIdChange
    | AccountNumberChange
    | VisitNumberChange
    | PatientSwap
    | PatientLink
    | PatientUnlink
    | AttendingProviderChange
    | AttendingProviderChangeCancelled
    | ConsultingProviderChange
    | ConsultingProviderChangeCancelled
    | AllergiesUpdate
    | BedStatusUpdate
)
