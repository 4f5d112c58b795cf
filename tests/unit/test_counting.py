"""Values no rule reads are counted, of a sample, by segment."""

from fifhir.event import EVENT_TYPES
from fifhir.ingress.counting import PAUSE, Sampler
from fifhir.intake import Feed
from fifhir.metrics import Catalogue
from fifhir.profile import Profile
from fifhir.profile.config import SourceProfile, ZSegments
from fifhir.scoreboard import Scoreboard
from fifhir.unread import NAMED

MESSAGE = b"MSH|^~\\&|A|B|||20260701||ADT^A01|1|P|2.5\rPID|1||M1||TEAPOT\rPDA|20260701\rZPD|1|2|3\r"


def test_one_message_a_pause_is_counted_by_segment() -> None:
    catalogue = Catalogue(event_types=EVENT_TYPES, segments=NAMED)
    slab = Scoreboard(catalogue, 1).claim(0, 0.0)
    now = [100.0]
    sampler = Sampler(catalogue, slab, lambda: now[0])
    drop = SourceProfile(id="p", name="P", z_segments=ZSegments(preserve_raw=False))
    for _ in range(3):
        sampler.look(MESSAGE, Feed(profile=Profile(drop)), "patient_admit")
    now[0] += PAUSE
    sampler.look(MESSAGE, Feed(), "patient_admit")
    words = slab.words
    assert words[catalogue.looked] == 2
    assert words[catalogue.unread("PID")] == 2
    assert words[catalogue.unread("PDA")] == words[catalogue.unread("other")] == 2
    assert words[catalogue.unread("Z")] == 3
