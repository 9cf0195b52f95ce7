"""Ten thousand bodies nobody would send: nothing raises, nothing valid is lost, all that comes out can be kept."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.ledger import inbox, tables
from bot.ledger.transaction import Ledger
from bot.messages import Text, can_be_kept
from bot.updates import ContactRef, Received, Reported
from bot.vocabulary import Status
from connectors.whatsapp import loose, webhook
from tests.factories import NOW

NUMBER = "100000000000001"
OURS = webhook.Numbers((NUMBER,))
BODIES = [json.loads(path.read_text()) for path in sorted((Path(__file__).parents[1] / "fixtures/webhooks").glob("*"))]
LONGEST = 100_000  # of all an update says; a content has 64 KB, and ids, names and addresses beside it
SHARES = 4  # so that several workers can have their part of the ten thousand
RAW = {  # what json.dumps can't write stands in the body instead of these words
    '"<levels>"': "[" * 2_000 + "]" * 2_000,
    '"<digits>"': "9" * 5_000,
    '"<exponent>"': "1e9999",
    '"<long>"': '"' + "\\u00e9" * 20_000 + '"',
    '"<twice>": 1': '"messages": [{"id": "wamid.twice"}], "messages": [], "statuses": 1, "statuses": [2]',
}
ODD: list[Any] = [
    None, True, False, 0, -1, 10**30, 10**400, 1.5, 1e308, float("nan"), float("inf"), "", " ", "\x00", "\ud800", "é😀",
    "\u202e", "0", "9" * 50, "wamid.X", "text", "2026", [], {}, [[]], [None], {"": None}, {"id": {}}, "x" * 3_000,
    "<levels>", "<digits>", "<exponent>", "<long>", {"<twice>": 1},
]  # fmt: skip
NAMES = ["id", "type", "from", "from_user_id", "timestamp", "text", "body", "messages", "statuses", "contacts", "value"]

odd_values = st.lists(st.sampled_from(ODD) | st.text(max_size=20) | st.floats(), min_size=1, max_size=5)


def nested(odd: list[Any], dice: random.Random) -> list[Any]:
    """Put some of the odd values into others. By dice: Hypothesis's own recursion takes ten times as long."""
    found = list(odd)
    for _ in range(dice.randrange(4)):
        inner = dice.sample(found, dice.randrange(1, len(found) + 1))
        found.append(dice.choice([inner, {dice.choice(NAMES): value for value in inner}]))
    return dice.sample(found, min(len(found), 5))


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a tree with each of its keys."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        keys = list(inner) if isinstance(inner, dict) else range(len(inner)) if isinstance(inner, list) else []
        found += [(inner, key) for key in keys]
        waiting += [inner[key] for key in keys]
    return found


def spoiled(body: Any, odd: list[Any], dice: random.Random) -> Any:
    """Change a valid body in a few places: take away, replace, repeat, rename, wrap, move."""
    body = copy.deepcopy(body)
    for instead in map(copy.deepcopy, odd):  # one by one: what is put in is spoiled next, and must not come into itself
        found = places(body)
        if not found:
            break
        inner, key = dice.choice(found)
        match dice.randrange(6):
            case 0:
                del inner[key]
            case 1:
                inner[key] = instead
            case 2 if isinstance(inner, list):
                inner[key:key] = [copy.deepcopy(inner[key])] * dice.randrange(1, 5) + [instead]
            case 3 if isinstance(inner, dict):
                inner[dice.choice(NAMES)] = inner.pop(key)
            case 4:
                inner[key] = dice.choice([[inner[key]], {"0": inner[key]}, {key if isinstance(key, str) else "k": [1]}])
            case _:
                other, there = dice.choice(found)
                inner[key] = copy.deepcopy(other[there]) if there in other or isinstance(other, list) else instead
    return body


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, Received, Reported]:
    """A spoiled body; and in it, between more junk, a message and a status that are as Meta's own."""
    dice = random.Random(draw(st.integers(0, 2**64)))
    odd = nested(copy.deepcopy(draw(odd_values)), dice)
    body = spoiled(dice.choice(BODIES), odd, dice)
    wamid, bsuid, phone = f"wamid.{dice.random()}", f"GB.{dice.random()}", str(dice.randrange(10**11, 10**12))
    message = {"from": phone, "from_user_id": bsuid, "id": wamid, "timestamp": "1795000000", "type": "text"}
    lists = {
        "messages": {**message, "text": {"body": "hello"}},
        "statuses": {"id": wamid + ".out", "status": "read", "timestamp": "1795000000"},
        "contacts": {"user_id": bsuid, "wa_id": phone, "profile": {"name": "Mia"}},
    }
    value = {"metadata": {"phone_number_id": NUMBER}, "errors": odd[0]}
    value |= {name: [*odd[:2], item, *odd[2:]] for name, item in lists.items()}
    body = body if isinstance(body, dict) else {"was": body}
    entries = body.get("entry")
    before = entries if isinstance(entries, list) else [entries]
    body["entry"] = [*before, *odd[:1], {"changes": [*odd[1:2], {"field": "messages", "value": value}]}]
    text = json.dumps(body)
    for words, raw in RAW.items():
        text = text.replace(words, raw)
    at = loose.moment(1795000000)
    assert at is not None
    said = Received(wamid, NUMBER, ContactRef(phone, bsuid, "Mia"), Text("hello"), at)
    return text.encode(), said, Reported(wamid + ".out", Status.READ, at)


def strings(value: Any) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return [words for pair in value.items() for part in pair for words in strings(part)]
        case list() | tuple():
            return [words for inner in value for words in strings(inner)]
        case _:
            return []


@pytest.mark.parametrize("_share", range(SHARES))
def test_ten_thousand_bodies_lose_no_valid_update_and_bring_in_nothing_that_cannot_be_kept(_share: int) -> None:
    @settings(max_examples=10_000 // SHARES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(bodies())
    def check(planted: tuple[bytes, Received, Reported]) -> None:
        body, said, reported = planted
        updates = webhook.read(body, OURS)
        assert said in updates
        assert reported in updates
        for update in updates:
            row = asdict(update)
            assert len(json.dumps(row, default=str, allow_nan=False)) < LONGEST
            assert all(can_be_kept(words) for words in strings(row))

    check()


def test_the_ledger_writes_down_whatever_comes_and_loses_no_valid_message(ledger: Ledger) -> None:
    @settings(max_examples=50, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(bodies())
    def check(planted: tuple[bytes, Received, Reported]) -> None:
        body, said, _ = planted
        with ledger.writing() as tx:
            inbox.record(tx, body, webhook.read(body, OURS), NOW)
        with ledger.writing() as tx:
            mine = tables.messages.c.wamid == said.wamid
            assert tx.execute(sa.select(tables.messages.c.text).where(mine)).scalar() == "hello"

    check()
