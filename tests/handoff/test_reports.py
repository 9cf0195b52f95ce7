"""The reports: who may see them, what they say, and that a spreadsheet gets the same."""

from __future__ import annotations

import csv
import io
import logging
import re
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, expect

from bot.ledger import teams
from bot.ledger.history import Which
from bot.ledger.transaction import Ledger
from bot.vocabulary import Reason, Role
from handoff import reporting
from handoff.reporting import Chosen
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.browsing import Desk, now
from tests.handoff.conftest import signed_in
from tests.handoff.months import Months

TODAY = NOW.date()


@pytest.fixture
def sue(quick_app: Flask, quick_ledger: Ledger) -> FlaskClient:
    """A supervisor's browser."""
    _, password = seeding.an_account_with_password(quick_ledger, "sue@fernhill.example", Role.SUPERVISOR, "Sue Park")
    return signed_in(quick_app, "sue@fernhill.example", password)


def a_day(ledger: Ledger) -> None:
    """Mia waited five minutes and was helped; Sam cancels nothing and waits still."""
    ann = seeding.an_account(ledger, "ann@fernhill.example", Role.AGENT, "=Ann Lee")
    mia = seeding.a_handoff(ledger, NOW - timedelta(hours=2))
    mia.wait(minutes=3)
    mia.taken_by(ann)
    mia.replies(ann, "Hello")
    mia.gives_back(ann)
    sam = seeding.a_conversation(ledger, NOW - timedelta(hours=1), "Sam Okafor", "447700900102")
    sam.hands_off(Reason.NOT_UNDERSTOOD, "the blue one")


def rows_of(client: FlaskClient, name: str, asked: str = "?period=today") -> list[dict[str, str]]:
    answer = client.get(f"/reports/{name}.csv{asked}")
    assert answer.status_code == 200 and answer.mimetype == "text/csv"
    assert answer.data.startswith(b"\xef\xbb\xbf")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="baton-{name}-{TODAY}-{TODAY}.csv"'
    return list(csv.DictReader(io.StringIO(answer.data.decode("utf-8-sig"))))


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_a_day_is_told_in_numbers(sue: FlaskClient, quick_ledger: Ledger) -> None:
    a_day(quick_ledger)
    said = text_of(sue.get("/reports?period=today").text)
    assert "Asked for a person 2 1 still waiting" in said
    assert "Waited (median) 5 min of 1" in said
    assert "Within promise 1 of 2" in said, "Sam has waited an hour, and fifteen minutes were promised"
    assert "Sunday 22 November 2026, days in UTC" in said
    assert "Asked for a person at once" in said and "How is this counted?" in said
    assert "Mia" not in said and "447700" not in said and "blue one" not in said


def test_every_table_of_the_page_can_be_saved(
    sue: FlaskClient, quick_ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    a_day(quick_ledger)
    with caplog.at_level(logging.INFO):
        (agent,) = rows_of(sue, "agents")
    assert agent["Agent"] == "'=Ann Lee" and agent["Handoffs"] == "1", "no name is taken for a formula"
    assert any(getattr(record, "action", "") == "report_saved" for record in caplog.records)
    assert [row["Reason"] for row in rows_of(sue, "reasons")] == [
        "Asked for a person",
        "The bot didn't understand, twice",
    ]
    assert sum(int(row["Asked"]) for row in rows_of(sue, "days")) == 2
    page = sue.get("/reports?period=today").text
    names = set(re.findall(r"/reports/([a-z]+)\.csv", page))
    assert names >= {"handoffs", "summary", "days", "reasons", "waits", "hours", "agents", "matters"}
    for name in names:
        rows_of(sue, name)
    assert sue.get("/reports/nothing.csv").status_code == 404


def test_every_handoff_is_a_row_without_the_contact(sue: FlaskClient, quick_ledger: Ledger) -> None:
    a_day(quick_ledger)
    mia, sam = rows_of(sue, "handoffs")
    assert (mia["Waited, s"], mia["Outcome"], mia["Promise kept"], mia["Agent"]) == (
        "300",
        "given_back",
        "yes",
        "'=Ann Lee",
    )
    assert (sam["Waited, s"], sam["Outcome"], sam["Promise kept"], sam["Reason"]) == (
        "",
        "open",
        "no",
        "not_understood",
    )
    assert "Mia" not in str(mia) and "447700" not in str(mia) + str(sam) and "blue" not in str(sam)


def test_a_choice_narrows_the_page(sue: FlaskClient, quick_ledger: Ledger) -> None:
    a_day(quick_ledger)
    assert [row["Reason"] for row in rows_of(sue, "handoffs", "?period=today&reason=asked")] == ["asked"]
    assert len(rows_of(sue, "handoffs", "?period=today&agent=1&team=")) in (0, 1)
    assert not rows_of(sue, "handoffs", "?period=today&number=another")
    said = text_of(sue.get("/reports?period=today&reason=asked").text)
    assert "Of everybody: the bot has no team" in said
    assert "Nothing happened on these days" in text_of(
        sue.get("/reports?period=days&from=2026-01-01&to=2026-01-02").text
    )


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ("from=2026-11-22&to=2026-11-01", "the first day comes first"),
        ("from=2020-01-01&to=2026-11-01", "at most 366 days"),
        ("from=yesterday&to=2026-11-01", "must be a day, written"),
        ("from=2026-11-22", "must be a day, written"),
        ("from=0001-01-01&to=0001-01-02", "too far away"),
        ("from=9999-12-31&to=9999-12-31", "too far away"),
    ],
)
def test_days_that_are_none_are_refused_in_words(sue: FlaskClient, asked: str, why: str) -> None:
    for where in ("/reports", "/reports/days.csv"):
        answer = sue.get(f"{where}?period=days&{asked}")
        assert answer.status_code == 400 and why in answer.text


def test_whatever_else_stands_in_the_address_is_no_reason_to_fall_over(app: Flask, ledger: Ledger) -> None:
    _, password = seeding.an_account_with_password(ledger, "sue@fernhill.example", Role.SUPERVISOR)
    sue = signed_in(app, "sue@fernhill.example", password)
    for asked in ("period=x", "team=99999999999999999999", "agent=²", "reason=<b>", "team=-1", "number=%00x"):
        assert sue.get(f"/reports?{asked}").status_code == 200, asked


def test_supervisors_and_admins_see_it_and_nobody_else(quick_app: Flask, quick_ledger: Ledger) -> None:
    for role, status in ((Role.AGENT, 403), (Role.CONTENT, 403), (Role.SUPERVISOR, 200), (Role.ADMIN, 200)):
        email = f"{role.value}@fernhill.example"
        _, password = seeding.an_account_with_password(quick_ledger, email, role)
        client = signed_in(quick_app, email, password)
        for path in ("/reports", "/reports/handoffs.csv", "/floor", "/floor/live"):
            answer = client.get(path)
            assert answer.status_code == status, path
    assert quick_app.test_client().get("/reports/handoffs.csv").headers["Location"].startswith("/signin")


def test_weeks_of_everything_add_up_on_both_databases(ledger: Ledger) -> None:
    agents = [seeding.an_account(ledger, f"agent{n}@fernhill.example").id for n in range(3)]
    Months(NOW, 28, agents).fill(ledger, messages_=1500, conversations_=200, handoffs_=60)
    with ledger.writing() as tx:
        teams.change(tx, 1, zone="Europe/London", week="Mon-Fri 9:00-17:00", exceptions="", within_min=15)
    with ledger.reading() as tx:
        found = reporting.report(tx, Chosen(*reporting.days_back(TODAY, 28), Which()), NOW)
        days = [
            reporting.report(tx, Chosen(day, day, Which()), NOW)
            for day in (TODAY - timedelta(days=n) for n in range(28))
        ]
    assert found.zone == "Europe/London" and len(found.columns) == 28
    asked = int(found.cards[0].value)
    assert asked == sum(int(day.cards[0].value) for day in days) > 40
    assert asked == sum(bar.number for bar in found.reasons)
    assert asked == sum(cell.number for _, cells in found.heat for cell in cells)
    assert asked == sum(int(row[1] or 0) for row in found.sheets["days"].rows)
    matters = sum(int(row[1] or 0) for row in found.sheets["matters"].rows)
    assert matters == sum(int(row[1] or 0) for day in days for row in day.sheets["matters"].rows) > 400
    for column in found.columns:
        assert 0 <= column.waiting[0] <= 100.01 and column.title


def test_the_page_is_for_everybody_s_eyes_and_ears(chromium: Browser, base: str, quick_ledger: Ledger) -> None:
    agents = [seeding.an_account(quick_ledger, f"agent{n}@fernhill.example").id for n in range(3)]
    Months(now(), 28, agents).fill(quick_ledger, messages_=900, conversations_=120, handoffs_=80)
    desk = Desk(chromium, base, quick_ledger, "Sue Park", Role.SUPERVISOR)
    for width, scheme in ((1440, "light"), (390, "dark")):
        desk.page.set_viewport_size({"width": width, "height": 844})
        desk.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        desk.page.goto(f"{base}/reports?period=28d")
        desk.page.get_by_text("How is this counted?").click()
        desk.page.get_by_text("As a table").click()
        expect(desk.page.get_by_role("region", name="Day by day, as a table")).to_be_visible()
        assert desk.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert Axe().run(desk.page).response["violations"] == []
    desk.page.get_by_role("link", name="7 days").click()
    expect(desk.page.locator("main nav [aria-current]")).to_have_text("7 days")
    with desk.page.expect_download() as saved:
        desk.page.get_by_role("link", name="Every handoff").click()
    assert saved.value.suggested_filename.startswith("baton-handoffs-")
    assert desk.complaints == []
