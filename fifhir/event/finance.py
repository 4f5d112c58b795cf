"""Charges and billing accounts (DFT, BAR)."""

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.clinical import Diagnosis, Guarantor, Insurance, Procedure
from fifhir.event.datatypes import CodeableConcept, Location, Number, Provider, Text
from fifhir.event.orders import OrderRequest
from fifhir.event.patient import Visit


class Transaction(Struct, frozen=True, gc=False, omit_defaults=True):
    """A charge, credit or payment (FT1; HL7 v2.9 6.5.1)."""

    set_id: Text = ""
    transaction_id: Text = ""
    batch_id: Text = ""
    transaction_date: Text = ""
    transaction_end: Text = ""
    posting_date: Text = ""
    transaction_type: Text = ""
    transaction_code: CodeableConcept | UnsetType = UNSET
    description: Text = ""
    alternate_description: Text = ""
    quantity: Number | UnsetType = UNSET
    amount: Number | UnsetType = UNSET
    currency: Text = ""
    unit_amount: Number | UnsetType = UNSET
    department: CodeableConcept | UnsetType = UNSET
    health_plan_id: Text = ""
    insurance_amount: Number | UnsetType = UNSET
    patient_location: Location | UnsetType = UNSET
    fee_schedule: Text = ""
    patient_type: Text = ""
    diagnosis_codes: tuple[CodeableConcept, ...] = ()
    performed_by: Provider | UnsetType = UNSET
    ordered_by: Provider | UnsetType = UNSET
    unit_cost: Number | UnsetType = UNSET
    filler_order_number: Text = ""
    entered_by: Provider | UnsetType = UNSET
    procedure_code: CodeableConcept | UnsetType = UNSET
    procedure_modifiers: tuple[CodeableConcept, ...] = ()
    advance_beneficiary_notice: Text = ""
    necessity_reason: CodeableConcept | UnsetType = UNSET
    drug_code: CodeableConcept | UnsetType = UNSET
    payment_reference: Text = ""
    notes: tuple[Text, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    procedures: tuple[Procedure, ...] = ()
    orders: tuple[OrderRequest, ...] = ()


class FinancialTransaction(
    Visit, frozen=True, gc=False, omit_defaults=True, tag="financial_transaction"
):
    """DFT^P03, P11: charges, credits and payments, in the order sent."""

    account_number: Text = ""
    transactions: tuple[Transaction, ...] = ()
    total_charge_amount: Number | UnsetType = UNSET
    diagnoses: tuple[Diagnosis, ...] = ()
    procedures: tuple[Procedure, ...] = ()
    guarantors: tuple[Guarantor, ...] = ()
    insurance_info: tuple[Insurance, ...] = ()


class AccountChange(Visit, frozen=True, gc=False, omit_defaults=True):
    """A billing account: the body all account events share (BAR; HL7 v2.9 chapter 6)."""

    account_number: Text = ""
    diagnoses: tuple[Diagnosis, ...] = ()
    procedures: tuple[Procedure, ...] = ()
    guarantors: tuple[Guarantor, ...] = ()
    insurance_info: tuple[Insurance, ...] = ()


class AccountAdd(AccountChange, frozen=True, gc=False, omit_defaults=True, tag="account_add"):
    """BAR^P01: a billing account was opened."""


class AccountPurge(AccountChange, frozen=True, gc=False, omit_defaults=True, tag="account_purge"):
    """BAR^P02: the records of a billing account are to be removed."""


class AccountUpdate(AccountChange, frozen=True, gc=False, omit_defaults=True, tag="account_update"):
    """BAR^P05, P12: a billing account changed, or its diagnoses and procedures."""


class AccountEnd(AccountChange, frozen=True, gc=False, omit_defaults=True, tag="account_end"):
    """BAR^P06: a billing account is closed."""


class AccountGrouping(
    AccountChange, frozen=True, gc=False, omit_defaults=True, tag="account_grouping"
):
    """BAR^P10: a billing account was grouped for payment."""


FinanceEvent: TypeAlias = (
    FinancialTransaction | AccountAdd | AccountPurge | AccountUpdate | AccountEnd | AccountGrouping
)
