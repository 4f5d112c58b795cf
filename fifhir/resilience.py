"""The keys of an action that reaches over a network: how often, how fast, when to give up."""

from typing import Annotated

from msgspec import Meta, Struct

from fifhir.schema import Duration, Faults


class Resilience(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Retry, circuit breaker and rate limit of one action."""

    timeout: Annotated[
        Duration, Meta(ge=0.1, le=3600, description="Longest time one call may take.")
    ] = 30.0
    retry: Annotated[
        bool,
        Meta(
            description="Whether what failed is tried again; or a block of the keys below.",
            extra={"block": "retry_"},
        ),
    ] = True
    retry_max: Annotated[
        int, Meta(ge=0, le=100, description="Further tries after the first that failed.")
    ] = 3
    retry_delay: Annotated[
        Duration, Meta(ge=0, le=3600, description="Wait before the first further try.")
    ] = 1.0
    retry_max_delay: Annotated[
        Duration, Meta(ge=0, le=3600, description="Longest wait between two tries.")
    ] = 30.0
    retry_multiplier: Annotated[
        float, Meta(ge=1, le=100, description="By how much the wait grows with each try.")
    ] = 2.0
    retry_jitter: Annotated[
        float, Meta(ge=0, le=1, description="The random part of a wait; 1 is all of it.")
    ] = 1.0
    retry_on_status: Annotated[
        str, Meta(description="HTTP statuses that are tried again, with commas.")
    ] = "429,500,502,503,504"
    circuit_breaker: Annotated[
        bool,
        Meta(
            description="Whether a destination that fails is left alone for a while; or a block.",
            extra={"block": "circuit_"},
        ),
    ] = False
    circuit_failure_threshold: Annotated[
        int, Meta(ge=1, le=10_000, description="Failed calls in a row that open the breaker.")
    ] = 5
    circuit_success_threshold: Annotated[
        int, Meta(ge=1, le=10_000, description="Good probes in a row that close it again.")
    ] = 2
    circuit_timeout: Annotated[
        Duration, Meta(ge=0.1, le=86_400, description="How long it stays open before a probe.")
    ] = 30.0
    rate_limit: Annotated[
        bool,
        Meta(description="Whether calls are limited; or a block.", extra={"block": "rate_limit_"}),
    ] = False
    rate_limit_rate: Annotated[
        float, Meta(ge=0.001, le=1e6, description="Calls a second, of each worker.")
    ] = 10.0
    rate_limit_burst: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Calls that may come at once.")
    ] = 20
    rate_limit_wait: Annotated[
        bool, Meta(description="Whether a call past the limit waits; else it fails at once.")
    ] = True

    def faults(self) -> Faults:
        for part in self.retry_on_status.split(","):
            if not (part.strip().isdecimal() and 400 <= int(part) <= 599):
                yield ("retry_on_status",), "expected HTTP statuses from 400 to 599, with commas"
                return

    def statuses(self) -> frozenset[int]:
        return frozenset(int(part) for part in self.retry_on_status.split(","))

    @property
    def further_tries(self) -> int:
        """How often a failed try may be repeated."""
        return self.retry_max if self.retry else 0
