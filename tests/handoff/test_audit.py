"""The audit log: who did what, in the transaction it was done in; read, filtered, saved, and forgotten in time."""

from __future__ import annotations

import csv
import io
import re

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from bot.content.catalogue import Catalogue
from bot.ledger import inbox
from bot.ledger.tables import deliveries
from bot.ledger.transaction import Ledger
from bot.settings import ROOT
from bot.updates import Unsupported
from bot.vocabulary import Role
from handoff import agents, assignments, audit, entry, trail
from handoff.acts import Act
from handoff.entry import WrongPassword
from handoff.sessions import From
from handoff.trail import Wanted
from handoff.watch import Watch, Watching
from tests.factories import NOW, later
from tests.handoff import seeding
from tests.handoff.conftest import Clock, signed_in

ADA, EVE = "ada@fernhill.example", "eve@fernhill.example"


@pytest.fixture
def admin(quick_app: Flask, quick_ledger: Ledger) -> FlaskClient:
    _, password = seeding.an_account_with_password(quick_ledger, ADA, Role.ADMIN, "Ada Kim")
    return signed_in(quick_app, ADA, password)


def acts(ledger: Ledger, **wanted: object) -> list[tuple[Act, str]]:
    with ledger.reading() as tx:
        found = trail.entries(tx, Wanted(**wanted), limit=1000)  # type: ignore[arg-type]
    return [(one.act, one.subject) for one in found]


def test_who_comes_in_and_who_fails_to_is_written_down(ledger: Ledger) -> None:
    _, password = seeding.an_account_with_password(ledger, EVE)
    for email in (EVE, "my secret password"):
        with pytest.raises(WrongPassword):
            entry.sign_in(ledger, email, "wrong", came=From("6.6.6.6"), now=NOW)
    entry.sign_in(ledger, EVE, password, came=From("1.2.3.4"), now=NOW)
    assert acts(ledger)[:3] == [
        (Act.SIGNED_IN, f"account {EVE}"),
        (Act.SIGN_IN_FAILED, "an unknown e-mail"),  # people type passwords there
        (Act.SIGN_IN_FAILED, f"account {EVE}"),
    ]
    with ledger.reading() as tx:
        assert [one.address for one in trail.entries(tx, Wanted(), limit=3)] == ["1.2.3.4", "6.6.6.6", "6.6.6.6"]


def test_what_did_not_happen_is_not_in_it(ledger: Ledger) -> None:
    seeding.an_account(ledger, EVE)
    before = acts(ledger)
    with pytest.raises(ZeroDivisionError), ledger.writing() as tx:
        agents.change_role(tx, EVE, Role.ADMIN, NOW)
        raise ZeroDivisionError
    with ledger.writing() as tx:
        agents.change_role(tx, EVE, Role.AGENT, NOW)  # which it is already
    assert acts(ledger) == before


def test_what_is_decided_over_conversations_is_in_it_and_what_is_said_is_not(ledger: Ledger) -> None:
    ann, eve = (seeding.an_account(ledger, email) for email in ("ann@fernhill.example", EVE))
    story = seeding.a_handoff(ledger, NOW)
    story.taken_by(ann)
    story.replies(ann, "aubergine is said here")
    with ledger.writing() as tx:
        assignments.transfer(tx, story.key, ann, EVE, "aubergine in a note", client_key=None, now=later(900))
        assignments.block(tx, story.key, eve, blocks=True, now=later(901))
    about = f"conversation {story.key}"
    assert acts(ledger, subject=story.key) == [(Act.BLOCKED, about), (Act.TRANSFERRED, about)]
    with ledger.reading() as tx:
        assert "aubergine" not in str(tx.execute(sa.text("SELECT * FROM audit")).all())


def test_who_looked_at_a_delivery_as_it_came_is_in_it(admin: FlaskClient, quick_ledger: Ledger) -> None:
    with quick_ledger.writing() as tx:
        inbox.record(tx, b'{"text": "hi"}', [Unsupported("text", "no body", unreadable=True)], NOW)
        delivery = tx.execute(sa.select(sa.func.max(deliveries.c.id))).scalar_one()
    admin.get(f"/updates/{delivery}/body")
    assert acts(quick_ledger, act=Act.BODY_SHOWN) == []
    admin.post(f"/updates/{delivery}/body")
    assert acts(quick_ledger, act=Act.BODY_SHOWN) == [(Act.BODY_SHOWN, f"delivery {delivery}")]


def test_it_is_filtered_and_turned_page_by_page(admin: FlaskClient, quick_ledger: Ledger) -> None:
    with quick_ledger.writing() as tx:
        eve = agents.by_id(tx, seeding_id(quick_ledger))
        for n in range(audit.SHOWN + 5):
            trail.write(tx, Act.EXPORTED, eve, subject=f"report {n}", now=later(-86400 * n))
    first = admin.get("/audit?what=exported").text
    assert (first.count("<time"), "report 54" in first) == (audit.SHOWN, True)
    older = re.findall(r'href="(/audit\?[^"]*before=\d+)"', first)[0].replace("&amp;", "&")
    rest = admin.get(older).text
    assert rest.count("<time") == 5 and "Older" not in rest
    assert admin.get(f"/audit?who={eve.id}&subject=REPORT+7").text.count("<time") == 1
    day = f"{later(-86400 * 3):%Y-%m-%d}"
    assert admin.get(f"/audit?since={day}&until={day}").text.count("<time") == 1
    assert "Nothing in the log is like that" in admin.get("/audit?subject=%25").text
    assert admin.get("/audit?who=x&what=y&since=z&before=99999999999999999999999").status_code == 200


def seeding_id(ledger: Ledger) -> int:
    with ledger.reading() as tx:
        return agents.by_email(tx, ADA).id


def test_it_is_saved_as_a_file_no_spreadsheet_runs_and_that_is_in_it_too(
    admin: FlaskClient, quick_ledger: Ledger
) -> None:
    with quick_ledger.writing() as tx:
        trail.write(tx, Act.SETTING_CHANGED, None, subject="=cmd|' /C calc'!A0", now=NOW)
    answer = admin.post("/audit/export", data={"what": "setting_changed"})
    assert answer.mimetype == "text/csv" and "attachment" in answer.headers["Content-Disposition"]
    lines = list(csv.reader(io.StringIO(answer.text)))
    assert lines[0] == list(audit.COLUMNS)
    assert [line[3:5] for line in lines[1:]] == [["Changed a setting", "'=cmd|' /C calc'!A0"]]
    assert acts(quick_ledger)[0] == (Act.EXPORTED, "audit log")


def test_it_is_forgotten_in_time(ledger: Ledger, clock: Clock) -> None:
    with ledger.writing() as tx:
        for days in (401, 399):
            trail.write(tx, Act.SET_UP, None, subject=f"{days} days", now=later(-86400 * days))
    watch = Watch(ledger, Catalogue.load(ROOT / "data" / "responses"), clock, Watching())
    watch.look()
    assert acts(ledger) == [(Act.SET_UP, "399 days")]
    clock.forward(days=2)
    watch.look()
    assert acts(ledger) == []
