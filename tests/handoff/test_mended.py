"""What fresh eyes found, and must not come back."""

from __future__ import annotations

import pytest
from flask import Flask

from bot.ledger import alarms, handoffs, transcript
from bot.ledger.transaction import Ledger
from bot.vocabulary import Holder, Role
from handoff import agents, cli, words
from tests.factories import NOW, a_text, heard


def an_agent(ledger: Ledger, email: str = "eve@fernhill.example") -> int:
    with ledger.writing() as tx:
        agents.add(tx, email, Role.AGENT, "Eve", keep_password=True, now=NOW)
        return int(agents._row(tx, email).id)


def test_an_agent_who_leaves_for_good_leaves_nobody_waiting_for_ever(ledger: Ledger) -> None:
    eve = an_agent(ledger)
    heard(ledger, a_text("hello"))
    with ledger.writing() as tx:
        key = transcript.list_of(tx)[0].key
        handoffs.take(tx, key, agent_id=eve, agent_name="Eve", now=NOW)
        agents.disable(tx, "eve@fernhill.example", NOW)
        assert transcript.conversation(tx, key).holder is Holder.QUEUE


def test_an_alarm_somebody_has_looked_at_can_be_cleared(
    ledger: Ledger, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    with ledger.writing() as tx:
        alarms.raise_alarm(tx, "unreadable_delivery", "look", NOW)
    assert cli.main(["alarm", "clear", "unreadable_delivery"]) == 0
    assert "cleared" in capsys.readouterr().out
    with ledger.reading() as tx:
        assert alarms.raised(tx) == []


def test_a_message_that_waits_for_minutes_is_not_well(app: Flask, clock: object, ledger: Ledger) -> None:
    heard(ledger, a_text("hello"))
    client = app.test_client()
    assert client.get("/health").status_code == 200
    clock.forward(seconds=400)  # type: ignore[attr-defined]
    answer = client.get("/health")
    assert answer.status_code == 503 and answer.json is not None and answer.json["oldest_waiting_turn_s"] >= 400


@pytest.mark.parametrize("where", ["//evil.example", "/\t/evil.example", "/\\evil.example", "https://evil.example"])
def test_our_door_leads_to_nobody_elses_house(app: Flask, ledger: Ledger, where: str) -> None:
    with ledger.writing() as tx:
        password = agents.add(tx, "eve@fernhill.example", Role.AGENT, "Eve", keep_password=True, now=NOW)
    answer = app.test_client().post(
        "/signin",
        data={"email": "eve@fernhill.example", "password": password, "next": where},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert answer.status_code == 303 and "evil" not in answer.headers["Location"]


def test_a_made_up_token_does_not_open_the_session_doors_to_other_sites(app: Flask) -> None:
    answer = app.test_client().post(
        "/conversations/x/give_back", headers={"Authorization": "Bearer made-up", "Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("digits", "shown"),
    [
        ("447700900101", "+44 7700 900101"),
        ("15551230000", "+1 555 123 0000"),
        ("351912345678", "+351912345678"),
        (None, "no number"),
    ],
)
def test_a_phone_number_is_grouped_where_we_know_how(digits: str | None, shown: str) -> None:
    assert words.phone(digits) == shown
