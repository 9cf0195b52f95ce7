"""The counting itself: books made by hand, with each kind of wrong in them. What can't find it proves nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.books import Books, Count, Episode, Got, Heard, Held, Question, Reply, Row, Step, count

MIA, SAM = "447700900101", "447700900102"
FERN, BENCH = "*FH10482*", "*FH10517*"


def good_books() -> Books:
    """Mia asks, is answered, asks for a person, is answered by one and by the bot again; Sam asks once."""
    return Books(
        heard=[
            Heard(MIA, "m1", "where is FH10482", 10.0),
            Heard(SAM, "s1", "hello", 11.0),
            Heard(MIA, "m2", "a person please", 20.0),
            Heard(MIA, "m3", "are you there", 31.0),
            Heard(MIA, "m4", "where is FH10517", 50.0),
        ],
        got=[
            Got(MIA, "w1", f"Order {FERN} is on its way", 12.0, "baton:101"),
            Got(SAM, "w2", "Hello!", 13.0, "baton:102"),
            Got(MIA, "w3", "I'm passing you on", 22.0, "baton:104"),
            Got(MIA, "w4", "Ann here", 33.0, "baton:106"),
            Got(MIA, "w5", "Done", 35.0, "baton:107"),
            Got(MIA, "w6", "Fern is back", 41.0, "baton:108"),
            Got(MIA, "w7", f"Order {BENCH} was delivered", 52.0, "baton:110"),
        ],
        rows=[
            Row(1, MIA, "contact", "where is FH10482", "m1", turn_id=1),
            Row(2, SAM, "contact", "hello", "s1", turn_id=2),
            Row(101, MIA, "bot", f"Order {FERN} is on its way", "w1", 1, "delivered", epoch=1),
            Row(102, SAM, "bot", "Hello!", "w2", 2, "delivered", epoch=1),
            Row(103, MIA, "contact", "a person please", "m2", turn_id=3),
            Row(104, MIA, "bot", "I'm passing you on", "w3", 3, "delivered"),
            Row(105, MIA, "contact", "are you there", "m3"),
            Row(106, MIA, "agent", "Ann here", "w4", None, "read"),
            Row(107, MIA, "agent", "Done", "w5", None, "sent"),
            Row(108, MIA, "desk", "Fern is back", "w6", None, "delivered"),
            Row(109, MIA, "contact", "where is FH10517", "m4", turn_id=4),
            Row(110, MIA, "bot", f"Order {BENCH} was delivered", "w7", 4, "delivered", epoch=4),
        ],
        steps=[
            Step(1, 11.9, "sending", message_id=101),
            Step(2, 21.0, "queue", phone=MIA),
            Step(3, 21.9, "sending", message_id=104),
            Step(4, 30.0, "agent", phone=MIA),
            Step(5, 32.9, "sending", message_id=106),
            Step(6, 40.0, "bot", phone=MIA),
            Step(7, 51.9, "sending", message_id=110),
        ],
        held=[Held(MIA, 30.1, 39.9)],
        episodes=[Episode(MIA, "asked", 21.0, 40.0)],
        questions=[
            Question(MIA, ("m1",), (FERN,)),
            Question(SAM, ("s1",), (None,)),
            Question(MIA, ("m2",), (None,)),
            Question(MIA, ("m3",), (None,)),
            Question(MIA, ("m4",), (BENCH,)),
        ],
        replies=[Reply(MIA, 1, "Ann here"), Reply(MIA, 2, "Done")],
    )


def broken(books: Books, kills: int = 0) -> dict[str, float]:
    """Return the counts that are not kept."""
    return {one.name: one.value for one in count(books, kills) if not one.is_kept}


def without(items: list, **named: object) -> list:  # type: ignore[type-arg]
    kept = [item for item in items if any(getattr(item, name) != value for name, value in named.items())]
    assert len(kept) < len(items)
    return kept


def changed(items: list, where: dict[str, object], **columns: object) -> list:  # type: ignore[type-arg]
    assert any(all(getattr(item, n) == v for n, v in where.items()) for item in items)
    return [
        replace(item, **columns) if all(getattr(item, n) == v for n, v in where.items()) else item for item in items
    ]


def test_good_books_have_nothing_wrong() -> None:
    assert broken(good_books()) == {}


def test_a_message_that_was_never_written_down_is_lost() -> None:
    books = good_books()
    assert broken(replace(books, rows=without(books.rows, id=2)))["inbound_lost"] == 1


def test_a_message_the_driver_forgot_but_the_simulator_took_is_lost_all_the_same() -> None:
    books = good_books()
    heard = [*books.heard, Heard(SAM, "s2", "anybody?", 60.0)]
    assert broken(replace(books, heard=heard)) == {"inbound_lost": 1}


def test_a_message_that_nobody_answered_is_lost() -> None:
    books = good_books()
    got = without(books.got, wamid="w7")
    rows = without(books.rows, id=110)
    assert broken(replace(books, got=got, rows=rows)) == {"inbound_lost": 1}


def test_a_message_without_a_mark_that_nobody_answered_is_lost() -> None:
    books = good_books()
    got, rows = without(books.got, wamid="w2"), without(books.rows, id=102)
    assert broken(replace(books, got=got, rows=rows)) == {"inbound_lost": 1}


def test_a_person_after_the_bot_went_on_to_later_questions_is_no_answer() -> None:
    books = good_books()
    got, rows = without(books.got, wamid="w1"), without(books.rows, id=101)
    assert broken(replace(books, got=got, rows=rows)) == {}, "it waited until the person came"
    went_on = replace(
        books,
        heard=[*books.heard, Heard(MIA, "m9", "where is FH10999", 14.0)],
        got=[Got(MIA, "w9", "Order *FH10999* is packed", 16.0, "baton:100"), *got],
        rows=[Row(9, MIA, "contact", "?", "m9", 9), Row(100, MIA, "bot", "?", "w9", 9, "sent", epoch=1), *rows],
        questions=[books.questions[0], Question(MIA, ("m9",), ("*FH10999*",)), *books.questions[1:]],
    )
    assert broken(went_on)["inbound_lost"] == 1


def test_a_message_before_a_person_is_not_lost() -> None:
    books = good_books()
    got, rows = without(books.got, wamid="w7"), without(books.rows, id=110)
    episodes = [*books.episodes, Episode(MIA, "stepped_in", 51.0)]
    assert broken(replace(books, got=got, rows=rows, episodes=episodes)) == {}


def test_one_answer_to_a_burst_answers_all_of_it() -> None:
    books = good_books()
    heard = [*books.heard, Heard(MIA, "m5", "and FH10999?", 51.0)]
    rows = [*books.rows, Row(111, MIA, "contact", "and FH10999?", "m5", turn_id=4)]
    questions = [*books.questions[:-1], Question(MIA, ("m4", "m5"), (BENCH, "*FH10999*"))]
    assert broken(replace(books, heard=heard, rows=rows, questions=questions)) == {}
    apart = changed(rows, {"id": 111}, turn_id=5)
    assert broken(replace(books, heard=heard, rows=apart, questions=questions)) == {"inbound_lost": 1}


def test_a_message_written_down_twice_is_found() -> None:
    books = good_books()
    rows = [*books.rows, Row(120, SAM, "contact", "hello", "s1", turn_id=2)]
    assert broken(replace(books, rows=rows)) == {"written_down_twice": 1}


def test_two_answers_to_one_question_are_found() -> None:
    books = good_books()
    got = [*books.got, Got(MIA, "w8", f"Order {BENCH} was delivered", 53.0, "baton:112")]
    rows = [*books.rows, Row(112, MIA, "bot", f"Order {BENCH} was delivered", "w8", 5, "sent", epoch=4)]
    assert broken(replace(books, got=got, rows=rows)) == {"answered_twice": 1}


def test_two_answers_are_found_whatever_the_ledger_says() -> None:
    books = good_books()
    got = [*books.got, Got(MIA, "w8", f"{BENCH}: delivered", 53.0, "")]
    assert broken(replace(books, got=got)) == {"answered_twice": 1}


def test_who_asks_twice_may_be_answered_twice() -> None:
    books = good_books()
    heard = [*books.heard, Heard(MIA, "m5", "where is FH10517", 60.0)]
    questions = [*books.questions, Question(MIA, ("m5",), (BENCH,))]
    got = [*books.got, Got(MIA, "w8", f"Order {BENCH} was delivered", 62.0, "baton:112")]
    rows = [
        *books.rows,
        Row(111, MIA, "contact", "where is FH10517", "m5", turn_id=5),
        Row(112, MIA, "bot", f"Order {BENCH} was delivered", "w8", 5, "sent", epoch=4),
    ]
    assert broken(replace(books, heard=heard, questions=questions, got=got, rows=rows)) == {}


def test_a_message_accepted_twice_is_found() -> None:
    books = good_books()
    got = [*books.got[:2], Got(MIA, "w9", f"Order {FERN} is on its way", 12.5, "baton:101"), *books.got[2:]]
    assert broken(replace(books, got=got)) == {"sent_twice": 1}


def test_a_reply_queued_twice_is_found_by_its_text() -> None:
    books = good_books()
    got = [*books.got, Got(MIA, "w9", "Done", 36.0, "baton:130")]
    rows = [*books.rows, Row(130, MIA, "agent", "Done", "w9", None, "sent")]
    assert broken(replace(books, got=got, rows=rows))["sent_twice"] == 1


@pytest.mark.parametrize(("first", "second"), [(0, 2), (3, 4), (5, 6)])
def test_what_overtook_is_found(first: int, second: int) -> None:
    books = good_books()
    got = list(books.got)
    one, other = got[first], got[second]
    got[first], got[second] = replace(other, at=one.at), replace(one, at=other.at)
    assert broken(replace(books, got=got)).keys() >= {"out_of_order"}


def test_answers_out_of_their_questions_order_are_found_whatever_the_ledger_says() -> None:
    books = good_books()
    got = [
        replace(one, text=one.text.replace(*pair), callback="")
        for one, pair in zip(books.got, [(FERN, BENCH), *[("", "")] * 5, (BENCH, FERN)], strict=True)
    ]
    assert "out_of_order" in broken(replace(books, got=got))


def test_the_bot_after_a_take_is_found() -> None:
    books = good_books()
    got = [*books.got[:3], Got(MIA, "w9", "Can I help?", 30.6, "baton:140"), *books.got[3:]]
    rows = [*books.rows[:7], Row(140, MIA, "bot", "Can I help?", "w9", 3, "sent", epoch=2), *books.rows[7:]]
    late = [*books.steps, Step(20, 30.5, "sending", message_id=140)]
    assert broken(replace(books, got=got, rows=rows, steps=late))["bot_after_human"] == 1


def test_the_bot_in_the_agents_middle_is_found_even_without_the_ledger() -> None:
    books = good_books()
    got = [*books.got[:4], Got(MIA, "w9", "Can I help?", 34.0, ""), *books.got[4:]]
    assert broken(replace(books, got=got)) == {"bot_after_human": 1}


def test_a_request_on_its_way_at_the_take_is_not_the_bot_talking() -> None:
    books = good_books()
    got = [*books.got[:3], Got(MIA, "w9", "Can I help?", 30.6, "baton:105"), *books.got[3:]]
    rows = [
        *books.rows[:6],
        Row(105, MIA, "bot", "Can I help?", "w9", 3, "sent", epoch=2),
        *[replace(row, id=row.id + 100) if row.id == 105 else row for row in books.rows[6:]],
    ]
    steps = [replace(step, n=step.n * 10) for step in books.steps]
    before = [*steps, Step(39, 29.9, "sending", message_id=105)]
    assert "bot_after_human" not in broken(replace(books, got=got, rows=rows, steps=before))
    after = [*steps, Step(41, 30.05, "sending", message_id=105)]
    assert broken(replace(books, got=got, rows=rows, steps=after))["bot_after_human"] == 1
    again = [*before, Step(42, 30.4, "sending", message_id=105)]  # refused, and tried again after the take
    assert broken(replace(books, got=got, rows=rows, steps=again))["bot_after_human"] == 1


def test_the_hand_offs_own_sentence_may_follow_a_take_but_not_the_agent() -> None:
    books = good_books()
    got = [replace(one, at=30.5) if one.wamid == "w3" else one for one in books.got]
    assert broken(replace(books, got=got)) == {}
    behind = without(books.got, wamid="w3")
    behind.insert(3, replace(books.got[2], at=34.0))
    steps = changed(books.steps, {"message_id": 104}, n=20, at=33.9)
    assert broken(replace(books, got=behind, steps=steps)).keys() == {"bot_after_human", "out_of_order"}


def test_an_answer_at_another_phone_is_found() -> None:
    books = good_books()
    got = changed(books.got, {"wamid": "w2"}, text=f"Hello! {FERN} is on its way")
    assert broken(replace(books, got=got)) == {"wrong_contact": 1}


def test_a_reply_that_was_never_accepted_is_lost() -> None:
    books = good_books()
    lost = replace(books, got=without(books.got, wamid="w5"), rows=changed(books.rows, {"id": 107}, status="failed"))
    assert broken(lost) == {"outbound_lost": 1}
    unheard_of = replace(books, got=without(books.got, wamid="w5"), rows=without(books.rows, id=107))
    assert broken(unheard_of) == {"outbound_lost": 1}


def test_what_was_withdrawn_or_never_acknowledged_is_not_lost() -> None:
    books = good_books()
    rows = [*books.rows, Row(150, MIA, "bot", "never mind", None, 4, "withdrawn", epoch=2)]
    replies = [*books.replies, Reply(MIA, 3, "too late", acknowledged=False)]
    assert broken(replace(books, rows=rows, replies=replies)) == {}


@pytest.mark.parametrize("columns", [{"status": "failed"}, {"wamid": "another"}])
def test_a_row_that_says_other_than_the_simulator_is_found(columns: dict[str, str]) -> None:
    books = good_books()
    assert broken(replace(books, rows=changed(books.rows, {"id": 110}, **columns))) == {"books_differ": 1}


def test_what_was_given_up_as_doubtful_is_counted_against_the_kills_and_still_no_answer() -> None:
    books = good_books()
    rows = changed(books.rows, {"id": 107}, status="failed", doubtful=True)
    assert broken(replace(books, rows=rows), kills=0) == {"doubtful": 1}
    assert broken(replace(books, rows=rows), kills=1) == {}
    rows = changed(books.rows, {"id": 110}, status="failed", doubtful=True)
    assert broken(replace(books, rows=rows, got=without(books.got, wamid="w7")), kills=1) == {"inbound_lost": 1}


def test_what_is_still_under_way_at_the_end_is_told() -> None:
    books = good_books()
    waits = changed(books.rows, {"id": 109}, waiting=True)
    assert broken(replace(books, rows=waits)) == {"unanswered_at_end": 1}
    assert broken(replace(books, unfinished_turns=2)) == {"unanswered_at_end": 2}
    unsent = changed(books.rows, {"id": 110}, status="queued")
    assert broken(replace(books, rows=unsent))["unanswered_at_end"] == 1


def test_a_conversation_passed_on_by_a_fault_is_counted_against_the_kills() -> None:
    books = good_books()
    episodes = [*books.episodes, Episode(SAM, "lost", 12.0, 12.5), Episode(SAM, "silent", 14.0, 15.0)]
    assert broken(replace(books, episodes=episodes), kills=1) == {"ended_by_fault": 2}
    assert broken(replace(books, episodes=episodes), kills=2) == {}


def test_a_bar_may_be_a_least() -> None:
    assert Count("kills_rasa", 20, 20, at_least=True).is_kept
    assert not Count("kills_rasa", 19, 20, at_least=True).is_kept
    assert Count("excuses", 99, None).is_kept
    assert [str(Count("a", 0)), str(Count("b", 2, None)), str(Count("c", 1.5, 20))] == ["a 0 0", "b 2 -", "c 1.5 20"]
