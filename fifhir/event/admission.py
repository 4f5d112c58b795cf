"""Visits and persons: admissions, transfers, discharges, merges and their like (ADT)."""

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import Identifier, Text
from fifhir.event.patient import Visit


class PatientAdmit(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_admit"):
    """ADT^A01, A04: a patient was admitted or registered."""


class PatientPreadmit(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_preadmit"):
    """ADT^A05: a patient is to come; what is known is sent ahead."""


class PatientAdmitPending(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_admit_pending"
):
    """ADT^A14: an admission is planned."""


class PatientTransfer(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_transfer"):
    """ADT^A02: a patient moved."""


class PatientTransferPending(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_transfer_pending"
):
    """ADT^A15: a move is planned."""


class PatientDischarge(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_discharge"):
    """ADT^A03: a visit ended."""


class PatientDischargePending(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_discharge_pending"
):
    """ADT^A16: the end of a visit is planned."""


class PatientClassChange(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_class_change"
):
    """ADT^A06, A07: an outpatient became an inpatient, or the reverse."""


class PatientDeparture(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_departure"):
    """ADT^A09: a patient left a place, for another that is not yet reached."""


class PatientArrival(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_arrival"):
    """ADT^A10: a patient arrived at a place."""


class PatientLeave(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_leave"):
    """ADT^A21: a patient went on leave of absence."""


class PatientReturn(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_return"):
    """ADT^A22: a patient came back from leave of absence."""


class PatientUpdate(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_update"):
    """ADT^A08: what is known about a patient or a visit changed."""


class PatientAdmitCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_admit_cancelled"
):
    """ADT^A11: an admission or registration was taken back."""


class PatientPreadmitCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_preadmit_cancelled"
):
    """ADT^A38: a pre-admission was taken back."""


class PatientAdmitPendingCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_admit_pending_cancelled"
):
    """ADT^A27: a planned admission was taken back."""


class PatientTransferCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_transfer_cancelled"
):
    """ADT^A12: a move was taken back."""


class PatientTransferPendingCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_transfer_pending_cancelled"
):
    """ADT^A26: a planned move was taken back."""


class PatientDischargeCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_discharge_cancelled"
):
    """ADT^A13: the end of a visit was taken back."""


class PatientDischargePendingCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_discharge_pending_cancelled"
):
    """ADT^A25: the planned end of a visit was taken back."""


class PatientArrivalCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_arrival_cancelled"
):
    """ADT^A32: an arrival was taken back."""


class PatientDepartureCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_departure_cancelled"
):
    """ADT^A33: a departure was taken back."""


class PatientLeaveCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_leave_cancelled"
):
    """ADT^A52: a leave of absence was taken back."""


class PatientReturnCancelled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_return_cancelled"
):
    """ADT^A53: the return from a leave of absence was taken back."""


class VisitDelete(Visit, frozen=True, gc=False, omit_defaults=True, tag="visit_delete"):
    """ADT^A23: the record of a visit is to be deleted."""


class PersonAdd(Visit, frozen=True, gc=False, omit_defaults=True, tag="person_add"):
    """ADT^A28: a person became known."""


class PersonUpdate(Visit, frozen=True, gc=False, omit_defaults=True, tag="person_update"):
    """ADT^A31: what is known about a person changed."""


class PersonDelete(Visit, frozen=True, gc=False, omit_defaults=True, tag="person_delete"):
    """ADT^A29: the record of a person is to be deleted."""


class Prior(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a merge puts an end to (MRG): a patient's, account's or visit's former identifiers."""

    mrn: Text
    identifiers: tuple[Identifier, ...] = ()
    account_number: Text = ""
    visit_number: Text = ""
    family_name: Text = ""
    given_name: Text = ""


class PatientMerge(Visit, frozen=True, gc=False, omit_defaults=True, tag="patient_merge"):
    """ADT^A18, A30, A34-A36, A39-A45: two records were one; `prior` was merged into `patient`."""

    prior: Prior | UnsetType = UNSET


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
)
