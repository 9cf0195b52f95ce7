"""What several rooms do to one conversation at once: snoozes, merges, guests, hooks, teams, tags."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from flask import Flask

from bot import launch
from bot.content.catalogue import Catalogue
from bot.ledger import errands, handoffs, hooks, inbox, snoozes, teams, transcript
from bot.ledger.tables_outside import calls
from bot.ledger.transaction import Ledger
from bot.messages import MessageTemplate, Tap
from bot.settings import ROOT, Settings
from bot.updates import ContactRef, Renumbered
from bot.vocabulary import Author, Csat, Happening, Role, Routing
from handoff import assignments, giving, members, trail, unread
from handoff.unread import Read
from handoff.watch import Watch, Watching
from tests.factories import NOW, NUMBER, a_text, a_turn, a_wamid, handed_off, heard, later, taken
from tests.handoff import seeding
from tests.handoff.conftest import Api, signed_in

BY_PHONE, BY_ID, BOTH = ContactRef("111", None), ContactRef(None, "GB.b"), ContactRef("111", "GB.b")
DAY = 86400


def comes_with_both(ledger: Ledger, seconds: float) -> None:
    """The two turn out to be one person."""
    heard(ledger, a_text("it is all me", contact=BOTH, at=later(seconds)), now=later(seconds))


def test_who_waits_in_what_goes_into_a_snoozed_conversation_is_not_forgotten(ledger: Ledger) -> None:
    held, waits = a_turn(ledger, "by phone", contact=BY_PHONE), a_turn(ledger, "a person please", contact=BY_ID)
    taken(ledger, held.key)
    handed_off(ledger, waits)
    with ledger.writing() as tx:
        snoozes.snooze(tx, held.key, agent_id=1, until=later(7 * DAY), words=None, now=later(60))
    with ledger.writing() as tx:  # Meta tells it; the contact says nothing
        inbox.record(tx, b"{}", [Renumbered(a_wamid(), NUMBER, BY_PHONE, BOTH, later(120))], later(120))
    with ledger.reading() as tx:
        (one,) = transcript.list_of(tx)
        assert one.snoozed_until is None
        assert handoffs.kept_waiting(tx, later(180)), "their agent owes them a first word"


def test_a_hook_does_not_hear_that_a_handoff_is_closed_where_there_was_none(ledger: Ledger) -> None:
    held, _ = a_turn(ledger, "by phone", contact=BY_PHONE), a_turn(ledger, "by id", contact=BY_ID)
    taken(ledger, held.key)
    with ledger.writing() as tx:
        hooks.add(tx, "https://example.com/h", [Happening.HANDOFF_CLOSED], "", account_id=1, now=NOW)
    comes_with_both(ledger, 60)
    with ledger.reading() as tx:
        assert tx.execute(sa.select(calls)).all() == []


def test_tags_and_mentions_of_what_was_merged_are_found_in_the_lists(app: Flask, ledger: Ledger, ann: Api) -> None:
    kept, gone = a_turn(ledger, "by phone", contact=BY_PHONE).key, a_turn(ledger, "by id", contact=BY_ID).key
    _, password = seeding.an_account_with_password(ledger, "zoe@fernhill.example", Role.AGENT, "Zoe")
    zoe = signed_in(app, "zoe@fernhill.example", password)
    ann.client.put(f"/api/v1/conversations/{gone}/tags", headers=ann.headers(), json={"tags": ["vip"]})
    ann.post(f"/conversations/{gone}/note", {"text": "@zoe look at this"})
    comes_with_both(ledger, 60)
    assert kept in zoe.get("/list?show=mentions").text
    assert gone not in zoe.get("/list?show=mentions").text
    assert kept in zoe.get("/list?show=bot&tag=vip").text
    assert "vip" in zoe.get("/list?show=bot").text


def test_passing_on_to_a_team_is_in_the_audit_log(app: Flask, ledger: Ledger, ann: Api, ada: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    with ledger.writing() as tx:
        teams.make(tx, "Billing")
    ann.post(f"/conversations/{key}/take")
    assert ann.post(f"/conversations/{key}/transfer", {"to_team": "Billing"}).status_code == 200
    with ledger.reading() as tx:
        rows = tx.execute(sa.text("SELECT act, details FROM audit WHERE act = 'transferred'")).all()
    assert len(rows) == 1 and "Billing" in str(rows[0])


def test_who_is_put_back_by_who_leads_is_told_what_is_promised_anew(app: Flask, ledger: Ledger, ann: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    ann.post(f"/conversations/{key}/take")
    _, password = seeding.an_account_with_password(ledger, "sue@fernhill.example", Role.SUPERVISOR, "Sue")
    sue = signed_in(app, "sue@fernhill.example", password)
    with ledger.reading() as tx:
        of = {"of": transcript.conversation(tx, key).agent_id}
    for _ in range(2):
        sue.post(f"/floor/{key}/put_back", data=of)
    said = ann.get(f"/conversations/{key}/messages").json
    assert sum("passing you on" in one["text"] for one in said if one["author"] == Author.DESK.value) == 1


@pytest.mark.parametrize("until", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_snooze_to_the_end_of_time_is_refused_in_words(app: Flask, ledger: Ledger, ann: Api, until: str) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    ann.post(f"/conversations/{key}/take")
    answer = ann.post(f"/conversations/{key}/snooze", {"until": until})
    assert answer.status_code == 422, answer.json


def test_a_snooze_that_is_sent_twice_tells_the_contact_once(app: Flask, ledger: Ledger, ann: Api) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    ann.post(f"/conversations/{key}/take")
    wanted = {"until": (NOW + timedelta(hours=3)).isoformat(), "tell": True}
    for _ in range(2):
        assert ann.post(f"/conversations/{key}/snooze", wanted).status_code == 200
    said = ann.get(f"/conversations/{key}/messages").json
    assert sum(one["author"] == "desk" for one in said) == 1


def test_every_setting_reaches_the_processes() -> None:
    some = Settings(close_idle_h=3, ask_csat=False, window_template=("still_waiting", "en_GB"), keep_audit_days=40)
    again = Settings.from_env(launch.environment(some))
    assert (again.close_idle_h, again.ask_csat, again.window_template) == (3, False, ("still_waiting", "en_GB"))


@pytest.mark.parametrize("routing", [Routing.ROUND_ROBIN, Routing.LEAST_LOADED])
def test_who_puts_a_contact_back_is_not_given_them_again_at_once(
    app: Flask, ledger: Ledger, ann: Api, ben: Api, routing: Routing
) -> None:
    story = seeding.a_handoff(ledger, NOW)
    with ledger.writing() as tx:
        teams.route(tx, teams.FIRST, routing=routing, capacity=5)
        members.see(tx, ann.account.id, NOW)
        assignments.take(tx, story.key, ann.account, NOW)
        assignments.requeue(tx, story.key, ann.account, NOW)
        assert giving.give(tx, NOW) == 0, "nobody else is there; there is time yet"
        members.see(tx, ben.account.id, NOW)
        assert giving.give(tx, NOW) == 1
        assert transcript.conversation(tx, story.key).agent_id == ben.account.id


def test_who_puts_a_contact_back_has_them_again_before_the_promise_breaks(app: Flask, ledger: Ledger, ann: Api) -> None:
    story = seeding.a_handoff(ledger, NOW)
    with ledger.writing() as tx:
        teams.route(tx, teams.FIRST, routing=Routing.ROUND_ROBIN, capacity=5)
        assignments.take(tx, story.key, ann.account, NOW)
        assignments.requeue(tx, story.key, ann.account, NOW)
        members.see(tx, ann.account.id, later(600))
        assert giving.give(tx, later(600)) == 1


def test_how_it_was_is_no_message_to_read(app: Flask, ledger: Ledger, ann: Api) -> None:
    story = seeding.a_handoff(ledger, NOW)
    with ledger.writing() as tx:
        assignments.take(tx, story.key, ann.account, NOW)
        assignments.reply(tx, story.key, ann.account, "Hello, Ann here.", client_key=None, now=NOW)
    ann.post(f"/conversations/{story.key}/give_back", {"outcome": "solved"})
    with ledger.reading() as tx:
        one, (first,) = transcript.conversation(tx, story.key), transcript.episodes_of(tx, story.id)
        newest = transcript.messages_of(tx, one.id)[-1].id
    with ledger.writing() as tx:
        unread.read(tx, Read(ann.account.id, one.id, newest, NOW))
    tap = Tap(f"csat:{first.id}:good", "Good")
    heard(ledger, a_text(content=tap, contact=story.contact, at=later(60)), now=later(60))
    with ledger.reading() as tx:
        assert transcript.episodes_of(tx, story.id)[0].csat is Csat.GOOD
        assert unread.counts(tx, ann.account.id, [one.id]) == {}


def test_a_window_is_not_kept_open_by_advertising(ledger: Ledger) -> None:
    watching = Watching(window_template=("still_waiting", "en_GB"))
    watch = Watch(ledger, Catalogue.load(ROOT / "data" / "responses"), lambda: NOW, watching)
    body = {"type": "BODY", "text": "Still there?"}
    for category, is_sent in (("MARKETING", False), ("UTILITY", True)):
        with ledger.writing() as tx:
            found = MessageTemplate("still_waiting", "en_GB", category, "APPROVED", (body,))
            errands.keep_templates(tx, [found], NOW)
            assert (watch._template(tx) is not None) is is_sent


def test_who_has_everything_told_to_a_program_stands_in_the_audit_log(app: Flask, ledger: Ledger, ada: Api) -> None:
    wanted = {"url": "https://example.com/h", "events": ["message.created"]}
    hook = ada.post("/hooks", wanted).json["id"]
    for verb in ("off", "on"):
        assert ada.post(f"/hooks/{hook}/{verb}").status_code == 200
    ada.client.delete(f"/api/v1/hooks/{hook}", headers=ada.headers())
    with ledger.reading() as tx:
        wrote = trail.entries(tx, trail.Wanted(subject=f"hook {hook}"), limit=10)
    assert [dict(one.details)["what"] for one in reversed(wrote)] == ["made", "off", "on", "removed"]
    assert {one.email for one in wrote} == {"ada@fernhill.example"}
