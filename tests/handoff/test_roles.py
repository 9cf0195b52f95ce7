"""Every page and call against every role: the table in handoff/README.md ("Who may do what") is true, and whole.

A new route fails here until it has a row there. The failure prints the row as the desk answers now: read it, and copy
it if it is what you mean. The paths, forms and bodies a row is tried with are SAMPLES, FORM and BODIES below; a call
that needs another body than most has a line in BODIES. A row may say which case it is: "a colleague's".
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from bot.ledger import alarms, inbox, outbox
from bot.ledger.tables import deliveries
from bot.ledger.transaction import Ledger
from bot.settings import ROOT, Settings
from bot.updates import Unsupported
from bot.vocabulary import Role
from handoff import feed, guard
from handoff.app import create_app
from handoff.roles import Account
from tests.factories import NOW
from tests.handoff import seeding
from tests.handoff.conftest import Clock, signed_in

README = ROOT / "handoff" / "README.md"
COLUMNS = ("stranger", "newcomer", "agent", "content", "supervisor", "admin", "wrong key")
COLLEAGUES = "a colleague's"
EVE = "eve@fernhill.example"
LEADS_TO = {"/signin": "sign in", "/password": "password", "/account/factor": "factor"}

FORM = {"text": "Hello", "name": "New Name", "role": "agent", "to": EVE, "email": "new@fernhill.example"}
BODIES: dict[str, object] = {  # of API calls; for pages: what comes on top of FORM
    "/api/v1/conversations/<key>/transfer": {"to": EVE, "note": "please"},
    "/api/v1/conversations/<key>/template": {"name": "answer_ready", "language": "en"},
}
CHANGE_NOTHING = {"password", "403", "404"}
SAMPLES = {"handle": "0" * 16, "filename": "desk.css"}  # of a path's parts; the others come from the world


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    method: str
    rule: str
    case: str
    told: tuple[str, ...]

    def __str__(self) -> str:
        case = f" {self.case}" if self.case else ""
        return f"| `{self.method} {self.rule}`{case} | {' | '.join(self.told)} |"


def rows() -> list[Row]:
    """Read the table."""
    found = []
    for line in README.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        call = re.fullmatch(r"`([A-Z]+) (\S+)`\s*(.*)", cells[0])
        if call and len(cells) == len(COLUMNS) + 1:
            found.append(Row(call[1], call[2], call[3], tuple(cells[1:])))
    return found


@dataclass
class Person:
    """Somebody with a session, a token, and what they hold."""

    account: Account
    cookie: str
    token: str
    key: str = ""
    failed: int = 0


@dataclass
class World:
    """A desk with one of each, put back as it was after every call that changed it."""

    app: Flask
    path: Path
    ledger: Ledger
    before: Path = Path()
    people: dict[str, Person] = field(default_factory=dict)
    waiting: str = ""
    delivery: int = 0
    target: int = 0

    def again(self) -> None:
        """Put everything back as it was."""
        with sqlite3.connect(self.before) as kept, sqlite3.connect(self.path) as live:
            kept.backup(live)

    def ask(self, row: Row, column: str) -> str:
        """Make the call as somebody; say how the desk answers."""
        is_api = row.rule.startswith("/api/")
        person = self.people.get("admin" if column == "wrong key" else column)
        client, headers = self.app.test_client(), {"Sec-Fetch-Site": "same-origin"}
        if person is not None and is_api != (column == "wrong key"):
            headers["Authorization"] = f"Bearer {person.token}"
        elif person is not None:
            client.set_cookie(guard.COOKIE, person.cookie)
        more = BODIES.get(row.rule, {"text": "Hello"} if is_api else {})
        assert isinstance(more, dict)
        what = {"json": more} if is_api else {"data": FORM | more}
        path = self._path(row, person)
        with client.open(path, method=row.method, headers=headers, **({} if row.method == "GET" else what)) as answer:
            where = answer.headers.get("Location", "").split("?")[0]
            told = LEADS_TO.get(where, str(answer.status_code))
        if (row.method != "GET" or row.rule == "/account/factor") and told not in CHANGE_NOTHING:
            self.again()
        return told

    def _path(self, row: Row, person: Person | None) -> str:
        whose = self.people["ben"] if row.case == COLLEAGUES or person is None or not person.key else person
        own = {
            "key": self.waiting if row.rule.endswith("/take") or not person or not person.key else whose.key,
            "number": self.target,
            "delivery": self.delivery,
            **dict.fromkeys(("message", "message_id", "id_"), whose.failed),
            **SAMPLES,
        }
        if row.case == COLLEAGUES:
            own["key"] = whose.key
        return re.sub(r"<(?:[^:<>]+:)?(\w+)>", lambda part: str(own.get(part[1], 1)), row.rule)

    def measured(self, method: str, rule: str, case: str = "") -> Row:
        """Return the row as the desk answers now."""
        row = Row(method, rule, case, ())
        return Row(method, rule, case, tuple(self.ask(row, column) for column in COLUMNS))


def a_world(folder: Path, template: Path) -> World:
    path = folder / "roles.db"
    path.write_bytes(template.read_bytes())
    url = f"sqlite:///{path}"
    ledger = Ledger(url)
    app = create_app(Settings(database_url=url), now=Clock())
    world = World(app, path, ledger)
    for name, role in {"ben": Role.AGENT, "newcomer": Role.AGENT, **{role.value: role for role in Role}}.items():
        email = f"{name}@fernhill.example"
        account, password = seeding.an_account_with_password(ledger, email, role, keep=name != "newcomer")
        client = signed_in(app, email, password)
        cookie = client.get_cookie(guard.COOKIE)
        assert cookie is not None
        world.people[name] = Person(account, cookie.value, seeding.a_token(ledger, account, NOW))
    world.target = seeding.an_account(ledger, EVE).id
    waiting = seeding.a_handoff(ledger, NOW)
    waiting.sent()
    world.waiting = waiting.key
    for n, name in enumerate(("ben", "agent", "supervisor", "admin")):
        person, story = world.people[name], seeding.a_handoff(ledger, NOW, name, f"44770090020{n}")
        story.sent()
        story.taken_by(person.account)
        story.replies(person.account, "Does this arrive?")
        story.sent(refuse="It does not")
        person.key = story.key
        with ledger.reading() as tx:
            person.failed = max(one.id for one in outbox.dead_letters(tx))
    with ledger.writing() as tx:
        inbox.record(tx, b"{}", [Unsupported("text", "no body", unreadable=True)], NOW)
        alarms.clear(tx, "unreadable_delivery")
        world.delivery = tx.execute(sa.select(sa.func.max(deliveries.c.id))).scalar_one()
    world.before = folder / "before.db"
    with sqlite3.connect(path) as live, sqlite3.connect(world.before) as kept:
        live.backup(kept)
    return world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[World]:
    made = a_world(tmp_path_factory.mktemp("roles"), sqlite_template)
    yield made
    with made.app.app_context():
        feed.feed().stop()
    made.ledger.close()


def test_every_page_and_call_has_a_row(world: World) -> None:
    calls = {
        (method, rule.rule)
        for rule in world.app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    }
    told = {(row.method, row.rule) for row in rows()}
    missing = "\n".join(str(world.measured(*call)) for call in sorted(calls - told, key=lambda call: call[::-1]))
    assert not missing, f"read these, and put them into handoff/README.md if they are what you mean:\n{missing}"
    assert told <= calls, f"these are gone: {sorted(told - calls)}"


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.method} {row.rule} {row.case}".strip())
def test_the_desk_answers_each_role_as_the_table_says(world: World, row: Row) -> None:
    now = world.measured(row.method, row.rule, row.case)
    assert now == row, f"the desk answers\n{now}"


def test_nobody_gets_further_than_their_mark(world: World) -> None:
    """What the table may not say, whatever is written there: strangers in, newcomers past the password, 5xx."""
    marks = {
        (method, rule.rule): guard.mark_of(world.app.view_functions[rule.endpoint])
        for rule in world.app.url_map.iter_rules()
        for method in rule.methods or set()
    }
    for row in rows():
        told, mark = dict(zip(COLUMNS, row.told, strict=True)), marks[row.method, row.rule]
        assert not any(status.startswith("5") for status in row.told), row
        if mark == guard.TOKENS:
            assert (told["stranger"], told["wrong key"]) == ("401", "401"), row
        elif mark in (guard.AGENTS, guard.NEWCOMERS):
            assert (told["stranger"], told["wrong key"]) == ("sign in", "sign in"), row
        if mark == guard.AGENTS:
            assert told["newcomer"] == "password", row


@pytest.mark.parametrize("number", ["9" * 30, str(2**63), "²", "٣", "-1", "1.5", "1e3", "%00"])
def test_no_number_is_too_strange(world: World, number: str) -> None:
    client = world.app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    client.set_cookie(guard.COOKIE, world.people["admin"].cookie)
    for rule in world.app.url_map.iter_rules():
        path = re.sub(r"<int[^>]*>", number, rule.rule)
        if path == rule.rule or "<" in path.replace("<key>", ""):
            continue
        for method in (rule.methods or set()) & {"GET", "POST"}:
            answer = client.open(path.replace("<key>", world.waiting), method=method)
            assert answer.status_code < 500, (method, path)
    for path, form in {
        "/teams/people/1": {"team": number, "capacity": number},
        "/teams/needs": {"of": "word", "value": "lamp", "team": number},
        f"/conversations/{world.waiting}/reply": {"text": "hello", "to": number},
        f"/conversations/{world.waiting}/transfer": {"to": f"team:{number}"},
        f"/conversations/{world.waiting}/snooze": {"until": "at", "at": number},
    }.items():
        assert client.post(path, data=form).status_code < 500, (path, form)
    for name in ("before", "since", "at", "new_after", "team", "limit"):
        for path in ("/audit", "/list", "/floor", "/reports", f"/conversations/{world.waiting}/live"):
            assert client.get(path, query_string={name: number}).status_code < 500, (path, name)
    world.again()


def test_the_wrong_role_is_refused_in_plain_words(world: World) -> None:
    client = world.app.test_client()
    client.set_cookie(guard.COOKIE, world.people["agent"].cookie)
    answer = client.get("/accounts")
    assert answer.status_code == 403
    assert "as agent you can&#39;t look after accounts; ask an admin for another role" in answer.text
