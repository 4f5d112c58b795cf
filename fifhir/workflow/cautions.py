"""What is no mistake in a workflow and may be one all the same: told by `workflow validate`."""

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from fifhir import machine, template
from fifhir.brokers import host_port, servers
from fifhir.schema import Fault, Path
from fifhir.sinks import ActionConfig
from fifhir.sinks.database import KEY, DatabaseConfig
from fifhir.sinks.email import EmailConfig
from fifhir.sinks.fhir import FhirConfig
from fifhir.sinks.http import HttpConfig
from fifhir.sinks.mllp import MllpConfig
from fifhir.sinks.queue import QueueConfig
from fifhir.sinks.webhook import WebhookConfig
from fifhir.workflow.filter import Filter


def of_action(action: ActionConfig, at: Path) -> Iterator[Fault]:
    """What to think about in one action."""
    yield from _on_the_way(action, at)
    if isinstance(action, HttpConfig) and not _authorised(action) and _leaves(action):
        kind = "FHIR" if isinstance(action, FhirConfig) else "WEBHOOK"
        code = {"WEBHOOK": "FF303", "FHIR": "FF304"}[kind]
        yield Fault(at, "sends without token, authorization, token_url or cert_file", code=code)
    if isinstance(action, EmailConfig) and template.compile(action.subject, "header").uses:
        text = "the subject has fields of the event: it is read on the way and on locked screens"
        yield Fault((*at, "subject"), text, code="FF307")
    if isinstance(action, DatabaseConfig) and _is_once(action):
        text = "an insert whose answer is lost is not repeated; map __key__, or use upsert"
        yield Fault((*at, "operation"), text, code="FF308")


def of_route(taken: Filter, at: Path) -> Iterator[Fault]:
    """What to think about in a route's filter."""
    if taken == Filter():
        yield Fault((*at, "name"), "without a filter the route takes every event", code="FF301")


def _is_once(action: DatabaseConfig) -> bool:
    return action.operation == "insert" and KEY not in action.mapping.values()


def _authorised(action: HttpConfig) -> bool:
    named = {name.lower() for name in getattr(action, "headers", ())}
    keys = (action.token, action.authorization, action.token_url, action.cert_file)
    return any(keys) or any("key" in name or "token" in name for name in named)


def _on_the_way(action: ActionConfig, at: Path) -> Iterator[Fault]:
    """Who else can read what is sent."""
    if getattr(action, "tls_insecure", False):
        text = "any certificate will do: whoever is in between can read it all"
        yield Fault((*at, "tls_insecure"), text, code="FF306")
    if _leaves(action) and not _secured(action):
        yield Fault(at, "what is sent to another machine can be read on the way", code="FF305")


def _secured(action: ActionConfig) -> bool:
    match action:
        case WebhookConfig():
            return action.url.startswith("https:")
        case FhirConfig():
            return action.endpoint.startswith("https:")
        case EmailConfig():
            return action.secured
        case QueueConfig() | MllpConfig():
            return action.tls
    return True


def _leaves(action: ActionConfig) -> bool:
    """Whether it goes to another machine."""
    return not all(map(machine.is_loopback, _hosts(action)))


def _hosts(action: ActionConfig) -> Iterable[str]:
    match action:
        case WebhookConfig():
            return [urlsplit(action.url).hostname or ""]
        case FhirConfig():
            return [urlsplit(action.endpoint).hostname or ""]
        case EmailConfig():
            return [action.smtp_host]
        case QueueConfig():
            return [host_port(each)[0] for each in servers(action.brokers)]
        case MllpConfig():
            return [place[0]] if (place := action.place()) else []
    return []
