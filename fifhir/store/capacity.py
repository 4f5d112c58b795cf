"""How many dead letters there may be; past that they are the sender's to keep."""

from collections.abc import Awaitable, Callable

from fifhir.errors import StoreError


class Capacity:
    """Room for `most` letters; 0: none at all, the queue is switched off.

    A process knows the number as of its last look and what it buried since, so workers together
    may go past `most` by what they bury between two looks.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.known = 0

    async def ask(self, more: int, count: Callable[[], Awaitable[int]]) -> None:
        """There is room for so many more letters; StoreError if there is none."""
        if self._most == 0:
            raise StoreError("full", "the dead letter queue is switched off")
        if self.known + more > self._most:
            self.known = await count()
        if self.known + more > self._most:
            raise StoreError(
                "full",
                f"the dead letter queue holds its {self._most} letters (workflow.dlq_max_size); "
                "replay or purge them",
            )
        self.known += more
