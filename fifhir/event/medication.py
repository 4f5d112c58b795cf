"""Drugs and treatments: ordered, handed out, given (OMP, RDE, RDS, RAS, RGV)."""

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.clinical import Timing
from fifhir.event.datatypes import CodeableConcept, Location, Number, Provider, Text
from fifhir.event.observation import Observation
from fifhir.event.patient import Visit


class Medication(Struct, frozen=True, gc=False, omit_defaults=True):
    """A drug or treatment."""

    code: Text = ""
    code_system: Text = ""
    name: Text = ""
    concept: CodeableConcept | UnsetType = UNSET
    form: Text = ""
    strength: Text = ""


class Route(Struct, frozen=True, gc=False, omit_defaults=True):
    """How a drug gets into the body (RXR; HL7 v2.9 4A.4.2)."""

    route: CodeableConcept | UnsetType = UNSET
    site: CodeableConcept | UnsetType = UNSET
    device: CodeableConcept | UnsetType = UNSET
    method: CodeableConcept | UnsetType = UNSET
    routing_instruction: CodeableConcept | UnsetType = UNSET
    site_modifier: CodeableConcept | UnsetType = UNSET


class MedicationComponent(Struct, frozen=True, gc=False, omit_defaults=True):
    """What a treatment is mixed of (RXC; HL7 v2.9 4A.4.3)."""

    type: Text = ""
    component: CodeableConcept | UnsetType = UNSET
    amount: Text = ""
    units: Text = ""
    strength: Text = ""
    strength_units: Text = ""
    supplements: tuple[CodeableConcept, ...] = ()


class MedicationRequest(Struct, frozen=True, gc=False, omit_defaults=True):
    """A drug or treatment that was asked for, and how it is to be given (HL7 v2.9 chapter 4A).

    Where the pharmacy has encoded the order (RXE), its words come before those of the order
    (RXO).
    """

    medication: Medication | UnsetType = UNSET
    status: Text = ""
    intent: Text = ""
    control: Text = ""
    order_status: Text = ""
    placer_order_number: Text = ""
    filler_order_number: Text = ""
    placer_group_number: Text = ""
    prescription_number: Text = ""
    authored_on: Text = ""
    effective_datetime: Text = ""
    start_time: Text = ""
    end_time: Text = ""
    priority: Text = ""
    dosage_instruction: Text = ""
    dose_quantity: Text = ""
    dose_maximum: Text = ""
    dose_unit: Text = ""
    dose_unit_code: CodeableConcept | UnsetType = UNSET
    dosage_form: CodeableConcept | UnsetType = UNSET
    frequency: Text = ""
    give_per: Text = ""
    give_rate: Text = ""
    give_rate_units: Text = ""
    route: Text = ""
    routes: tuple[Route, ...] = ()
    dispense_quantity: Number | UnsetType = UNSET
    dispense_unit: Text = ""
    number_of_refills: Number | UnsetType = UNSET
    refills_remaining: Number | UnsetType = UNSET
    refills_dispensed: Number | UnsetType = UNSET
    last_dispensed: Text = ""
    daily_dose: Text = ""
    needs_review: Text = ""
    substitution_code: Text = ""
    indications: tuple[CodeableConcept, ...] = ()
    reason_code: Text = ""
    reason_text: Text = ""
    prescriber: Provider | UnsetType = UNSET
    pharmacist: Provider | UnsetType = UNSET
    entered_by: Provider | UnsetType = UNSET
    verified_by: Provider | UnsetType = UNSET
    action_by: Provider | UnsetType = UNSET
    entering_organization: CodeableConcept | UnsetType = UNSET
    ordering_facility_name: Text = ""
    dispensing_pharmacy: CodeableConcept | UnsetType = UNSET
    special_instructions: tuple[CodeableConcept, ...] = ()
    pharmacy_order_type: Text = ""
    components: tuple[MedicationComponent, ...] = ()
    timings: tuple[Timing, ...] = ()
    observations: tuple[Observation, ...] = ()
    notes: tuple[Text, ...] = ()


class MedicationDispense(Struct, frozen=True, gc=False, omit_defaults=True):
    """A drug that was handed out (RXD; HL7 v2.9 4A.4.5)."""

    sequence: Text = ""
    code: Text = ""
    name: Text = ""
    medication: CodeableConcept | UnsetType = UNSET
    dispensed_datetime: Text = ""
    quantity: Number | UnsetType = UNSET
    unit: Text = ""
    dosage_form: CodeableConcept | UnsetType = UNSET
    prescription_number: Text = ""
    refills_remaining: Number | UnsetType = UNSET
    notes_sent: Text = ""
    dispenser: Provider | UnsetType = UNSET
    substitution_code: Text = ""
    total_daily_dose: Text = ""
    location: Location | UnsetType = UNSET
    needs_review: Text = ""
    special_instructions: tuple[CodeableConcept, ...] = ()
    strength: Text = ""
    strength_units: Text = ""
    lot_numbers: Text = ""
    expiration_date: Text = ""
    manufacturer: CodeableConcept | UnsetType = UNSET
    indications: tuple[CodeableConcept, ...] = ()
    package_size: Text = ""
    package_size_units: Text = ""
    control: Text = ""
    placer_order_number: Text = ""
    filler_order_number: Text = ""
    ordering_provider: Provider | UnsetType = UNSET
    routes: tuple[Route, ...] = ()
    components: tuple[MedicationComponent, ...] = ()
    timings: tuple[Timing, ...] = ()
    observations: tuple[Observation, ...] = ()
    notes: tuple[Text, ...] = ()


class MedicationAdministration(Struct, frozen=True, gc=False, omit_defaults=True):
    """A dose that was given, or was not (RXA; HL7 v2.9 4A.4.7)."""

    sequence: Text = ""
    code: Text = ""
    name: Text = ""
    medication: CodeableConcept | UnsetType = UNSET
    start_time: Text = ""
    end_time: Text = ""
    amount: Number | UnsetType = UNSET
    unit: Text = ""
    dosage_form: CodeableConcept | UnsetType = UNSET
    source_notes: tuple[CodeableConcept, ...] = ()
    performer: Provider | UnsetType = UNSET
    location: Location | UnsetType = UNSET
    give_per: Text = ""
    strength: Text = ""
    strength_units: Text = ""
    lot_number: Text = ""
    expiration_date: Text = ""
    manufacturer: CodeableConcept | UnsetType = UNSET
    refusal_reasons: tuple[CodeableConcept, ...] = ()
    indications: tuple[CodeableConcept, ...] = ()
    completion_status: Text = ""
    action: Text = ""
    entered_at: Text = ""
    control: Text = ""
    placer_order_number: Text = ""
    filler_order_number: Text = ""
    ordering_provider: Provider | UnsetType = UNSET
    routes: tuple[Route, ...] = ()
    timings: tuple[Timing, ...] = ()
    observations: tuple[Observation, ...] = ()
    notes: tuple[Text, ...] = ()


class MedicationGive(Struct, frozen=True, gc=False, omit_defaults=True):
    """A dose that is to be given (RXG; HL7 v2.9 4A.4.6)."""

    sequence: Text = ""
    dispense_sequence: Text = ""
    timing_text: Text = ""
    code: Text = ""
    name: Text = ""
    medication: CodeableConcept | UnsetType = UNSET
    amount: Number | UnsetType = UNSET
    maximum: Number | UnsetType = UNSET
    unit: Text = ""
    dosage_form: CodeableConcept | UnsetType = UNSET
    administration_notes: tuple[CodeableConcept, ...] = ()
    substitution_code: Text = ""
    location: Location | UnsetType = UNSET
    needs_review: Text = ""
    special_instructions: tuple[CodeableConcept, ...] = ()
    give_per: Text = ""
    rate: Text = ""
    rate_units: Text = ""
    strength: Text = ""
    strength_units: Text = ""
    lot_numbers: Text = ""
    expiration_date: Text = ""
    manufacturer: CodeableConcept | UnsetType = UNSET
    indications: tuple[CodeableConcept, ...] = ()
    control: Text = ""
    placer_order_number: Text = ""
    filler_order_number: Text = ""
    ordering_provider: Provider | UnsetType = UNSET
    routes: tuple[Route, ...] = ()
    components: tuple[MedicationComponent, ...] = ()
    timings: tuple[Timing, ...] = ()
    observations: tuple[Observation, ...] = ()
    notes: tuple[Text, ...] = ()


class Prescribing(Visit, frozen=True, gc=False, omit_defaults=True):
    """Orders of drugs and treatments, in the order sent.

    `medication_request` is the first of `medication_requests`; its control code names the
    event.
    """

    medication_request: MedicationRequest | UnsetType = UNSET
    prescriber: Provider | UnsetType = UNSET
    pharmacy_id: Text = ""
    pharmacy_name: Text = ""
    medication_requests: tuple[MedicationRequest, ...] = ()


class MedicationRequested(
    Prescribing, frozen=True, gc=False, omit_defaults=True, tag="medication_request"
):
    """RDE, OMP: drugs were ordered, or their orders are told again."""


class MedicationChanged(
    Prescribing, frozen=True, gc=False, omit_defaults=True, tag="medication_changed"
):
    """RDE, OMP with ORC-1 XO, XX, XR, RP, RO, RQ, RU: orders of drugs were changed or replaced."""


class MedicationCancelled(
    Prescribing, frozen=True, gc=False, omit_defaults=True, tag="medication_cancelled"
):
    """RDE, OMP with ORC-1 CA, OC, CR: orders of drugs were taken back."""


class MedicationDiscontinued(
    Prescribing, frozen=True, gc=False, omit_defaults=True, tag="medication_discontinued"
):
    """RDE, OMP with ORC-1 DC, OD, DR: orders of drugs end before their time."""


class MedicationHeld(Prescribing, frozen=True, gc=False, omit_defaults=True, tag="medication_held"):
    """RDE, OMP with ORC-1 HD, OH, HR: orders of drugs are suspended."""


class MedicationReleased(
    Prescribing, frozen=True, gc=False, omit_defaults=True, tag="medication_released"
):
    """RDE, OMP with ORC-1 RL, OE, OR: held orders of drugs go on."""


class MedicationStatusChange(
    Prescribing, frozen=True, gc=False, omit_defaults=True, tag="medication_status_change"
):
    """RDE, OMP with ORC-1 SC, SR: the status of orders of drugs changed."""


class MedicationDispensed(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="medication_dispensed"
):
    """RDS^O13: drugs were handed out, in the order sent."""

    dispenses: tuple[MedicationDispense, ...] = ()


class MedicationAdministered(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="medication_administered"
):
    """RAS^O17: doses were given, or were not, in the order sent."""

    administrations: tuple[MedicationAdministration, ...] = ()


class MedicationScheduled(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="medication_scheduled"
):
    """RGV^O15: doses are to be given, in the order sent."""

    gives: tuple[MedicationGive, ...] = ()


MedicationEvent: TypeAlias = (
    MedicationRequested
    | MedicationChanged
    | MedicationCancelled
    | MedicationDiscontinued
    | MedicationHeld
    | MedicationReleased
    | MedicationStatusChange
    | MedicationDispensed
    | MedicationAdministered
    | MedicationScheduled
)
