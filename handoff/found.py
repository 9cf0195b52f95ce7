"""What was searched for and found, as values: messages, notes and contacts, the newest first, by conversation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta, tzinfo

import sqlalchemy as sa

from bot import messages as says
from bot.errors import UnknownConversation
from bot.ledger import search, transcript
from bot.ledger.folding import Term, marked, terms
from bot.ledger.search import Among, Hit, Kind
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation
from bot.vocabulary import Author, Holder
from handoff import agents, words
from handoff.pages import Show
from handoff.roles import Account, Deed
from handoff.tables import accounts, notes
from handoff.viewing import Viewer, name_of

SHOWN = 30  # messages and notes on a page
PEOPLE = 8  # contacts; who has more types more of the name
SNIPPET = 150  # characters
BEFORE_MARK = 50
NOTE = "note"  # beside the authors of messages


@dataclass(frozen=True)
class Asked:
    """What is looked for, and among what; "" does not matter."""

    text: str
    within: str = ""  # the key of a conversation: its contact's messages, to whichever of our numbers
    author: str = ""  # of Author, or NOTE
    agent: str = ""  # an e-mail address
    after: date | None = None  # from this day on
    before: date | None = None  # to the end of this day
    show: Show | None = None  # one of the lists
    cursor: str = ""  # of the page before

    def next(self, cursor: str) -> Asked:
        """Ask for the next page."""
        return replace(self, cursor=cursor)

    def is_narrowed(self) -> bool:
        """Say whether anything but the words was asked for."""
        return any((self.within, self.author, self.agent, self.after, self.before, self.show))


@dataclass(frozen=True)
class Piece:
    """A piece of a text, perhaps one that was searched for."""

    text: str
    marked: bool


@dataclass(frozen=True)
class Match:
    """One message or note that was found."""

    id: int
    note: bool
    key: str
    message_id: int  # where to look in the transcript; a note stands after it
    author: Author
    agent_name: str
    type: str
    text: str
    pieces: tuple[Piece, ...]
    at: datetime


@dataclass(frozen=True)
class Group:
    """What was found in one conversation, of this page."""

    one: Conversation
    matches: tuple[Match, ...]

    @property
    def name(self) -> str:
        """Return what to call the contact."""
        return name_of(self.one)


@dataclass(frozen=True)
class Person:
    """A contact whose name or number was found."""

    one: Conversation
    pieces: tuple[Piece, ...]
    number: tuple[Piece, ...]


@dataclass(frozen=True)
class Found:
    """A page of what was found."""

    asked: Asked
    people: tuple[Person, ...]
    groups: tuple[Group, ...]
    next: str  # the cursor of the next page; "" was all
    looked_back_to: datetime | None  # where the search stopped looking for now, if it did
    behind: bool  # there is something search has not read yet
    is_question: bool  # there was a word in what was asked

    @property
    def matches(self) -> list[Match]:
        """Return all matches, the newest first."""
        return sorted((match for group in self.groups for match in group.matches), key=lambda m: m.at, reverse=True)


def read(tx: Transaction, viewer: Viewer, asked: Asked, *, limit: int = SHOWN) -> Found:
    """Return what was found, for whoever may read. Whatever was typed finds something or nothing; it never fails."""
    viewer.account.require(Deed.READ)
    wanted, behind = terms(asked.text), search.is_behind(tx)
    among = _among(tx, viewer, asked) if wanted else None
    if among is None:
        return Found(asked, (), (), "", None, behind, bool(wanted))
    below_message, below_note = _places(asked.cursor)
    hits = search.Hits([], None)
    if asked.author != NOTE and below_message != 0:
        hits = search.messages_with(tx, wanted, among, below=below_message, limit=limit)
    written: list[_Note] = []
    rest: int | None = None
    if asked.author in ("", NOTE) and below_note != 0:
        written, rest = _notes(tx, wanted, among, below_note, limit)
    taken = list(_merged(hits.hits, written))[:limit]
    messages_left = _left(hits.hits, sum(isinstance(one, Hit) for one in taken), hits.below)
    notes_left = _left(written, sum(isinstance(one, _Note) for one in taken), rest)
    return Found(
        asked,
        people=() if asked.cursor or asked.is_narrowed() else tuple(_people(tx, asked.text)),
        groups=_groups(tx, taken, wanted),
        next=f"{messages_left or 0}.{notes_left or 0}" if messages_left or notes_left else "",
        looked_back_to=_said_at(tx, hits.below) if messages_left and len(taken) < limit else None,
        behind=behind,
        is_question=True,
    )


def _among(tx: Transaction, viewer: Viewer, asked: Asked) -> Among | None:
    """Return among what to look; None if nothing can be found there."""
    me, held = viewer.account.id, {Show.QUEUE: Holder.QUEUE, Show.BOT: Holder.BOT}
    among = Among(
        author=Author(asked.author) if asked.author in {one.value for one in Author} else None,
        after=_midnight(asked.after, viewer.tz),
        before=_midnight(asked.before, viewer.tz, timedelta(days=1)),
        holder=held.get(asked.show, Holder.AGENT) if asked.show else None,
        held_by=me if asked.show is Show.MINE else None,
        not_held_by=me if asked.show is Show.OTHERS else None,
    )
    if asked.agent:
        whose = sa.select(accounts.c.id).where(accounts.c.email == asked.agent.strip().lower()[:200])
        agent_id = tx.execute(whose).scalar() if says.can_be_kept(asked.agent) else None
        if agent_id is None:
            return None
        among = replace(among, agent_id=agent_id)
    if asked.within:
        try:
            contact = transcript.conversation(tx, asked.within).contact.id
        except UnknownConversation:
            return None
        theirs = transcript.conversations_with(tx, {contact})
        among = replace(among, conversation_ids=tuple(one.id for one in theirs))
    return among


def _midnight(day: date | None, tz: tzinfo, plus: timedelta = timedelta(0)) -> datetime | None:
    if day is None:
        return None
    try:
        return datetime.combine(day, time(), tz) + plus
    except OverflowError:  # the last day there is
        return None


def _places(cursor: str) -> tuple[int | None, int | None]:
    """Read where the page before ended, of messages and of notes; of what is no cursor, begin at the top."""
    message, _, note = cursor.partition(".")
    if not (cursor.isascii() and message.isdigit() and note.isdigit() and len(cursor) < 40):
        return None, None
    return min(int(message), 2**62), min(int(note), 2**62)


def is_cursor(cursor: str) -> bool:
    """Say whether this is what a page before may have ended with."""
    return not cursor or _places(cursor) != (None, None)


@dataclass(frozen=True)
class _Note:
    id: int
    conversation_id: int
    after_message_id: int
    name: str
    text: str
    at: datetime


def _notes(
    tx: Transaction, wanted: tuple[Term, ...], among: Among, below: int | None, limit: int
) -> tuple[list[_Note], int | None]:
    """Return notes, and below which id to look on."""
    most = limit * 4
    ids = search.ids_with(tx, Kind.NOTES, wanted, below=below, limit=most)
    which = sa.select(notes).where(notes.c.id.in_(ids))
    if among.conversation_ids is not None:
        theirs = {one for kept in among.conversation_ids for one in transcript.merged_into(tx, kept)}
        which = which.where(notes.c.conversation_id.in_(theirs))
    for column, least, most_ in ((notes.c.at, among.after, among.before),):
        which = which if least is None else which.where(column >= least)
        which = which if most_ is None else which.where(column < most_)
    if among.agent_id is not None:
        which = which.where(notes.c.account_id == among.agent_id)
    rows = tx.execute(which.order_by(notes.c.id.desc())).all() if ids else []
    kept = transcript.kept_as(tx, {row.conversation_id for row in rows})
    found = [_Note(r.id, kept[r.conversation_id], r.after_message_id, r.name, r.text, r.at) for r in rows]
    if among.holder is not None:
        ones = transcript.by_ids(tx, {one.conversation_id for one in found})
        found = [one for one in found if _is_held(ones[one.conversation_id], among)]
    return found, ids[-1] if len(ids) == most else None


def _is_held(one: Conversation, among: Among) -> bool:
    by = one.agent_id
    return one.holder is among.holder and among.held_by in (None, by) and (by is None or among.not_held_by != by)


def _merged(hits: list[Hit], written: list[_Note]) -> Iterator[Hit | _Note]:
    """Yield both, each in its own order, whichever is newer first."""
    messages_left, notes_left = list(hits), list(written)
    while messages_left or notes_left:
        note_first = not messages_left or (bool(notes_left) and notes_left[0].at > messages_left[0].at)
        yield notes_left.pop(0) if note_first else messages_left.pop(0)


def _left(found: list[Hit] | list[_Note], taken: int, below: int | None) -> int | None:
    """Return below which id the next page looks on."""
    return found[taken].id + 1 if taken < len(found) else below


def _said_at(tx: Transaction, below: int | None) -> datetime | None:
    return None if below is None else transcript.said_about(tx, below)


def _groups(tx: Transaction, taken: list[Hit | _Note], wanted: tuple[Term, ...]) -> tuple[Group, ...]:
    ones = transcript.by_ids(tx, {one.conversation_id for one in taken})
    by_conversation: dict[int, list[Match]] = {}
    for found in taken:
        if found.conversation_id in ones:
            match = _match(found, ones[found.conversation_id].key, wanted)
            by_conversation.setdefault(found.conversation_id, []).append(match)
    return tuple(Group(ones[id_], tuple(matches)) for id_, matches in by_conversation.items())


def _match(found: Hit | _Note, key: str, wanted: tuple[Term, ...]) -> Match:
    note = isinstance(found, _Note)
    return Match(
        id=found.id,
        note=note,
        key=key,
        message_id=found.after_message_id if isinstance(found, _Note) else found.id,
        author=Author.AGENT if isinstance(found, _Note) else found.author,
        agent_name=found.name if isinstance(found, _Note) else found.agent_name,
        type="note" if isinstance(found, _Note) else found.type,
        text=found.text,
        pieces=pieces(found.text if isinstance(found, _Note) else words.own(found.type, found.text), wanted),
        at=found.at,
    )


def _people(tx: Transaction, text: str) -> Iterator[Person]:
    """Yield the contacts whose name or number it is; at home people write a number with a 0 before it."""
    wanted = tuple(_abroad(term) for term in terms(text))
    ids = search.ids_with(tx, Kind.CONTACTS, wanted, limit=PEOPLE)
    for one in transcript.conversations_with(tx, set(ids))[:PEOPLE]:
        yield Person(one, pieces(name_of(one), wanted), pieces(words.phone(one.contact.phone), wanted))


def _abroad(term: Term) -> Term:
    first = term.words[0]
    if len(term.words) > 1 or not first.isdigit() or not first.startswith("0") or not first.strip("0"):
        return term
    return Term((first.lstrip("0"),), goes_on=True)


def pieces(text: str, wanted: tuple[Term, ...]) -> tuple[Piece, ...]:
    """Cut a text to a line around the first of what was wanted, with all of it there marked."""
    spans = marked(text, wanted)
    begins = max(0, spans[0][0] - BEFORE_MARK) if spans and len(text) > SNIPPET else 0
    ends = begins + SNIPPET
    found, at = [Piece("…", marked=False)] if begins else [], begins
    for first, last in spans:
        if first >= ends:
            break
        found += [Piece(text[at:first], marked=False), Piece(text[first:last], marked=True)]
        at = last
    found.append(Piece(text[at : max(at, ends)], marked=False))
    if max(at, ends) < len(text):
        found.append(Piece("…", marked=False))
    return tuple(piece for piece in found if piece.text)


def agents_to_choose(tx: Transaction) -> list[Account]:
    """Return whose messages one may look for."""
    return agents.colleagues(tx)
