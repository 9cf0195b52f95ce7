"""One person stays one contact, whatever becomes of their number; and nobody inherits another one's conversation."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import sqlalchemy as sa

from bot.ledger import handoffs, inbox, outbox, transcript
from bot.ledger.tables import contacts, conversations, edits, messages
from bot.ledger.transaction import Ledger
from bot.ledger.turns import Turn
from bot.messages import Card, Cards, Media, Other, Text
from bot.updates import (
    ContactRef,
    Deleted,
    Echoed,
    Edited,
    IdentityChanged,
    Preferred,
    Received,
    Renumbered,
    TemplatesChanged,
    Warned,
)
from bot.vocabulary import Author, Holder, Reason, Status, UpdateState
from tests.factories import (
    MIA,
    NOW,
    NUMBER,
    SAM,
    a_text,
    a_turn,
    a_wamid,
    begun,
    ended,
    handed_off,
    heard,
    later,
    taken,
)

OLD = ContactRef("447700900111", "GB.old", "Robin")
NEW = ContactRef("447700900222", "GB.new", "Robin")


def living(ledger: Ledger) -> list[tuple[str | None, str | None]]:
    """Everybody we can reach, as (phone, bsuid)."""
    with ledger.reading() as tx:
        rows = tx.execute(sa.select(contacts).order_by(contacts.c.id)).all()
    return [(row.phone, row.bsuid) for row in rows if row.phone or row.bsuid]


def renumbered(old: ContactRef, new: ContactRef, seconds: float = 0) -> Renumbered:
    return Renumbered(a_wamid(), NUMBER, old, new, later(seconds))


def states(ledger: Ledger, kind: str) -> list[UpdateState]:
    with ledger.reading() as tx:
        return [line.state for line in reversed(inbox.lines(tx)) if line.kind == kind]


def words_with(ledger: Ledger, ref: ContactRef) -> list[str]:
    """What was said in the one conversation with this person."""
    with ledger.reading() as tx:
        mine = contacts.c.bsuid == ref.bsuid if ref.bsuid else contacts.c.phone == ref.phone
        found = sa.select(conversations.c.id).join(contacts, contacts.c.id == conversations.c.contact_id)
        (conversation_id,) = tx.execute(found.where(mine, conversations.c.merged_into.is_(None))).scalars()
        return [message.text for message in transcript.messages_of(tx, conversation_id)]


@pytest.mark.parametrize(
    "seen",
    [
        [ContactRef(OLD.phone, None), OLD, ContactRef(None, OLD.bsuid)],
        [ContactRef(None, OLD.bsuid), OLD, ContactRef(OLD.phone, None)],
        [ContactRef(OLD.phone, None), ContactRef(None, OLD.bsuid), OLD],
        [OLD, ContactRef(None, OLD.bsuid), ContactRef(OLD.phone, None)],
    ],
    ids=["number first", "id first", "each alone, then both", "both first"],
)
def test_with_a_number_with_an_id_or_with_both_it_is_the_same_person(ledger: Ledger, seen: list[ContactRef]) -> None:
    for n, ref in enumerate(seen):
        heard(ledger, a_text(f"m{n}", contact=ref))
    assert living(ledger) == [(OLD.phone, OLD.bsuid)]
    assert words_with(ledger, OLD) == ["m0", "m1", "m2"]


@pytest.mark.parametrize("first", ["the news", "a message"])
def test_a_new_number_keeps_the_conversation_whichever_comes_first(ledger: Ledger, first: str) -> None:
    heard(ledger, a_text("before", contact=OLD))
    after = a_text("after", contact=NEW)
    for update in (renumbered(OLD, NEW), after) if first == "the news" else (after, renumbered(OLD, NEW)):
        heard(ledger, update)
    heard(ledger, a_text("again", contact=NEW))
    assert living(ledger) == [(NEW.phone, NEW.bsuid)]
    assert words_with(ledger, NEW) == ["before", "after", "again"]


def test_news_of_a_change_that_comes_again_does_not_undo_the_next_change(ledger: Ledger) -> None:
    newest = ContactRef("447700900333", "GB.newest", "Robin")
    first = renumbered(OLD, NEW)
    heard(ledger, a_text("hello", contact=OLD), first)
    heard(ledger, renumbered(NEW, newest, 3600), now=later(3600))
    heard(ledger, first, now=later(7200))
    heard(ledger, replace(first, wamid=a_wamid()), now=later(7200))
    assert living(ledger) == [(newest.phone, newest.bsuid)]
    assert states(ledger, "renumbered") == [
        UpdateState.HANDLED,
        UpdateState.HANDLED,
        UpdateState.REPEATED,
        UpdateState.HANDLED,
    ]


@pytest.mark.parametrize("again", ["the same news", "news we have forgotten by now"])
@pytest.mark.parametrize(
    ("old", "new"),
    [(OLD, NEW), (ContactRef(OLD.phone, None), NEW), (ContactRef(OLD.phone, None), ContactRef(NEW.phone, None))],
    ids=["with both ids", "without the old id", "by numbers only"],
)
@pytest.mark.parametrize("heirs_id", ["GB.heir", None], ids=["an heir with an id", "an heir by their number only"])
def test_news_of_a_change_that_comes_again_leaves_the_numbers_new_owner_alone(
    ledger: Ledger, old: ContactRef, new: ContactRef, again: str, heirs_id: str | None
) -> None:
    news = renumbered(old, new)
    heard(ledger, a_text("my card ends in 1234", contact=OLD), news)
    heir = ContactRef(OLD.phone, heirs_id, "Somebody else")
    if heirs_id is None:  # then it takes more than a number to know that it is somebody else
        heard(ledger, a_text("me", contact=ContactRef(OLD.phone, "GB.heir")), now=later(3600))
    heard(ledger, Received(a_wamid(), NUMBER, heir, Text("hello, new here"), later(7200)), now=later(7200))
    before = living(ledger)
    heard(ledger, news if again == "the same news" else replace(news, wamid=a_wamid()), now=later(7300))
    assert living(ledger) == before
    assert "my card ends in 1234" not in words_with(ledger, ContactRef(OLD.phone, "GB.heir"))


def test_strangers_are_not_made_one_by_a_number_that_one_had_and_the_other_has(ledger: Ledger) -> None:
    before = ContactRef(NEW.phone, "GB.before", "Had that number before")
    heard(ledger, a_text("my secret", contact=before), a_text("hello", contact=OLD))
    heard(ledger, renumbered(OLD, NEW, 60), now=later(60))
    assert words_with(ledger, NEW) == ["hello"]
    assert words_with(ledger, before) == ["my secret"]
    assert living(ledger) == [(None, before.bsuid), (NEW.phone, NEW.bsuid)]


def test_two_with_different_ids_stay_two_where_the_news_names_only_numbers(ledger: Ledger) -> None:
    heard(ledger, a_text("one", contact=OLD), a_text("two", contact=NEW))
    heard(ledger, renumbered(ContactRef(OLD.phone, None), ContactRef(NEW.phone, None)))
    assert [words_with(ledger, one) for one in (OLD, NEW)] == [["one"], ["two"]]


def test_a_new_security_code_that_comes_again_is_no_news(ledger: Ledger) -> None:
    ended(ledger, a_turn(ledger, contact=MIA), "hello")
    code = IdentityChanged(a_wamid(), NUMBER, MIA, NOW)
    heard(ledger, code, code)
    ended(ledger, a_turn(ledger, "hi", contact=MIA), "hello")
    heard(ledger, code)
    assert not a_turn(ledger, "again", contact=MIA).returned
    assert states(ledger, "identity") == [UpdateState.HANDLED, UpdateState.REPEATED, UpdateState.REPEATED]


def test_whether_a_change_was_carried_out_is_looked_up_in_an_index(ledger: Ledger) -> None:
    if not ledger.is_sqlite:
        return  # it plans by how many rows there are
    asked = inbox.CARRIED_OUT.params(wamids=["wamid.1"])
    looked = str(asked.compile(ledger.engine, compile_kwargs={"render_postcompile": True}))
    with ledger.reading() as tx:
        plan = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {looked}", ("handled", "wamid.1")).all()
    assert "ix_updates_moved" in plan[0].detail


def test_what_was_proven_before_the_change_does_not_come_along(ledger: Ledger) -> None:
    turn = a_turn(ledger, "it's me", contact=OLD)
    ended(ledger, turn, "Then here is your order.")
    heard(ledger, renumbered(OLD, NEW), a_text("and now?", contact=NEW))
    after = begun(ledger, turn.conversation_id)
    assert after is not None and after.returned, "the bot begins clean"


def test_a_new_security_code_begins_clean_too(ledger: Ledger) -> None:
    ended(ledger, a_turn(ledger, contact=MIA), "hello")
    heard(ledger, IdentityChanged(a_wamid(), NUMBER, MIA, NOW))
    turn = a_turn(ledger, "hi", contact=MIA)
    assert turn.returned
    ended(ledger, turn, "hello")
    assert not a_turn(ledger, "again", contact=MIA).returned


def test_a_number_that_went_to_somebody_else_takes_no_conversation_along(ledger: Ledger) -> None:
    heard(ledger, a_text("my secret", contact=OLD))
    heir = ContactRef(OLD.phone, "GB.heir", "Somebody else")
    heard(ledger, a_text("hello", contact=heir))
    assert words_with(ledger, heir) == ["hello"]
    assert living(ledger) == [(None, OLD.bsuid), (OLD.phone, "GB.heir")]
    heard(ledger, a_text("me again", contact=ContactRef(None, OLD.bsuid)))
    assert words_with(ledger, ContactRef(None, OLD.bsuid)) == ["my secret", "me again"]


def wrote(words: str, phone: str | None, bsuid: str | None, seconds: float) -> Received:
    return Received(a_wamid(), NUMBER, ContactRef(phone, bsuid), Text(words), later(seconds))


def reached_by(ledger: Ledger, conversation_id: int) -> str | None:
    """The number our next words in that conversation go to."""
    with ledger.reading() as tx:
        theirs = sa.select(contacts.c.phone).join(conversations, conversations.c.contact_id == contacts.c.id)
        return tx.execute(theirs.where(conversations.c.id == conversation_id)).scalar_one()


def test_a_message_that_comes_late_leads_no_answer_back_to_the_number_they_had(ledger: Ledger) -> None:
    heard(ledger, wrote("first", "111", "GB.b", 0))
    heard(ledger, wrote("from my new number", "222", "GB.b", 100), now=later(100))
    (conversation_id,) = heard(ledger, wrote("said before", "111", "GB.b", 50), now=later(120))
    assert reached_by(ledger, conversation_id) == "222"
    heard(ledger, wrote("without my id", "111", None, 60), now=later(121))
    assert words_with(ledger, ContactRef(None, "GB.b")) == [
        "first",
        "from my new number",
        "said before",
        "without my id",
    ]
    heard(ledger, wrote("my old number again", "111", "GB.b", 200), now=later(200))
    assert reached_by(ledger, conversation_id) == "111", "what is newer counts"


@pytest.mark.parametrize("olds_id", ["GB.old", None], ids=["with an id", "by number only"])
def test_a_message_that_comes_late_leads_no_answer_to_the_numbers_new_owner(
    ledger: Ledger, olds_id: str | None
) -> None:
    heard(ledger, wrote("mine", "111", "GB.old", 0))
    heard(ledger, wrote("I have it now", "111", "GB.new", 100), now=later(100))
    (conversation_id,) = heard(ledger, wrote("my order?", "111", olds_id, 50), now=later(120))
    assert reached_by(ledger, conversation_id) is None
    assert words_with(ledger, ContactRef(None, "GB.old")) == ["mine", "my order?"]
    assert living(ledger) == [(None, "GB.old"), ("111", "GB.new")]


def test_somebody_unknown_who_had_a_number_before_its_owner_does_not_take_it(ledger: Ledger) -> None:
    heard(ledger, wrote("I have it now", "111", "GB.new", 100), now=later(100))
    heard(ledger, wrote("said long ago", "111", "GB.old", 50), now=later(120))
    assert living(ledger) == [("111", "GB.new"), (None, "GB.old")]


@pytest.mark.parametrize("heirs_id", ["GB.heir", None], ids=["with an id", "by number only"])
def test_who_writes_from_a_number_that_was_given_up_is_somebody_else(ledger: Ledger, heirs_id: str | None) -> None:
    numbers = ContactRef("111", None), ContactRef("222", None)
    heard(ledger, wrote("mine", "111", None, 0))
    heard(ledger, renumbered(*numbers, 10), now=later(10))
    heard(ledger, wrote("who is this?", "111", heirs_id, 5000), now=later(5000))
    heard(ledger, wrote("before I changed", "111", None, 5), now=later(5001))
    heard(ledger, wrote("and after", "222", "GB.mine", 6000), now=later(6000))
    heard(ledger, wrote("with my id", "111", "GB.mine", 7), now=later(6001))
    assert words_with(ledger, ContactRef("222", None)) == ["mine", "before I changed", "and after", "with my id"]
    assert words_with(ledger, ContactRef("111", None)) == ["who is this?"]
    assert living(ledger) == [("222", "GB.mine"), ("111", heirs_id)]


@pytest.mark.parametrize("careful", [True, False])
@pytest.mark.parametrize("first", range(6))
def test_a_person_who_moves_is_reached_where_they_are_in_whatever_order_it_comes(
    ledger: Ledger, first: int, careful: bool
) -> None:
    for n, order in enumerate(itertools.permutations(range(6))):
        if order[0] != first or n % 20 != first:
            continue  # some of them; all take long
        old, new, bsuid = f"1{n}", f"2{n}", f"GB.{n}"
        came = [
            wrote("a", old, bsuid, 0),
            wrote("b", old, None, 1),
            renumbered(ContactRef(old, bsuid), ContactRef(new, bsuid), 4),
            wrote("c", new, bsuid, 5),
            Echoed(a_wamid(), NUMBER, ContactRef(new, bsuid), Text("d"), later(6)),
            wrote("e", None, bsuid, 7),
        ]
        with ledger.writing() as tx:
            inbox.record_all(tx, [(b"{}", [came[one] for one in order])], later(10), careful=careful)
        mine = ContactRef(new, bsuid)
        assert sorted(words_with(ledger, mine)) == ["a", "b", "c", "d", "e"], order
        assert (new, bsuid) in living(ledger) and old not in {phone for phone, _ in living(ledger)}, order


def test_who_hid_their_number_before_they_changed_it_is_not_written_to_at_the_old_one(ledger: Ledger) -> None:
    """Then the news names ids only: an id is new because the number is."""
    (conversation_id,) = heard(ledger, a_text("hi", contact=OLD))
    heard(ledger, a_text("hidden now", contact=ContactRef(None, OLD.bsuid)))
    heard(ledger, renumbered(ContactRef(None, OLD.bsuid), ContactRef(None, "GB.new")))
    heard(ledger, a_text("it is me", contact=ContactRef(None, "GB.new")))
    with ledger.writing() as tx:
        outbox.queue(tx, conversation_id, Text("hello"), author=Author.AGENT, now=NOW)
        outgoing = outbox.claim(tx, NOW)
    assert outgoing is not None and (outgoing.phone, outgoing.bsuid) == (None, "GB.new")


def test_who_hides_their_number_after_a_change_is_written_to_by_their_id(ledger: Ledger) -> None:
    (conversation_id,) = heard(ledger, a_text("hi", contact=OLD))
    heard(ledger, renumbered(OLD, ContactRef(None, "GB.new")))
    with ledger.writing() as tx:
        outbox.queue(tx, conversation_id, Text("hello"), author=Author.AGENT, now=NOW)
        outgoing = outbox.claim(tx, NOW)
    assert outgoing is not None and (outgoing.phone, outgoing.bsuid) == (None, "GB.new")


def test_when_two_turn_out_to_be_one_the_person_at_the_desk_keeps_them(ledger: Ledger) -> None:
    by_number, by_id = ContactRef(OLD.phone, None), ContactRef(None, OLD.bsuid)
    bot_has = a_turn(ledger, "first", contact=by_number)
    asked = a_turn(ledger, "a person please", contact=by_id)
    handed_off(ledger, asked)
    ended(ledger, asked, silent=True)
    taken(ledger, asked.key)
    heard(ledger, a_text("it is all me", contact=OLD))
    with ledger.reading() as tx:
        found = transcript.list_of(tx, Holder.AGENT)
    assert [one.agent_name for one in found] == ["Ann"]
    assert words_with(ledger, OLD) == ["first", "a person please", "A person will be with you.", "it is all me"]
    assert begun(ledger, bot_has.conversation_id, owner="b") is None, "the bot has nothing left to answer"


def test_a_number_shared_because_we_asked_is_theirs_and_a_card_sent_by_hand_is_not(ledger: Ledger) -> None:
    hidden = ContactRef(None, "GB.hidden")
    card = Card("", phones=("+447700900333",), wa_id="447700900333")
    for asked, phone in ((False, None), (True, "447700900333")):
        heard(ledger, Received(a_wamid(), NUMBER, hidden, Cards((card,), asked=asked), NOW))
        assert living(ledger) == [(phone, "GB.hidden")]


def test_who_stops_marketing_may_still_be_answered(ledger: Ledger) -> None:
    heard(ledger, a_text(contact=SAM), Preferred(NUMBER, SAM, marketing=False, at=NOW))
    with ledger.reading() as tx:
        assert tx.execute(sa.select(contacts.c.marketing_stopped_at)).scalar_one() is not None
    heard(ledger, Preferred(NUMBER, SAM, marketing=True, at=NOW))
    with ledger.reading() as tx:
        assert tx.execute(sa.select(contacts.c.marketing_stopped_at)).scalar_one() is None


def test_who_stops_marketing_stays_stopped_when_their_older_wish_comes_again(ledger: Ledger) -> None:
    wants = Preferred(NUMBER, SAM, marketing=True, at=NOW)
    heard(ledger, wants, Preferred(NUMBER, SAM, marketing=False, at=later(60)))
    heard(ledger, wants, now=later(300))
    with ledger.reading() as tx:
        assert tx.execute(sa.select(contacts.c.marketing_stopped_at)).scalar_one() == later(60)
    heard(ledger, Preferred(NUMBER, SAM, marketing=True, at=later(400)), now=later(400))
    with ledger.reading() as tx:
        assert tx.execute(sa.select(contacts.c.marketing_stopped_at)).scalar_one() is None


def test_a_wish_that_comes_late_hands_no_number_back_to_who_had_it_then(ledger: Ledger) -> None:
    old, heir = ContactRef("447700900500", "GB.old"), ContactRef("447700900500", "GB.heir")
    for who, seconds in ((old, 0), (heir, 100)):
        heard(ledger, a_text(contact=who, at=later(seconds)), now=later(seconds))
    heard(ledger, Preferred(NUMBER, old, marketing=False, at=later(50)), now=later(200))
    assert living(ledger) == [(None, "GB.old"), ("447700900500", "GB.heir")]
    with ledger.reading() as tx:
        stopped = sa.select(contacts.c.bsuid).where(contacts.c.marketing_stopped_at.is_not(None))
        assert tx.execute(stopped).scalars().all() == ["GB.old"]


# --- what is changed or taken back, and what is said on the phone


def said(ledger: Ledger) -> list[transcript.Said]:
    with ledger.reading() as tx:
        (one,) = transcript.list_of(tx)
        return transcript.messages_of(tx, one.id)


@pytest.mark.parametrize("first", ["the message", "the edit"])
def test_an_edit_changes_the_words_whichever_comes_first(ledger: Ledger, first: str) -> None:
    message = a_text("wher is")
    edit = Edited(a_wamid(), message.wamid, Text("where is my order?"), later(5))
    for update in (message, edit) if first == "the message" else (edit, message):
        heard(ledger, update)
    assert [one.text for one in said(ledger)] == ["where is my order?"]
    heard(ledger, edit)
    (conversation_id,) = heard(ledger, a_text("please"))
    turn = begun(ledger, conversation_id)
    assert turn is not None and turn.words == "where is my order?\nplease", "the bot answers what it says now"


@pytest.mark.parametrize("first", ["the message", "the deletion"])
def test_what_was_taken_back_is_gone_and_nobody_answers_it(ledger: Ledger, first: str) -> None:
    message = a_text("my card is 4111 1111 1111 1111")
    gone = Deleted(a_wamid(), message.wamid, later(5))
    waiting = [heard(ledger, one) for one in ((message, gone) if first == "the message" else (gone, message))]
    (one,) = said(ledger)
    assert (one.text, one.content) == ("", Other("deleted"))
    with ledger.reading() as tx:
        assert not tx.execute(sa.select(messages.c.waiting)).scalar_one()
    assert first == "the message" or waiting[-1] == set()


def test_what_was_taken_back_leaves_its_edits_and_the_wish_too(ledger: Ledger) -> None:
    secret, other = a_text("a person please, my PIN is 1234"), a_text("it is about my order")
    (conversation_id,) = heard(ledger, secret, other)
    turn = begun(ledger, conversation_id)
    assert turn is not None
    handed_off(ledger, turn)
    ended(ledger, turn, silent=True)

    def wish() -> str:
        with ledger.reading() as tx:
            (one,) = transcript.list_of(tx)
            return one.wish

    heard(ledger, Edited(a_wamid(), secret.wamid, Text("a person please, my PIN is 5678"), later(5)))
    assert "5678" in wish() and "1234" not in wish()
    heard(ledger, Deleted(a_wamid(), secret.wamid, later(6)))
    assert wish() == "it is about my order"
    with ledger.reading() as tx:
        assert [one.content for one in tx.execute(sa.select(edits))] == [None, None]
        (gone,) = inbox.taken_back(tx, later(6))
        assert gone == inbox.TakenBack(secret.wamid, (turn.key,), for_good=False)
        assert inbox.taken_back(tx, later(100))[0].for_good
    with ledger.writing() as tx:
        inbox.forgotten(tx, [secret.wamid])
        assert not inbox.taken_back(tx, later(100))
    heard(ledger, Deleted(a_wamid(), other.wamid, later(7)))
    assert wish() == handoffs.TAKEN_BACK


def a_secret_before_a_person_is_asked_for(ledger: Ledger) -> tuple[Received, Turn, Turn]:
    """A message, the turn that heard it, and the next one, which asks for a person and runs."""
    secret = a_text("my PIN is 1234")
    (conversation_id,) = heard(ledger, secret)
    first = begun(ledger, conversation_id)
    assert first is not None
    ended(ledger, first, "Sorry?")
    return secret, first, a_turn(ledger, "a person please")


def test_what_was_taken_back_leaves_the_wish_of_a_later_turn(ledger: Ledger) -> None:
    """*A person please* is about what was said before."""
    secret, first, second = a_secret_before_a_person_is_asked_for(ledger)
    handed_off(ledger, replace(second, heard=first.heard))
    heard(ledger, Deleted(a_wamid(), secret.wamid, later(6)))
    with ledger.reading() as tx:
        assert transcript.list_of(tx)[0].wish == handoffs.TAKEN_BACK


@pytest.mark.parametrize("hands_off", ["an action", "the second silence"])
def test_what_is_taken_back_while_the_bot_thinks_is_in_no_wish(ledger: Ledger, hands_off: str) -> None:
    ended(ledger, a_turn(ledger, "hello"))  # without a word: the second time in a row it is a person's matter
    secret, other = a_text("my PIN is 1234"), a_text("a person please")
    (conversation_id,) = heard(ledger, secret, other)
    turn = begun(ledger, conversation_id)
    assert turn is not None
    heard(ledger, Deleted(a_wamid(), secret.wamid, later(1)))
    if hands_off == "an action":
        handed_off(ledger, turn)
    ended(ledger, turn)
    with ledger.reading() as tx:
        (one,) = transcript.list_of(tx)
    assert (one.holder, one.wish) == (Holder.QUEUE, "hello\na person please")


def test_what_is_taken_back_just_before_a_person_is_asked_for_is_in_no_wish(ledger: Ledger) -> None:
    """Rasa's memory may have it still, and *a person please* is about what was said before."""
    secret, first, second = a_secret_before_a_person_is_asked_for(ledger)
    heard(ledger, Deleted(a_wamid(), secret.wamid, later(6)))
    handed_off(ledger, replace(second, heard=first.heard))
    with ledger.reading() as tx:
        assert transcript.list_of(tx)[0].wish == "a person please"


def test_what_is_edited_while_the_bot_thinks_is_in_the_wish_as_it_is_now(ledger: Ledger) -> None:
    turn = a_turn(ledger, "it is about order 1")
    heard(ledger, Edited(a_wamid(), turn.heard[0].wamid, Text("it is about order 2"), later(1)))
    handed_off(ledger, turn)
    with ledger.reading() as tx:
        assert transcript.list_of(tx)[0].wish == "it is about order 2"


def test_what_was_taken_back_is_not_answered_when_its_turn_is_done_again(ledger: Ledger) -> None:
    secret, other = a_text("oops"), a_text("where is my order?")
    (conversation_id,) = heard(ledger, secret, other)
    assert begun(ledger, conversation_id) is not None
    heard(ledger, Deleted(a_wamid(), secret.wamid, later(2)))
    again = begun(ledger, conversation_id, owner="b", now=later(30))
    assert again is not None and (again.attempt, again.words) == (2, "where is my order?")
    heard(ledger, Deleted(a_wamid(), other.wamid, later(31)))
    assert begun(ledger, conversation_id, owner="c", now=later(60)) is None, "nothing is left to answer"
    with ledger.reading() as tx:
        assert not tx.execute(sa.select(messages.c.waiting).where(messages.c.waiting)).all()
        assert transcript.list_of(tx)[0].holder is Holder.BOT


def test_the_alarm_of_a_template_ends_with_its_good_news(ledger: Ledger) -> None:
    def raised(language: str, what: str, name: str = "reopen") -> set[str]:
        heard(ledger, TemplatesChanged(name, language, what))
        with ledger.reading() as tx:
            return {alarm.name for alarm in inbox.alarms.raised(tx)}

    raised("en", "PAUSED")
    raised("de", "QUALITY RED")
    assert raised("de", "APPROVED") == {"template reopen en", "template reopen de quality"}
    assert raised("en", "APPROVED") == {"template reopen de quality"}
    assert raised("de", "QUALITY GREEN") == set()
    raised("en", "PAUSED", "x" * 100 + "1")
    assert len(raised("en", "PAUSED", "x" * 100 + "2")) == 2


def test_nobody_edits_what_we_sent(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    ended(ledger, turn, "Your refund is £10.")
    with ledger.writing() as tx:
        outgoing = outbox.claim(tx, later(1))
        assert outgoing is not None
        outbox.settle(tx, outgoing.id, outbox.Outcome(outbox.Kind.ACCEPTED, wamid="wamid.ours"), later(1))
    heard(ledger, Edited(a_wamid(), "wamid.ours", Text("Your refund is £1000."), later(5)))
    assert said(ledger)[-1].text == "Your refund is £10."


def echo(words: str = "Ann here, on my phone", seconds: float = 0) -> Echoed:
    return Echoed(a_wamid(), NUMBER, MIA, Text(words), later(seconds))


def test_an_answer_typed_on_the_phone_is_a_take_and_given_back_after_a_quiet_time(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    heard(ledger, echo())
    ended(ledger, turn, "Hello from the bot")
    assert heard(ledger, a_text("thanks, Ann")) == set(), "the bot is silent"
    with ledger.reading() as tx:
        (one,) = transcript.list_of(tx)
    assert (one.holder, one.agent_name, one.reason) == (Holder.AGENT, handoffs.THE_PHONE, Reason.PHONE)
    assert [(m.author, m.status) for m in said(ledger)][1] == (Author.AGENT, Status.SENT)
    heard(ledger, echo("one more", seconds=600), now=later(600))
    with ledger.writing() as tx:
        assert handoffs.give_back_from_phone(tx, later(30 * 60 + 1)) == 0, "the second answer counts from itself"
        assert handoffs.give_back_from_phone(tx, later(40 * 60 + 1)) == 1
    (conversation_id,) = heard(ledger, a_text("are you open on Sunday?"), now=later(2500))
    assert begun(ledger, conversation_id, now=later(2600)) is not None


def test_an_agent_at_the_desk_keeps_what_somebody_also_answers_on_the_phone(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    taken(ledger, turn.key)
    heard(ledger, echo())
    with ledger.writing() as tx:
        assert handoffs.give_back_from_phone(tx, later(10**6)) == 0
        assert transcript.conversation(tx, turn.key).agent_name == "Ann"


def test_the_desk_may_take_over_from_the_phone(ledger: Ledger) -> None:
    turn = a_turn(ledger)
    heard(ledger, echo())
    assert taken(ledger, turn.key)
    with ledger.writing() as tx:
        assert handoffs.give_back_from_phone(tx, later(10**6)) == 0
        assert transcript.conversation(tx, turn.key).agent_name == "Ann"


def test_what_metas_own_agent_says_is_heard_and_nothing_more(ledger: Ledger) -> None:
    overheard = Received(a_wamid(), NUMBER, MIA, Text("hi"), NOW, wants_answer=False, standby=True)
    assert heard(ledger, overheard, Echoed(a_wamid(), NUMBER, MIA, Text("I am Meta's"), NOW, standby=True)) == set()
    with ledger.reading() as tx:
        (one,) = transcript.list_of(tx)
        assert one.holder is Holder.BOT
        assert [alarm.name for alarm in inbox.alarms.raised(tx)] == ["standby"]


def test_meta_warns_and_somebody_is_told(ledger: Ledger) -> None:
    heard(ledger, Warned("account_update", "Meta restricts our account."), TemplatesChanged("reopen", "en", "PAUSED"))
    with ledger.reading() as tx:
        assert {alarm.name for alarm in inbox.alarms.raised(tx)} == {"meta account_update", "template reopen en"}


def test_a_contact_who_floods_us_with_files_is_still_heard(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.ledger.files.MOST_A_DAY", 2)
    for n in range(4):
        heard(ledger, Received(a_wamid(), NUMBER, MIA, Media("image", media_id=f"{n}"), NOW))
    with ledger.reading() as tx:
        ids = [message.id for message in said(ledger)]
        states = [inbox.files.of(tx, ids)[one].state.value for one in ids]
    assert states == ["waiting", "waiting", "refused", "refused"]
