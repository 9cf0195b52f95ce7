"""What was said in a conversation, as values ready to draw: bubbles, notes, days, and what happened between them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from bot import messages as says
from bot.ledger import files, transcript
from bot.ledger.files import File
from bot.ledger.handoffs import THE_PHONE
from bot.ledger.inbox import META_AGENT
from bot.ledger.outbox import SHUT
from bot.ledger.tables import messages, reports
from bot.ledger.transaction import Transaction
from bot.ledger.transcript import Conversation, Episode, Said
from bot.vocabulary import Author, Reason, Status
from handoff import words
from handoff.assignments import Note
from handoff.viewing import Viewer, name_of, short

UNTOLD = "WhatsApp does not say why"
ARRIVED = {Status.DELIVERED, Status.READ, Status.PLAYED}
TOGETHER = timedelta(minutes=3)  # messages of one author this close are drawn as one group


@dataclass(frozen=True)
class Quote:
    """The message somebody answers to."""

    id: str
    who: str
    text: str


@dataclass(frozen=True)
class Attached:
    """A file beside a message: shown, offered for saving, or why it is neither."""

    message_id: int
    shown_as: str  # image, audio, video; "" is a download
    name: str
    size: str
    not_there: str  # why; "" when it is there
    doubt: str  # whether it is what it says it is; "" if nothing speaks against it


@dataclass(frozen=True)
class Bubble:
    """One message or note."""

    id: str
    author: Author
    who: str
    note: bool
    type: str
    kind: str  # the type in words, "" for plain text
    text: str
    at: str
    clock: str
    status: Status | None
    status_words: str
    error: str
    understood: str
    choices: tuple[str, ...]
    place: str  # a link to a map
    place_url: str  # what the contact's phone says of the place
    quote: Quote | None
    first: bool  # of its group
    may_retry: int | None  # the message's id, where what failed may be sent once more
    file: Attached | None = None
    marks: tuple[str, ...] = ()  # how it came about: forwarded, from an advertisement …
    edited: bool = False
    sent_again: bool = False
    taken_back: str = ""  # by whom, in words
    reactions: tuple[str, ...] = ()
    cards: tuple[says.Card, ...] = ()
    failed_too: str = ""  # it arrived, and was reported as failed as well: why
    may_quote: int | None = None  # the message's id, where WhatsApp knows it and an answer may point to it


@dataclass(frozen=True)
class Line:
    """A day, or a change of holder, between messages."""

    id: str
    text: str
    move: bool
    new: bool = False  # from here on the reader has not read


def understood(message: Said) -> str:
    """Say what the bot understood, and how sure it was; nothing of a tap that says how it was with us."""
    if not message.intent or message.intent == "csat":
        return ""
    sure = "" if message.confidence is None else f" {round(message.confidence * 100)} %"
    return f"{message.intent.replace('_', ' ')}{sure}"


@dataclass(frozen=True)
class Beside:
    """What is drawn with a message but said elsewhere: what it answers, what was made of it, its file."""

    by_wamid: dict[str, Said]
    quoted: dict[str, Said]  # also what is too old to be shown
    reactions: dict[str, tuple[str, ...]]
    files: dict[int, File]
    shut_out: set[int]  # messages that failed because Meta had the window closed
    failed_too: dict[int, str]  # messages Meta reported as failed, whatever else it reported, and why


def found_beside(tx: Transaction, one: Conversation, said: list[Said]) -> Beside:
    by_wamid = {message.wamid: message for message in said if message.wamid}
    with_files = [message.id for message in said if isinstance(message.content, says.Media)]
    shown = (messages.c.conversation_id == one.id) & (messages.c.id >= (said[0].id if said else 0))
    shut = (messages.c.status == Status.FAILED) & (messages.c.error_code == SHUT)
    failed = sa.select(reports.c.message_id, reports.c.error).join(messages, messages.c.id == reports.c.message_id)
    return Beside(
        by_wamid,
        transcript.quoted_by(tx, one.id, said),
        _reactions(said),
        files.of(tx, with_files),
        set(tx.execute(sa.select(messages.c.id).where(shown, shut)).scalars()),
        {
            row.message_id: row.error or UNTOLD
            for row in tx.execute(failed.where(shown, reports.c.status == Status.FAILED.value))
        },
    )


def is_refused(said: list[Said], beside: Beside) -> bool:
    """Say whether Meta has told us that the window is closed, and the contact has not written since."""
    written = [message for message in said if not isinstance(message.content, says.Reaction)]
    heard = max((message.id for message in written if message.author is Author.CONTACT), default=0)
    return any(message_id > heard for message_id in beside.shut_out)


def _reactions(said: list[Said]) -> dict[str, tuple[str, ...]]:
    """Return the emoji under each message: each side has one, its last."""
    last: dict[tuple[str, bool], str] = {}
    for message in said:
        if isinstance(message.content, says.Reaction) and message.status not in (Status.FAILED, Status.WITHDRAWN):
            last[message.content.wamid, message.author is Author.CONTACT] = message.content.emoji
    found: dict[str, tuple[str, ...]] = {}
    for (wamid, _), emoji in last.items():
        found[wamid] = (*found.get(wamid, ()), emoji) if emoji else found.get(wamid, ())
    return found


def _stands_under(message: Said, beside: Beside) -> bool:
    """Say whether this is a reaction that is drawn under what it reacts to, so that it needs no bubble."""
    content = message.content
    if not isinstance(content, says.Reaction) or message.status in (Status.FAILED, Status.WITHDRAWN):
        return False
    return content.wamid in beside.by_wamid or not content.emoji


def in_order(
    one: Conversation,
    said: list[Said],
    beside: Beside,
    viewer: Viewer,
    *,
    notes: list[Note],
    lines: list[tuple[datetime, Line]],
    may_retry: bool,
    new_after: int | None = None,
) -> list[Bubble | Line]:
    """Put messages, notes, days and moves in one row, as they happened."""
    lines = [line for line in lines if not said or line[0] >= said[0].at]
    waiting_notes = [note for note in notes if not said or note.after_message_id >= said[0].id]
    items: list[Bubble | Line] = []
    before: Said | None = None
    today = ""
    for message in said:
        while lines and lines[0][0] <= message.at:
            items.append(lines.pop(0)[1])
            before = None
        if new_after is not None and message.id > new_after and _is_news(message):
            items.append(Line("new", words.NEW, move=False, new=True))
            new_after = before = None
        day = words.day(message.at, viewer.now, viewer.tz)
        if day != today and not _stands_under(message, beside):
            items.append(Line(f"day-{message.id}", day, move=False))
            today, before = day, None
        if not _stands_under(message, beside):
            items.append(_bubble(one, message, beside, before, viewer, may_retry=may_retry))
            before = message
        while waiting_notes and waiting_notes[0].after_message_id <= message.id:
            items.append(_note(waiting_notes.pop(0), viewer))
            before = None
    items += [_note(note, viewer) for note in waiting_notes]
    items += [line for _, line in lines]
    return items


def _is_news(message: Said) -> bool:
    return message.author is Author.CONTACT and not isinstance(message.content, says.Reaction)


def move_lines(moves: list[Episode], names: dict[int, str], viewer: Viewer) -> list[tuple[datetime, Line]]:
    found: list[tuple[datetime, Line]] = []
    for move in moves:
        reason = words.REASONS[move.reason]
        queued = move.reason not in {Reason.STEPPED_IN, Reason.PHONE}
        told = [(move.asked_at, f"{reason}, into the queue" if queued else "")]
        if move.taken_at is not None and move.taken_by is None:
            told.append((move.taken_at, "Somebody answered from the phone; the bot is silent"))
        elif move.taken_at is not None:
            told.append((move.taken_at, f"{names.get(move.taken_by or 0, 'An agent')} took it; the bot is silent"))
        if move.closed_at is not None:
            told.append((move.closed_at, words.ended(move.outcome, move.summary, move.csat)))
        for n, (at, text) in enumerate(told):
            if text:
                # One tick later than the goodbye that is said in the same moment.
                place = at + timedelta(microseconds=1) if at == move.closed_at else at
                line = Line(f"move-{move.id}-{n}", f"{words.clock(at, viewer.tz)} · {text}", move=True)
                found.append((place, line))
    return sorted(found, key=lambda item: item[0])


def _bubble(
    one: Conversation, message: Said, beside: Beside, before: Said | None, viewer: Viewer, *, may_retry: bool
) -> Bubble:
    content = message.content
    gone = message.deleted_at is not None
    quoted = beside.quoted.get(message.reply_to or "")
    same = before is not None and (before.author, before.agent_name) == (message.author, message.agent_name)
    return Bubble(
        id=f"m{message.id}",
        author=message.author,
        who=_who(message, one),
        note=False,
        type=message.type,
        kind="" if gone else _kind(message),
        text=_text(message),
        at=message.at.isoformat(),
        clock=words.clock(message.at, viewer.tz),
        status=message.status,
        status_words=words.STATUSES[message.status] if message.status else "",
        error=message.error if message.status in (Status.FAILED, Status.WITHDRAWN) else "",
        understood=understood(message) if message.author is Author.CONTACT else "",
        choices=tuple(reply.title for reply in content.replies)
        if isinstance(content, (says.Buttons, says.Menu))
        else (),
        place=_map(content) if isinstance(content, says.Place) else "",
        place_url=content.url if isinstance(content, says.Place) else "",
        quote=_quote(quoted, one) if quoted is not None else None,
        first=not same or before is None or message.at - before.at > TOGETHER,
        may_retry=message.id if may_retry and _may_be_sent_again(message) else None,
        file=_attached(message, beside.files.get(message.id)),
        marks=tuple(words.marks(message.origin)),
        edited=message.edited_at is not None and not gone,
        sent_again=message.sent_again,
        taken_back=_taken_back(message) if gone else "",
        reactions=beside.reactions.get(message.wamid or "", ()),
        cards=content.cards if isinstance(content, says.Cards) else (),
        failed_too=beside.failed_too.get(message.id, "") if message.status in ARRIVED else "",
        may_quote=message.id if message.wamid and not gone else None,
    )


def _who(message: Said, one: Conversation) -> str:
    if message.agent_name == THE_PHONE:
        return "From the phone"
    return words.author(message.author, name_of(one) if message.author is Author.CONTACT else message.agent_name)


def _text(message: Said) -> str:
    match message.content:
        case says.Reaction() as reaction:
            return reaction.emoji
        case says.Cards():
            return ""  # they are drawn one by one
        case _:
            return words.own(message.type, message.text)


def _kind(message: Said) -> str:
    """Name what it is, where it is more than words."""
    content = message.content
    if isinstance(content, (says.Text, says.Buttons, says.Menu)):
        return ""
    if isinstance(content, says.Other):
        return words.unread(content.kind, content.body)
    if isinstance(content, says.Cards) and content.asked:
        return words.OWN_CARD
    return words.kind("voice" if isinstance(content, says.Media) and content.voice else message.type)


def _taken_back(message: Said) -> str:
    return "The contact took this back." if message.author is Author.CONTACT else "Taken back."


def _attached(message: Said, file: File | None) -> Attached | None:
    content = message.content
    if file is None or not isinstance(content, says.Media):
        return None
    plays = content.kind != "document" and file.mime_type in words.SHOWN - words.NOT_PLAYED
    return Attached(
        message_id=message.id,
        shown_as=file.mime_type.split("/")[0] if plays else "",
        name=content.filename,
        size=words.size(file.size) if file.size is not None else "",
        not_there=words.not_there(file.state, file.error),
        doubt=words.doubt(content.mime_type, file.mime_type),
    )


def _note(note: Note, viewer: Viewer) -> Bubble:
    return Bubble(
        id=f"n{note.id}",
        author=Author.AGENT,
        who=note.name,
        note=True,
        type="note",
        kind="",
        text=note.text,
        at=note.at.isoformat(),
        clock=words.clock(note.at, viewer.tz),
        status=None,
        status_words="",
        error="",
        understood="",
        choices=(),
        place="",
        place_url="",
        quote=None,
        first=True,
        may_retry=None,
    )


def _may_be_sent_again(message: Said) -> bool:
    by_us = message.author is Author.AGENT and message.agent_name not in {THE_PHONE, META_AGENT}
    return by_us and message.status is Status.FAILED and not message.sent_again


def _quote(message: Said, one: Conversation) -> Quote:
    return Quote(f"m{message.id}", _who(message, one), gist(message))


def gist(message: Said) -> str:
    """Say a message in one line."""
    if message.deleted_at is not None:
        return _taken_back(message)
    return short(words.own(message.type, message.text) or f"[{_kind(message)}]")


def _map(place: says.Place) -> str:
    at = f"{place.latitude:.6f}"
    return f"https://www.openstreetmap.org/?mlat={at}&mlon={place.longitude:.6f}#map=17/{at}/{place.longitude:.6f}"
