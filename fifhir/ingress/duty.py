"""What a worker was started with, as far as all that listens needs it."""

from typing import Protocol

from fifhir.config import Settings
from fifhir.logs import Log
from fifhir.profile.choosing import Profiles
from fifhir.scoreboard import Scoreboard
from fifhir.workflow.engine import Workflow


class Duty(Protocol):
    """Made before the fork, and the same for every worker of a crew."""

    @property
    def board(self) -> Scoreboard: ...
    @property
    def settings(self) -> Settings: ...
    @property
    def profiles(self) -> Profiles: ...
    @property
    def workflow(self) -> Workflow: ...
    @property
    def log(self) -> Log: ...
