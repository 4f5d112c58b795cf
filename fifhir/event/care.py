"""Problems, goals and pathways (PPR, PGL, PPP, PPG)."""

from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from fifhir.event.datatypes import CodeableConcept, Provider, Text
from fifhir.event.observation import Observation
from fifhir.event.orders import OrderRequest
from fifhir.event.patient import Visit


class Variance(Struct, frozen=True, gc=False, omit_defaults=True):
    """A departure from what was expected (VAR; HL7 v2.9 12.4.5)."""

    instance_id: Text = ""
    documented_datetime: Text = ""
    stated_datetime: Text = ""
    originator: Provider | UnsetType = UNSET
    classification: CodeableConcept | UnsetType = UNSET
    descriptions: Text = ""


class Problem(Struct, frozen=True, gc=False, omit_defaults=True):
    """A problem of a patient (PRB; HL7 v2.9 12.4.2)."""

    action: Text = ""
    action_datetime: Text = ""
    problem: CodeableConcept | UnsetType = UNSET
    instance_id: Text = ""
    episode_id: Text = ""
    priority: Text = ""
    established_datetime: Text = ""
    expected_resolution_datetime: Text = ""
    resolved_datetime: Text = ""
    classification: CodeableConcept | UnsetType = UNSET
    disciplines: tuple[CodeableConcept, ...] = ()
    persistence: CodeableConcept | UnsetType = UNSET
    confirmation_status: CodeableConcept | UnsetType = UNSET
    life_cycle_status: CodeableConcept | UnsetType = UNSET
    life_cycle_datetime: Text = ""
    onset_datetime: Text = ""
    onset_text: Text = ""
    ranking: CodeableConcept | UnsetType = UNSET
    certainty: CodeableConcept | UnsetType = UNSET
    probability: Text = ""
    awareness: CodeableConcept | UnsetType = UNSET
    prognosis: CodeableConcept | UnsetType = UNSET
    prognosis_awareness: CodeableConcept | UnsetType = UNSET
    family_awareness: Text = ""
    security: CodeableConcept | UnsetType = UNSET
    variances: tuple[Variance, ...] = ()
    observations: tuple[Observation, ...] = ()
    orders: tuple[OrderRequest, ...] = ()
    notes: tuple[Text, ...] = ()


class Goal(Struct, frozen=True, gc=False, omit_defaults=True):
    """A goal of a patient's care (GOL; HL7 v2.9 12.4.1)."""

    action: Text = ""
    action_datetime: Text = ""
    goal: CodeableConcept | UnsetType = UNSET
    instance_id: Text = ""
    episode_id: Text = ""
    priority: Text = ""
    established_datetime: Text = ""
    expected_achievement_datetime: Text = ""
    achieved_datetime: Text = ""
    classification: CodeableConcept | UnsetType = UNSET
    discipline: CodeableConcept | UnsetType = UNSET
    review_status: CodeableConcept | UnsetType = UNSET
    review_datetime: Text = ""
    next_review_datetime: Text = ""
    previous_review_datetime: Text = ""
    evaluation: CodeableConcept | UnsetType = UNSET
    evaluation_comments: Text = ""
    life_cycle_status: CodeableConcept | UnsetType = UNSET
    life_cycle_datetime: Text = ""
    targets: tuple[CodeableConcept, ...] = ()
    target_name: Text = ""
    variances: tuple[Variance, ...] = ()
    observations: tuple[Observation, ...] = ()
    orders: tuple[OrderRequest, ...] = ()
    notes: tuple[Text, ...] = ()


class Pathway(Struct, frozen=True, gc=False, omit_defaults=True):
    """A plan of care that a patient follows (PTH; HL7 v2.9 12.4.4)."""

    action: Text = ""
    pathway: CodeableConcept | UnsetType = UNSET
    instance_id: Text = ""
    established_datetime: Text = ""
    life_cycle_status: CodeableConcept | UnsetType = UNSET
    life_cycle_datetime: Text = ""
    variances: tuple[Variance, ...] = ()
    notes: tuple[Text, ...] = ()


class Care(Visit, frozen=True, gc=False, omit_defaults=True):
    """A patient's problems, goals and pathways, in the order sent (HL7 v2.9 chapter 12).

    The body all events of patient care share.
    """

    problems: tuple[Problem, ...] = ()
    goals: tuple[Goal, ...] = ()
    pathways: tuple[Pathway, ...] = ()


class ProblemAdd(Care, frozen=True, gc=False, omit_defaults=True, tag="problem_add"):
    """PPR^PC1: problems became known."""


class ProblemUpdate(Care, frozen=True, gc=False, omit_defaults=True, tag="problem_update"):
    """PPR^PC2: what is known about problems changed."""


class ProblemDelete(Care, frozen=True, gc=False, omit_defaults=True, tag="problem_delete"):
    """PPR^PC3: problems were entered in error or are to be removed."""


class GoalAdd(Care, frozen=True, gc=False, omit_defaults=True, tag="goal_add"):
    """PGL^PC6: goals of care were set."""


class GoalUpdate(Care, frozen=True, gc=False, omit_defaults=True, tag="goal_update"):
    """PGL^PC7: goals of care changed."""


class GoalDelete(Care, frozen=True, gc=False, omit_defaults=True, tag="goal_delete"):
    """PGL^PC8: goals of care are to be removed."""


class PathwayAdd(Care, frozen=True, gc=False, omit_defaults=True, tag="pathway_add"):
    """PPP^PCB, PPG^PCG: a patient was put on a plan of care."""


class PathwayUpdate(Care, frozen=True, gc=False, omit_defaults=True, tag="pathway_update"):
    """PPP^PCC, PPG^PCH: a patient's plan of care changed."""


class PathwayDelete(Care, frozen=True, gc=False, omit_defaults=True, tag="pathway_delete"):
    """PPP^PCD, PPG^PCJ: a patient's plan of care is to be removed."""


CareEvent: TypeAlias = (
    ProblemAdd
    | ProblemUpdate
    | ProblemDelete
    | GoalAdd
    | GoalUpdate
    | GoalDelete
    | PathwayAdd
    | PathwayUpdate
    | PathwayDelete
)
