"""Drafts for an agent: what colleagues, or the bot, answered to something like it. Never sent by itself.

The only writer of past_answers. They are kept without what is anybody's own, and found by an index in this process;
whatever keeps to `likeness.Likeness` may stand in its place.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bot.content.catalogue import Catalogue
from bot.content.examples import examples
from bot.conversation import wants_an_answer
from bot.ledger import transcript
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation, Said
from bot.ledger.upsert import insert_new
from bot.messages import Text
from bot.settings import ROOT
from bot.vocabulary import Author, Status
from handoff.likeness import WORD, ByWords, Likeness
from handoff.masking import filled, masked
from handoff.roles import Account
from handoff.tables import past_answers

NEAR_ENOUGH = 0.5  # by words: of ten times, one of three drafts fits nine (see tests/handoff/test_likeness.py)
SHOWN = 3
LOOKED_AT = 12  # of the nearest; many say the same
KEPT_IN_MIND = 20_000
LEAST = 15  # characters: shorter answers are typed faster than chosen
MOST = 1500
ASKED_MAX = 600
RECENT = 25  # messages of a conversation that are looked at
ASKS_FOR_PERSON = {"talk_to_person", "ask_for_person", "still_waiting", "greet"}
NO_ANSWER = {"out_of_scope", "other_service"}  # what the bot says there leads to people
GAPS = {"order_number": "order"}  # slots by the word quick replies have for them


@dataclass(frozen=True)
class Draft:
    """An answer to begin with."""

    text: str
    by_bot: bool


@dataclass
class Book:
    """What this process knows of past answers: read on and on as they are written."""

    index: Likeness = field(default_factory=ByWords)
    answers: dict[int, tuple[str, bool]] = field(default_factory=dict)
    last: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def know_bot(self, pairs: list[tuple[str, str]]) -> None:
        """Put in what the bot answers to what contacts may say."""
        for n, (asked, answer) in enumerate(pairs, start=1):
            self._put(-n, asked, answer, by_bot=True)

    def read_on(self, tx: Transaction) -> None:
        """Put in what agents answered since."""
        overlap = max(0, self.last - 100)  # ids are committed out of order
        rows = tx.execute(
            sa.select(past_answers)
            .where(past_answers.c.id > overlap)
            .order_by(past_answers.c.id.desc())
            .limit(KEPT_IN_MIND)
        ).all()
        for row in reversed(rows):
            self._put(row.id, row.asked, row.answer, by_bot=False)
            self.last = max(self.last, row.id)

    def nearest(self, asked: str) -> list[tuple[str, bool]]:
        """Return answers to what is most like it, each once."""
        near = self.index.nearest(asked, LOOKED_AT)
        found = [self.answers[one.id] for one in near if one.nearness >= NEAR_ENOUGH]
        different: dict[str, tuple[str, bool]] = {}
        for answer in found:
            different.setdefault(" ".join(answer[0].lower().split()), answer)
        return list(different.values())[:SHOWN]

    def _put(self, id_: int, asked: str, answer: str, *, by_bot: bool) -> None:
        if id_ not in self.answers:
            self.index.add(id_, asked)
            self.answers[id_] = (answer, by_bot)


def remember(
    tx: Transaction,
    one: Conversation,
    account: Account,
    *,
    matter: str,
    message_id: int,
    answer: str,
    now: datetime,
) -> None:
    """Keep an agent's answer to what a contact wanted, without what is anybody's own."""
    if not matter or not LEAST <= len(answer) <= MOST:
        return
    known = _known(one, account)
    insert_new(
        tx,
        past_answers,
        message_id=message_id,
        asked=masked(matter, known, shop_words())[:ASKED_MAX],
        answer=masked(answer, known, shop_words()),
        at=now,
    )


def matter_of(tx: Transaction, one: Conversation) -> str:
    """Return what the contact wants an answer to: what they wrote since anybody spoke, else their wish; or ""."""
    asked: list[str] = []
    for said in reversed(transcript.messages_of(tx, one.id, RECENT)):
        if said.author is Author.CONTACT:
            if _says_something(said):
                asked.append(said.text)
        elif said.author is Author.AGENT and said.status is not Status.FAILED:
            return " ".join(reversed(asked))[-ASKED_MAX:]
        elif said.author is Author.BOT and asked:
            break
    return " ".join(reversed(asked))[-ASKED_MAX:] or (one.wish if one.reason else "")


def drafts(tx: Transaction, book: Book, one: Conversation, account: Account) -> list[Draft]:
    """Return what may be said now, filled with what is known of this contact; nothing unless it is near enough."""
    matter = matter_of(tx, one)
    if not matter:
        return []
    with book.lock:
        book.read_on(tx)
        found = book.nearest(masked(matter, _known(one, account), shop_words()))
    values = values_of(one, account)
    return [Draft(filled(answer, values), by_bot) for answer, by_bot in found]


def values_of(one: Conversation, account: Account) -> dict[str, str]:
    """Return what the gaps of a quick reply or a draft are filled with, here."""
    slots = {GAPS.get(name, name): str(value) for name, value in one.slots.items() if _is_plain(value)}
    name = " ".join(one.contact.name.split())
    agent = " ".join(account.name.split())
    own = {
        "name": name,
        "first_name": name.split(" ")[0],
        "phone": f"+{one.contact.phone}" if one.contact.phone else "",
        "agent": agent,
        "agent_first_name": agent.split(" ")[0],
    }
    return {**slots, **own}


def book_of(catalogue: Catalogue) -> Book:
    """Return a book that knows what the bot answers."""
    book = Book()
    book.know_bot(_bot_pairs(catalogue))
    return book


def _bot_pairs(catalogue: Catalogue) -> list[tuple[str, str]]:
    found = []
    for intent, text in examples(ROOT / "data" / "nlu"):
        response = catalogue.responses.get(f"utter_{intent}") if intent not in NO_ANSWER else None
        if response is not None and response.text and not response.placeholders and len(response.text) >= LEAST:
            found.append((text, response.text))
    return found


@lru_cache(maxsize=1)
def shop_words() -> frozenset[str]:
    """Return the words of what the bot says and of the places it knows: nobody's own."""
    folders = [ROOT / "data" / "responses", ROOT / "data" / "lookups"]
    texts = [path.read_text(encoding="utf-8") for folder in folders for path in sorted(Path(folder).glob("*.yml"))]
    return frozenset(word.lower() for text in texts for word in WORD.findall(text))


def _says_something(said: Said) -> bool:
    if not isinstance(said.content, Text) or said.deleted_at is not None or said.intent in ASKS_FOR_PERSON:
        return False
    return wants_an_answer(said.type, said.text)


def _known(one: Conversation, account: Account) -> dict[str, str]:
    """Return what is this contact's own, or this agent's, and the gap that takes its place."""
    values = values_of(one, account)
    own = {value: name for name, value in values.items() if len(value) > 1}
    for part in values["name"].split(" ")[1:]:
        own.setdefault(part, "name")
    return own


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip() != ""
