"""The journal of accepted messages, over both databases."""

import asyncio
import hashlib
import time

import pytest

from fifhir.store import ALL, Fresh, Repeat, Store
from tests.stores import Loop, Place, entry, letter


def numbers(store: Store, do: Loop, most: int = 100) -> list[list[str]]:
    """Claim everything there is: the event ids of each order key, in order."""
    return sorted([e.event_id for e in claim.entries] for claim in do(store.claim(100, most, 60)))


def test_what_was_recorded_is_claimed_whole_and_in_order(opened: Store, do: Loop) -> None:
    for control_id in ("1", "2", "3"):
        assert do(opened.record(entry(control_id))) == Fresh()
    [claim] = do(opened.claim(10, 10, 60))
    assert claim.order_key == "LAB|CITY"
    assert [each.event_id for each in claim.entries] == ["event-1", "event-2", "event-3"]
    first = claim.entries[0]
    assert first.raw == entry("1").raw
    assert first.event == entry("1").event
    assert (first.event_type, first.source, first.attempts) == ("patient_admit", "lab", 1)
    assert abs(first.recorded_at - do(opened.now())) < 60


def test_a_repeat_gets_the_first_answer_and_is_not_recorded(opened: Store, do: Loop) -> None:
    do(opened.record(entry("1", answer=b"the first answer")))
    assert do(opened.record(entry("1", answer=b"another"))) == Repeat(b"the first answer")
    assert numbers(opened, do) == [["event-1"]]


def test_other_bytes_under_the_same_control_id_are_a_new_message(opened: Store, do: Loop) -> None:
    do(opened.record(entry("1")))
    other = entry("1", digest=hashlib.sha256(b"other").digest(), event_id="event-other")
    assert do(opened.record(other)) == Fresh(reused=True)
    assert numbers(opened, do) == [["event-1", "event-other"]]


def test_the_same_control_id_of_another_sender_is_another_message(opened: Store, do: Loop) -> None:
    do(opened.record(entry("1")))
    assert do(opened.record(entry("1", facility="TOWN"))) == Fresh()
    assert do(opened.record(entry("1", tenant="other listener"))) == Fresh()


def test_without_a_control_id_nothing_is_a_repeat(opened: Store, do: Loop) -> None:
    assert do(opened.record(entry())) == Fresh()
    assert do(opened.record(entry())) == Fresh()


def test_after_the_window_a_message_is_new_again(place: Place, do: Loop) -> None:
    store = do.open(place.store(duplicate_window=0.0))
    do(store.record(entry("1")))
    assert do(store.record(entry("1"))) == Fresh()


def test_a_group_is_recorded_in_order_with_the_repeats_in_it(opened: Store, do: Loop) -> None:
    do(opened.record(entry("2", answer=b"before")))
    told = do(opened.record_all([entry(each) for each in ("1", "2", "3", "1")]))
    assert told == [Fresh(), Repeat(b"before"), Fresh(), Repeat(b"AA")]
    assert numbers(opened, do) == [["event-2", "event-1", "event-3"]]


def test_a_group_of_any_size_is_recorded_whole_and_apart_from_others(
    opened: Store, do: Loop
) -> None:
    async def together() -> None:
        await asyncio.gather(
            *(
                opened.record_all([entry(f"{group}-{n}", f"{group}") for n in range(700)])
                for group in "AB"
            ),
            opened.record(entry("alone")),
        )

    do(together())
    found = numbers(opened, do, most=1000)
    assert sorted(map(len, found)) == [1, 700, 700]
    assert ["event-alone"] in found
    assert [f"event-A-{n}" for n in range(700)] in found


def test_many_at_once_are_each_recorded_once(place: Place, do: Loop) -> None:
    """Two processes get the same messages at the same time, each message twice."""
    one, other = do.open(place.store()), do.open(place.store())

    async def everything() -> list[object]:
        return await asyncio.gather(
            *(
                store.record(entry(str(number % 150), answer=b"%d" % (number % 150)))
                for store in (one, other)
                for number in range(300)
            )
        )

    results = do(everything())
    assert sum(isinstance(each, Fresh) for each in results) == 150
    for number, result in enumerate(results):
        if isinstance(result, Repeat):
            assert result.answer == b"%d" % (number % 300 % 150)
    [recorded] = numbers(one, do, most=1000)
    assert sorted(recorded) == sorted(f"event-{number}" for number in range(150))


def test_an_order_key_has_one_owner_at_a_time(place: Place, do: Loop) -> None:
    one, other = do.open(place.store()), do.open(place.store())
    do(one.record(entry("1", "A")))
    do(one.record(entry("2", "B")))
    [first] = do(one.claim(1, 10, 60))
    [second] = do(other.claim(10, 10, 60))
    assert {first.order_key, second.order_key} == {"A", "B"}
    assert do(one.claim(10, 10, 60)) == []


def test_only_what_is_settled_is_done(opened: Store, do: Loop) -> None:
    for control_id in "123":
        do(opened.record(entry(control_id)))
    [claim] = do(opened.claim(10, 10, 60))
    assert do(opened.settle(claim, [claim.entries[0].number]))
    do(opened.release(claim))
    assert numbers(opened, do) == [["event-2", "event-3"]]


def test_what_is_settled_last_may_give_the_key_back(opened: Store, do: Loop) -> None:
    for control_id in "12":
        do(opened.record(entry(control_id)))
    [claim] = do(opened.claim(10, 1, 60))
    assert do(opened.settle(claim, [claim.entries[0].number], release=True))
    assert numbers(opened, do) == [["event-2"]]
    assert not do(opened.settle(claim, [claim.entries[0].number], release=True))


def test_what_nobody_wants_is_recorded_and_done(opened: Store, do: Loop) -> None:
    do(opened.record(entry("1", wanted=False)))
    do(opened.record(entry("2", "OTHER")))
    assert numbers(opened, do) == [["event-2"]]
    assert isinstance(do(opened.record(entry("1"))), Repeat)


def test_letters_are_buried_with_what_they_came_of(opened: Store, do: Loop) -> None:
    do(opened.record(entry("1")))
    [claim] = do(opened.claim(10, 10, 60))
    assert do(opened.settle(claim, [claim.entries[0].number], [letter()]))
    assert do(opened.count()) == 1
    do(opened.release(claim))
    assert do(opened.claim(10, 10, 60)) == []


def test_a_lost_claim_settles_nothing(place: Place, do: Loop) -> None:
    slow, quick = do.open(place.store()), do.open(place.store())
    do(slow.record(entry("1")))
    [lost] = do(slow.claim(10, 10, 0.0))
    [claim] = do(quick.claim(10, 10, 60))
    assert claim.token > lost.token
    assert not do(slow.settle(lost, [lost.entries[0].number], [letter()]))
    assert not do(slow.renew(lost, 60))
    assert do(slow.count()) == 0
    assert do(quick.renew(claim, 60))
    assert do(quick.settle(claim, [claim.entries[0].number]))


def test_what_is_given_back_has_not_been_tried(opened: Store, do: Loop) -> None:
    do(opened.record(entry("1")))
    for _ in range(3):
        [claim] = do(opened.claim(10, 10, 60))
        assert claim.entries[0].attempts == 1
        do(opened.release(claim, given_back=True))
    [lost] = do(opened.claim(10, 10, 0.0))
    [claim] = do(opened.claim(10, 10, 60))
    do(opened.release(lost, given_back=True))  # it is another's by now
    do(opened.release(claim))
    [again] = do(opened.claim(10, 10, 60))
    assert again.entries[0].attempts == 3


def test_a_released_key_waits_as_long_as_it_was_told(opened: Store, do: Loop) -> None:
    do(opened.record(entry("1")))
    [claim] = do(opened.claim(10, 10, 60))
    do(opened.release(claim, delay=3600))
    assert do(opened.claim(10, 10, 60)) == []


def test_after_a_crash_entries_come_one_at_a_time_until_the_one_it_died_of(
    opened: Store, do: Loop
) -> None:
    """Its owner vanishes at the third of three entries, again and again."""
    for control_id in "123":
        do(opened.record(entry(control_id)))
    attempts = []
    [claim] = do(opened.claim(10, 10, 0.0))
    assert len(claim.entries) == 3
    for _ in range(4):
        [claim] = do(opened.claim(10, 10, 0.0))
        [alone] = claim.entries
        attempts.append((alone.event_id, alone.attempts))
        if alone.event_id != "event-3":
            do(opened.settle(claim, [alone.number]))
    assert attempts == [("event-1", 2), ("event-2", 1), ("event-3", 1), ("event-3", 2)]


def test_what_comes_after_a_crash_is_handed_out_together_again(opened: Store, do: Loop) -> None:
    do(opened.record(entry("1")))
    [lost] = do(opened.claim(10, 10, 0.0))
    for control_id in "23":
        do(opened.record(entry(control_id)))
    [claim] = do(opened.claim(10, 10, 60))
    assert [each.event_id for each in claim.entries] == ["event-1"]
    do(opened.settle(claim, [lost.entries[0].number]))
    do(opened.release(claim))
    assert numbers(opened, do) == [["event-2", "event-3"]]


def test_a_letter_may_hold_up_what_comes_after_it(opened: Store, do: Loop) -> None:
    do(opened.record(entry("1", "A")))
    do(opened.record(entry("2", "B")))
    do(opened.bury([letter(blocks="A")]))
    assert numbers(opened, do) == [["event-2"]]
    [taken] = do(opened.take(ALL, 10, 60))
    assert do(opened.resolve(taken))
    assert numbers(opened, do) == [["event-1"]]


def test_entries_without_an_order_key_are_delivered_too(opened: Store, do: Loop) -> None:
    for number in range(50):
        do(opened.record(entry(str(number), "")))
    claims = do(opened.claim(100, 100, 60))
    assert len(claims) > 1
    assert sum(len(claim.entries) for claim in claims) == 50


def test_hostile_text_is_recorded_and_hurts_nobody_else(opened: Store, do: Loop) -> None:
    hostile = entry("\0\ud800", order_key="\0\ud800", source="\0", event_id="\0\udfff")

    async def together() -> None:
        await asyncio.gather(opened.record(hostile), opened.record(entry("2")))

    do(together())
    assert len(numbers(opened, do)) == 2


def test_what_was_delivered_is_forgotten_in_time_and_nothing_else(place: Place, do: Loop) -> None:
    store = do.open(place.store(retention=0.0, duplicate_window=0.0))
    for control_id in "12":
        do(store.record(entry(control_id)))
    [claim] = do(store.claim(10, 10, 60))
    do(store.settle(claim, [claim.entries[0].number]))
    do(store.release(claim))
    do(store.maintain())
    assert numbers(store, do) == [["event-2"]]


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_a_clock_that_jumps_ends_no_lease_and_forgets_no_message(
    opened: Store, do: Loop, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    do(opened.record(entry("1", answer=b"first")))
    do(opened.bury([letter()]))
    [claim], [taken] = do(opened.claim(10, 10, 600)), do(opened.take(ALL, 10, 600))
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + jump)
    assert do(opened.claim(10, 10, 600)) == []
    assert do(opened.take(ALL, 10, 600)) == []
    assert do(opened.record(entry("1"))) == Repeat(b"first")
    assert do(opened.settle(claim, [claim.entries[0].number]))
    assert do(opened.resolve(taken))
