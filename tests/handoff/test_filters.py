"""Lists narrowed, kept as views, tagged; and what agents know of a contact."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bot.ledger import transcript
from bot.ledger.transaction import Ledger
from bot.vocabulary import Reason, Role
from handoff import pages, profile, tags, views
from handoff.filters import Filters
from handoff.pages import Chosen, Show
from handoff.roles import Account, RoleForbids
from handoff.tags import BadTag
from handoff.viewing import Viewer
from handoff.views import BadView, UnknownView
from handoff.words import zone
from tests.factories import NOW, later
from tests.handoff import seeding
from tests.handoff.conftest import Api, signed_in


def names(ledger: Ledger, who: Account, show: Show, **narrowed: object) -> list[str]:
    with ledger.reading() as tx:
        return [row.name for row in found(tx, who, Chosen(show, Filters.read(narrowed))).rows]


def found(tx, who: Account, chosen: Chosen) -> pages.Rows:  # type: ignore[no-untyped-def]
    return pages.rows(tx, Viewer(who, NOW, zone(None)), chosen)


def test_every_filter_narrows_to_what_it_says(ledger: Ledger) -> None:
    ann, ben = seeding.an_account(ledger), seeding.an_account(ledger, "ben@fernhill.example", name="Ben Okoro")
    stories = seeding.a_busy_afternoon(ledger, NOW, ann, ben)
    with ledger.writing() as tx:
        tags.add(tx, stories["maya"].key, ann, "Late Parcel", NOW)
    assert names(ledger, ann, Show.QUEUE, tag="late-parcel") == ["Maya Lindqvist"]
    assert names(ledger, ann, Show.QUEUE, reason=Reason.UNREADABLE.value) == ["+48601234567"]
    assert names(ledger, ann, Show.MINE, failed="1") == ["Inês Carvalho"]
    assert names(ledger, ann, Show.OTHERS, failed="1") == []
    assert len(names(ledger, ann, Show.QUEUE, window="open")) == 3
    assert names(ledger, ann, Show.QUEUE, window="closed") == []
    assert names(ledger, ann, Show.QUEUE, team="1") == names(ledger, ann, Show.QUEUE)
    assert names(ledger, ann, Show.QUEUE, team="2") == []
    assert names(ledger, ann, Show.QUEUE, find="late-parcel") == ["Maya Lindqvist"]
    assert names(ledger, ann, Show.OTHERS, find="ben okoro") == ["Joe Mbeki"]
    assert names(ledger, ann, Show.QUEUE, find="100%") == []
    assert len(names(ledger, ann, Show.QUEUE, reason="nonsense", window="x", team="x")) == 3, "nonsense narrows nothing"


def test_a_list_that_is_too_long_says_how_many_are_not_shown(quick_ledger: Ledger) -> None:
    ann = seeding.an_account(quick_ledger)
    for n in range(4):
        seeding.a_conversation(quick_ledger, NOW, f"Contact {n}", f"44770090{n:04}")
    limit, pages.LISTED = pages.LISTED, 3
    try:
        with quick_ledger.reading() as tx:
            bot = found(tx, ann, Chosen(Show.BOT))
    finally:
        pages.LISTED = limit
    assert (len(bot.rows), bot.more, bot.is_many) == (3, 1, False)


def test_a_view_is_ones_own_or_shared_by_who_leads_and_counts_live(ledger: Ledger) -> None:
    ann = seeding.an_account(ledger)
    sue = seeding.an_account(ledger, "sue@fernhill.example", Role.SUPERVISOR)
    story = seeding.a_handoff(ledger, NOW)
    vip = Filters(tag="vip")
    with ledger.writing() as tx:
        tags.add(tx, story.key, ann, "vip", NOW)
        views.save(tx, ann, "My VIPs", "queue", vip, shared=False, now=NOW)
        shared = views.save(tx, sue, "VIPs", "queue", vip, shared=True, now=NOW)
        assert views.save(tx, sue, " VIPs ", "mine", vip, shared=True, now=NOW) == shared, (
            "the same name, the same view"
        )
        assert views.save(tx, sue, "VIPs", "queue", vip, shared=True, now=NOW) == shared
        with pytest.raises(RoleForbids):
            views.save(tx, ann, "For all", "queue", vip, shared=True, now=NOW)
        with pytest.raises(BadView):
            views.save(tx, ann, "  ", "queue", vip, shared=False, now=NOW)
        with pytest.raises(UnknownView):
            views.forget(tx, ann, shared)
    with ledger.reading() as tx:
        assert [view.name for view in views.of(tx, ann)] == ["VIPs", "My VIPs"]
        assert [view.name for view in views.of(tx, sue)] == ["VIPs"]
        chosen = pages.chosen(tx, ann, f"view-{shared}", Filters())
        rows = found(tx, ann, chosen)
    assert ([row.name for row in rows.rows], [tab.count for tab in rows.views]) == (["Mia Turner"], ["1", "1"])
    with ledger.writing() as tx:
        tags.remove(tx, story.key, sue, "vip", NOW)
        assert [tab.count for tab in found(tx, ann, chosen).views] == ["0", "0"]
        views.forget(tx, sue, shared)
        assert [view.name for view in views.of(tx, ann)] == ["My VIPs"]
        assert pages.chosen(tx, ann, f"view-{shared}", Filters()).show is Show.QUEUE, "a forgotten view is the queue"


def test_tags_are_short_words_and_eight_who_put_the_same_one_put_it_once(ledger: Ledger) -> None:
    ann = seeding.an_account(ledger)
    story = seeding.a_handoff(ledger, NOW)

    def add(word: str) -> None:
        with ledger.writing() as tx:
            tags.add(tx, story.key, ann, word, NOW)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, ["#Refund", "refund", "VIP", "Größe 38"] * 2))
    with ledger.writing() as tx:
        assert tags.of(tx, story.id) == ["größe-38", "refund", "vip"] == tags.in_use(tx)
        for bad in ("", "a/b", "x" * 25, "<b>"):
            with pytest.raises(BadTag):
                tags.add(tx, story.key, ann, bad, NOW)
        with pytest.raises(BadTag):
            tags.put(tx, story.key, ann, [f"t{n}" for n in range(13)], NOW)
        assert tags.put(tx, story.key, ann, ["vip", "new"], NOW) == ["new", "vip"] == tags.of(tx, story.id)


def test_a_program_reads_and_puts_tags(ann: Api, cleo: Api, ledger: Ledger) -> None:
    key = seeding.a_handoff(ledger, NOW).key
    assert ann.get(f"/conversations/{key}/tags").json == {"tags": []}
    put = ann.client.put(f"/api/v1/conversations/{key}/tags", headers=ann.headers(), json={"tags": ["VIP", "refund"]})
    assert (put.status_code, put.json) == (200, {"tags": ["refund", "vip"]})
    assert cleo.get(f"/conversations/{key}/tags").json == {"tags": ["refund", "vip"]}
    for body, status, word in (
        ({"tags": "vip"}, 400, "bad_body"),
        ({"tags": ["a b/c"]}, 422, "bad_tag"),
        ([], 400, "bad_body"),
    ):
        said = ann.client.put(f"/api/v1/conversations/{key}/tags", headers=ann.headers(), json=body)
        assert (said.status_code, said.json["error"]) == (status, word)
    assert ann.get("/conversations/nobody/tags").status_code == 404


def test_what_agents_know_of_a_contact_stays_with_them_and_of_two_at_once_one_stays(ledger: Ledger) -> None:
    ann = seeding.an_account(ledger, name="Ann Lee")
    story = seeding.a_handoff(ledger, NOW)

    def knows(n: int) -> None:
        with ledger.writing() as tx:
            profile.keep_field(tx, story.key, ann, "Shoe size", str(n), now=later(n))
            profile.keep_note(tx, story.key, ann, f"note {n}", later(n))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(knows, range(36, 42)))
    with ledger.writing() as tx:
        known = profile.of(tx, transcript.conversation(tx, story.key))
        assert known.note.startswith("note ") and known.note_by == "Ann Lee"
        assert [field.name for field in known.fields] == ["Shoe size"]
        profile.keep_field(tx, story.key, ann, "shoe  SIZE", "", now=NOW)
        profile.keep_note(tx, story.key, ann, " ", NOW)
        known = profile.of(tx, transcript.conversation(tx, story.key))
        assert (known.fields, known.note) == ((), "")
        with pytest.raises(profile.BadField):
            profile.keep_field(tx, story.key, ann, "", "38", now=NOW)


def test_the_contact_stands_beside_the_conversation_with_what_was_settled_before(
    quick_app: Flask, quick_ledger: Ledger, browser: FlaskClient
) -> None:
    ben = seeding.an_account(quick_ledger, "ben@fernhill.example", Role.AGENT, "Ben Okoro")
    story = seeding.a_handoff(quick_ledger, NOW - timedelta(days=2))
    story.taken_by(ben)
    story.gives_back(ben)
    story.at = NOW - timedelta(minutes=5)
    story.says("a person again please", "I'm passing you on")
    story.hands_off(Reason.ASKED, "a person again please")
    fragment = {"HX-Request": "true"}
    page = browser.get(f"/conversations/{story.key}", headers=fragment).text
    assert "Ben Okoro · Given back to the bot" in page and "20 Nov 2026" in page
    answer = browser.post(
        f"/conversations/{story.key}/field", data={"name": "Shoe size", "value": "38"}, headers=fragment
    )
    assert "Shoe size" in answer.text and "38" in answer.text
    assert (
        "Prefers evenings"
        in browser.post(
            f"/conversations/{story.key}/contact_note", data={"text": "Prefers evenings"}, headers=fragment
        ).text
    )
    assert browser.post(f"/conversations/{story.key}/block", headers=fragment).status_code == 403, "it is not hers"
    browser.post(f"/conversations/{story.key}/take", headers=fragment)
    assert browser.post(f"/conversations/{story.key}/block", headers=fragment).status_code == 200
    _, password = seeding.an_account_with_password(quick_ledger, "cleo@fernhill.example", Role.CONTENT)
    cleo = signed_in(quick_app, "cleo@fernhill.example", password)
    assert cleo.post(f"/conversations/{story.key}/unblock", headers=fragment).status_code == 403
    assert cleo.post(f"/conversations/{story.key}/tag", data={"tag": "vip"}, headers=fragment).status_code == 200
