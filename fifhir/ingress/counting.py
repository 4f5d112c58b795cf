"""What every ingress counts of an event that ran."""

from fifhir.event import Event, event_type
from fifhir.metrics import Catalogue
from fifhir.scoreboard import Slab
from fifhir.workflow.engine import Outcome


def count(slab: Slab, catalogue: Catalogue, event: Event, outcome: Outcome) -> None:
    """The event and each of its actions are in the metrics."""
    slab.add(catalogue.event(event_type(event), event.source, outcome.success))
    for each in outcome.actions:
        slab.observe(catalogue.action(each.action, each.route), each.duration_ms / 1000)
        if not each.success:
            slab.add(catalogue.action_error(each.action, each.route, "unknown"))
            slab.add(catalogue.error("action"))
