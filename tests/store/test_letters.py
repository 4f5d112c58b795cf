"""The dead letter queue, over both databases."""

import asyncio

import pytest
from msgspec import structs

from fifhir.errors import StoreError
from fifhir.store import ALL, DeadLetter, Query, Store
from tests.stores import Loop, Place, letter


def plain(found: DeadLetter | None) -> DeadLetter:
    """The letter without the times the store gave it."""
    assert found is not None
    return structs.replace(found, first_failed_at=0.0, last_failed_at=0.0)


def test_a_letter_comes_back_as_it_was_buried(opened: Store, do: Loop) -> None:
    do(opened.bury([letter(1), letter(2)]))
    found = do(opened.get("letter-1"))
    assert plain(found) == letter(1)
    assert found
    assert abs(found.first_failed_at - do(opened.now())) < 60
    assert do(opened.get("letter-9")) is None
    assert do(opened.count()) == 2


def test_an_action_that_failed_again_is_still_one_letter(opened: Store, do: Loop) -> None:
    do(opened.bury([letter(attempts=3)]))
    again = letter(id="another", attempts=2, error="destination timed out", error_type="timeout")
    do(opened.bury([again, again]))
    [found] = do(opened.find())
    assert (found.id, found.attempts, found.error_type) == ("letter-1", 7, "timeout")
    assert do(opened.count()) == 1


def test_another_action_of_the_same_event_is_another_letter(opened: Store, do: Loop) -> None:
    do(opened.bury([letter(), letter(id="b", action_index=1), letter(id="c", route="other")]))
    assert do(opened.count()) == 3


def test_letters_are_found_by_what_they_are(opened: Store, do: Loop) -> None:
    many = [letter(1), letter(2, route="admits"), letter(3, error_type="timeout")]
    many.append(letter(4, event_type="patient_admit"))
    do(opened.bury(many))

    def ids(query: Query) -> list[str]:
        found = sorted(each.id for each in do(opened.find(query)))
        assert do(opened.count(query)) == len(found)
        return found

    assert ids(Query(route="admits")) == ["letter-2"]
    assert ids(Query(error_type="timeout")) == ["letter-3"]
    assert ids(Query(event_types=("patient_admit", "other"))) == ["letter-4"]
    assert ids(Query(ids=("letter-1", "letter-4"))) == ["letter-1", "letter-4"]
    now = do(opened.now())
    assert ids(Query(since=now - 600, until=now + 600)) == [f"letter-{n}" for n in (1, 2, 3, 4)]
    assert ids(Query(since=now + 600)) == []
    assert ids(Query(until=now - 600)) == []


def test_a_list_is_short_and_holds_no_message(opened: Store, do: Loop) -> None:
    do(opened.bury([letter(number) for number in range(5)]))
    found = do(opened.find(limit=3))
    assert len(found) == 3
    assert all(each.raw == each.event == b"" for each in found)


def test_letters_are_counted_by_what_they_share(opened: Store, do: Loop) -> None:
    do(opened.bury([letter(1), letter(2), letter(3, route="admits")]))
    told = [(each.route, each.action, each.letters) for each in do(opened.stats())]
    assert told == [("results", "webhook", 2), ("admits", "webhook", 1)]
    first = do(opened.stats())[0]
    assert first.oldest <= first.newest <= do(opened.now())


def test_every_letter_is_taken_by_one_of_two_replayers(place: Place, do: Loop) -> None:
    one, other = do.open(place.store()), do.open(place.store())
    do(one.bury([letter(number) for number in range(500)]))

    async def everything(store: Store) -> list[str]:
        ids = []
        while taken := await store.take(ALL, 20, 60):
            for each in taken:
                assert await store.resolve(each)
            ids += [each.letter.id for each in taken]
        return ids

    async def both() -> tuple[list[str], list[str]]:
        return await asyncio.gather(everything(one), everything(other))

    mine, others = do(both())
    assert sorted(mine + others) == sorted(f"letter-{number}" for number in range(500))
    assert do(one.count()) == 0


def test_a_letter_taken_is_whole_and_oldest_first(opened: Store, do: Loop) -> None:
    for number in (3, 1, 2):
        do(opened.bury([letter(number)]))
    taken = do(opened.take(ALL, 2, 60))
    assert [plain(each.letter) for each in taken] == [letter(3), letter(1)]


def test_after_its_lease_a_letter_is_the_next_ones(opened: Store, do: Loop) -> None:
    do(opened.bury([letter()]))
    [lost] = do(opened.take(ALL, 10, 0.0))
    [taken] = do(opened.take(ALL, 10, 60))
    assert not do(opened.resolve(lost))
    assert not do(opened.fail_again(lost, "x", "timeout"))
    do(opened.put_back([lost]))
    assert do(opened.take(ALL, 10, 60)) == []
    assert do(opened.resolve(taken))
    assert do(opened.count()) == 0


def test_a_failed_replay_is_one_more_attempt(opened: Store, do: Loop) -> None:
    do(opened.bury([letter()]))
    [taken] = do(opened.take(ALL, 10, 60))
    assert do(opened.fail_again(taken, "destination timed out", "timeout"))
    [again] = do(opened.take(ALL, 10, 60))
    assert (again.letter.attempts, again.letter.error_type) == (2, "timeout")
    assert again.letter.last_failed_at >= again.letter.first_failed_at
    assert do(opened.take(Query(until=again.letter.last_failed_at), 10, 60)) == []


def test_a_letter_put_back_may_be_taken_at_once(opened: Store, do: Loop) -> None:
    do(opened.bury([letter()]))
    [taken] = do(opened.take(ALL, 10, 60))
    do(opened.put_back([taken]))
    [again] = do(opened.take(ALL, 10, 60))
    assert again.letter.attempts == 1


def test_a_purge_spares_what_is_being_replayed(opened: Store, do: Loop) -> None:
    do(opened.bury([letter(number, route=f"r{number % 2}") for number in range(1200)]))
    [taken] = do(opened.take(Query(ids=("letter-2",)), 10, 60))
    assert do(opened.purge(Query(route="r0"))) == 599
    assert do(opened.count()) == 601
    assert do(opened.resolve(taken))


def test_past_their_number_letters_stay_with_the_sender(place: Place, do: Loop) -> None:
    store = do.open(place.store(most_letters=2))
    do(store.bury([letter(1), letter(2)]))
    with pytest.raises(StoreError, match="dlq_max_size") as fault:
        do(store.bury([letter(3)]))
    assert fault.value.kind == "full"
    do(store.purge(ALL))
    do(store.bury([letter(3)]))
    assert store.ready


def test_a_queue_switched_off_takes_nothing(place: Place, do: Loop) -> None:
    store = do.open(place.store(most_letters=0))
    with pytest.raises(StoreError, match="switched off"):
        do(store.bury([letter()]))


def test_the_audit_log_keeps_what_was_done(opened: Store, do: Loop) -> None:
    do(opened.audit("operator", "dlq.purge", {"letters": 3}))


def test_a_letter_that_is_kept_stays_with_whoever_took_it(opened: Store, do: Loop) -> None:
    do(opened.bury([letter(1), letter(2)]))
    taken = do(opened.take(ALL, 10, 0.0))
    do(opened.keep(taken[:1], 60))
    [other] = do(opened.take(ALL, 10, 60))
    assert other.letter.id == taken[1].letter.id
    do(opened.keep(taken, 0.0))  # the second is another's by now
    [again] = do(opened.take(ALL, 10, 60))
    assert again.letter.id == taken[0].letter.id
    assert do(opened.resolve(other))


def test_the_audit_log_is_read_latest_first(opened: Store, do: Loop) -> None:
    for number in range(3):
        do(opened.audit("night shift", "purge", {"route": "lab", "letters": number}))
    deeds = do(opened.audited(0.0, 2))
    assert [(deed.who, deed.what) for deed in deeds] == [("night shift", "purge")] * 2
    assert [deed.details for deed in deeds] == [
        {"route": "lab", "letters": 2},
        {"route": "lab", "letters": 1},
    ]
    assert abs(deeds[0].at - do(opened.now())) < 60
    assert do(opened.audited(do(opened.now()) + 600, 2)) == []
