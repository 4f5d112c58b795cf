"""What every ingress counts of an event that ran."""

from fifhir.metrics import Catalogue
from fifhir.scoreboard import Slab
from fifhir.workflow.engine import Outcome
from fifhir.written import Written


def count(slab: Slab, catalogue: Catalogue, written: Written, outcome: Outcome) -> None:
    """The event and each of its actions are in the metrics."""
    slab.add(catalogue.event(written.type, written.source, outcome.success))
    for each in outcome.actions:
        slab.observe(catalogue.action(each.action, each.route), each.duration_ms / 1000)
        if each.status in {"kept", "failed"}:
            slab.add(catalogue.action_error(each.action, each.route, each.error_type))
            slab.add(catalogue.error("action" if each.status == "kept" else "dlq"))
