"""The counting: both ends' books side by side, and what is wrong between them. Pure; README.md says the rules."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

CALLBACK = "baton:"  # the ledger's id of a message travels to the simulator under this prefix
IN_FLIGHT_S = 11.0  # the sender's own time-outs, to connect and to be answered: no request of its is older
CLOCKS_S = 0.05  # the database's clock and the simulator's, on one machine
WANTED = {"asked", "stepped_in"}  # the reasons for which our contacts and agents bring a person in
ACCEPTED = {"sent", "delivered", "read", "played"}
NOT_TO_BE_SENT = {"withdrawn"}


@dataclass(frozen=True)
class Heard:
    """What a contact wrote, by the simulator's books."""

    phone: str
    wamid: str
    text: str
    at: float


@dataclass(frozen=True)
class Got:
    """What the simulator accepted for a contact; the books hold them in the order of their acceptance."""

    phone: str
    wamid: str
    text: str
    at: float
    callback: str = ""


@dataclass(frozen=True)
class Row:
    """One message of the ledger."""

    id: int
    phone: str
    author: str
    text: str
    wamid: str | None = None
    turn_id: int | None = None
    status: str | None = None
    epoch: int | None = None
    waiting: bool = False
    doubtful: bool = False  # given up in so many words: it may have arrived, and a person has to ask


@dataclass(frozen=True)
class Step:
    """A change the database's own triggers wrote down, in the order of the transactions: of a message's status
    (`message_id`), or of who holds a contact's conversation (`phone`).
    """

    n: int
    at: float
    value: str
    message_id: int | None = None
    phone: str | None = None


@dataclass(frozen=True)
class Held:
    """An agent's time with a contact: from the 2xx of the take to the first try of the give back."""

    phone: str
    taken_at: float
    given_at: float = math.inf


@dataclass(frozen=True)
class Episode:
    """A handoff of the ledger."""

    phone: str
    reason: str
    asked_at: float
    closed_at: float | None = None


@dataclass(frozen=True)
class Question:
    """One turn of a contact: a message, or a burst of them. A mark is what only its own answer names, if anything."""

    phone: str
    wamids: tuple[str, ...]
    marks: tuple[str | None, ...]


@dataclass(frozen=True)
class Reply:
    """What an agent wrote: the n-th to this contact. The text is like no other."""

    phone: str
    n: int
    text: str
    acknowledged: bool = True


@dataclass(frozen=True)
class Books:
    """Both ends, and what the driver itself did."""

    heard: list[Heard] = field(default_factory=list)
    got: list[Got] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    episodes: list[Episode] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    unfinished_turns: int = 0


@dataclass(frozen=True)
class Count:
    """A line of the run's result. Without a bar it only tells."""

    name: str
    value: float
    bar: float | None = 0
    at_least: bool = False
    evidence: tuple[str, ...] = ()

    @property
    def is_kept(self) -> bool:
        """Say whether the value is on the right side of its bar."""
        if self.bar is None:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def __str__(self) -> str:
        return f"{self.name} {self.value:g} {'-' if self.bar is None else f'{self.bar:g}'}"


def count(books: Books, kills: int) -> list[Count]:
    """Return every count of the two books, each with its evidence."""
    view = _View(books)

    def none_of(name: str, wrong: Iterable[str]) -> Count:
        found = tuple(wrong)
        return Count(name, len(found), evidence=found)

    ended = tuple(_ended_by_fault(books))
    doubtful = tuple(f"row {row.id} of the {row.author} to {row.phone}" for row in books.rows if row.doubtful)
    return [
        none_of("inbound_lost", _inbound_lost(view)),
        none_of("written_down_twice", _written_down_twice(view)),
        none_of("answered_twice", _answered_twice(view)),
        none_of("sent_twice", _sent_twice(view)),
        none_of("out_of_order", _out_of_order(view)),
        none_of("bot_after_human", _bot_after_human(view)),
        none_of("wrong_contact", _wrong_contact(view)),
        none_of("outbound_lost", _outbound_lost(view)),
        none_of("books_differ", _books_differ(view)),
        none_of("unanswered_at_end", _unanswered_at_end(books)),
        Count("ended_by_fault", len(ended), bar=kills, evidence=ended),
        Count("doubtful", len(doubtful), bar=kills, evidence=doubtful),
    ]


class _View:
    """The books, looked up from every side."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.row = {row.id: row for row in books.rows}
        self.inbound: dict[str, list[Row]] = defaultdict(list)
        for row in books.rows:
            if row.author == "contact" and row.wamid:
                self.inbound[row.wamid].append(row)
        self.got: dict[str, list[Got]] = defaultdict(list)
        for got in books.got:
            self.got[got.phone].append(got)
        self.heard = {heard.wamid: heard for heard in books.heard}
        self.replies = {(reply.phone, reply.text): reply for reply in books.replies}
        self.questions: dict[str, list[Question]] = defaultdict(list)
        for question in books.questions:
            self.questions[question.phone].append(question)

    def row_of(self, got: Got) -> Row | None:
        """Return the ledger's row of something accepted, by what travelled with it."""
        number = got.callback.removeprefix(CALLBACK)
        return self.row.get(int(number)) if number.isdigit() else None

    def author_of(self, got: Got) -> str:
        """Return who said it: the ledger knows; else whoever is not one of our agents is the bot."""
        row = self.row_of(got)
        if row is not None:
            return row.author
        return "agent" if (got.phone, got.text) in self.replies else "bot"

    def marks(self, phone: str) -> dict[str, list[str]]:
        """Return a contact's marks, each with the messages that ask for it."""
        found: dict[str, list[str]] = defaultdict(list)
        for question in self.questions[phone]:
            for wamid, mark in zip(question.wamids, question.marks, strict=True):
                if mark is not None:
                    found[mark].append(wamid)
        return found

    def naming(self, phone: str, mark: str) -> list[Got]:
        """Return what the bot said to this phone that names the mark."""
        return [got for got in self.got[phone] if mark in got.text and self.author_of(got) == "bot"]


def _inbound_lost(view: _View) -> Iterator[str]:
    """Find what a contact wrote that was never written down, or neither answered nor before a person."""
    asked: set[str] = set()
    for phone, questions in view.questions.items():
        answered_turns = {row.turn_id for got in view.got[phone] if (row := view.row_of(got)) and row.author == "bot"}
        for n, question in enumerate(questions):
            until = _overtaken_at(view, phone, questions[n + 1 :])
            for wamid, mark in zip(question.wamids, question.marks, strict=True):
                asked.add(wamid)
                heard = view.heard.get(wamid)
                rows = view.inbound.get(wamid, [])
                if not rows or heard is None:
                    yield f"{wamid} of {phone} was never written down: {heard and heard.text!r}"
                    continue
                named = mark is not None and any(got.at >= heard.at for got in view.naming(phone, mark))
                by_turn = any(row.turn_id is not None and row.turn_id in answered_turns for row in rows)
                if not (named or by_turn or _before_a_person(view, phone, heard.at, until)):
                    yield f"{wamid} of {phone} was neither answered nor before a person: {heard.text!r} ({rows})"
    for heard in view.books.heard:  # what the driver does not know of, having died on the answer
        if heard.wamid not in asked and heard.wamid not in view.inbound:
            yield f"{heard.wamid} of {heard.phone} was never written down: {heard.text!r}"


def _overtaken_at(view: _View, phone: str, later: list[Question]) -> float:
    """Return when the bot first answered a later question: what was still unanswered then was not kept for a person."""
    marks = {mark for question in later for mark in question.marks if mark}
    return min((got.at for mark in marks for got in view.naming(phone, mark)), default=math.inf)


def _before_a_person(view: _View, phone: str, since: float, until: float) -> bool:
    """Say whether a handoff was open at some moment before the bot went on to later questions."""
    return any(
        episode.phone == phone
        and episode.asked_at <= until
        and (episode.closed_at is None or episode.closed_at >= since)
        for episode in view.books.episodes
    )


def _written_down_twice(view: _View) -> Iterator[str]:
    for wamid, rows in view.inbound.items():
        for row in rows[1:]:
            yield f"{wamid} of {row.phone} is row {rows[0].id} and again row {row.id}"


def _answered_twice(view: _View) -> Iterator[str]:
    """Find marks the bot named in more messages of its own than the contact asked for them."""
    for phone in view.questions:
        for mark, wamids in view.marks(phone).items():
            answers = {got.callback or got.wamid: got for got in view.naming(phone, mark)}
            for got in list(answers.values())[len(wamids) :]:
                yield f"{phone} asked for {mark} in {len(wamids)} messages and heard {len(answers)}: {got.callback} too"


def _sent_twice(view: _View) -> Iterator[str]:
    """Find what the simulator accepted twice: by what travelled with it, and agents' words by their text."""
    seen: dict[tuple[str, str], Got] = {}
    for got in view.books.got:
        keys = [(got.phone, f"callback {got.callback}")] if got.callback else []
        if (got.phone, got.text) in view.replies:
            keys.append((got.phone, f"text {got.text}"))
        first = next((seen[key] for key in keys if key in seen), None)
        if first is not None:
            yield f"{got.phone} got {got.callback} as {first.wamid} and again {got.at - first.at:.1f} s later"
        seen.update((key, got) for key in keys if key not in seen)


def _out_of_order(view: _View) -> Iterator[str]:
    """Find what overtook: as composed in the ledger; answers by their questions' arrival; replies by their number."""
    for phone, all_got in view.got.items():
        first = {got.callback or got.wamid: got for got in reversed(all_got)}
        accepted = sorted(first.values(), key=all_got.index)
        wrong: dict[str, str] = {}
        composed = [(row.id, got) for got in accepted if (row := view.row_of(got)) is not None]
        numbered = [(reply.n, got) for got in accepted if (reply := view.replies.get((phone, got.text)))]
        arrived = sorted(
            (min(view.inbound[w][0].id for w in wamids if w in view.inbound), mark)
            for mark, wamids in view.marks(phone).items()
            if len(wamids) == 1 and wamids[0] in view.inbound
        )
        burst = {mark: n for n, question in enumerate(view.questions[phone]) for mark in question.marks if mark}
        asked = [(place, got) for place, (_, mark) in enumerate(arrived) for got in view.naming(phone, mark)[:1]]
        asked.sort(key=lambda item: all_got.index(item[1]))
        for what, order in (("composed", composed), ("replied", numbered)):
            for (before, _), (after, got) in pairwise(order):
                if after < before:
                    wrong.setdefault(got.wamid, f"{phone}: {what} as {after}, accepted behind {before}")
        for (before, _), (after, got) in pairwise(asked):
            if after < before and burst[arrived[after][1]] != burst[arrived[before][1]]:
                wrong.setdefault(got.wamid, f"{phone}: {arrived[after][1]} answered behind {arrived[before][1]}")
        yield from wrong.values()


def _bot_after_human(view: _View) -> Iterator[str]:
    """Find what the bot said while an agent held the conversation. Two things may be heard after a take and are not
    the bot's talking: a request that was on its way already, and a hand off's own sentence before the agent's first.
    """
    sending: dict[int, list[Step]] = defaultdict(list)
    takes: dict[str, list[Step]] = defaultdict(list)
    for step in sorted(view.books.steps, key=lambda step: step.n):
        if step.message_id is not None and step.value == "sending":
            sending[step.message_id].append(step)
        elif step.phone is not None and step.value == "agent":
            takes[step.phone].append(step)
    for held in view.books.held:
        replied = False
        take = next((step for step in reversed(takes[held.phone]) if step.at <= held.taken_at + CLOCKS_S), None)
        for got in view.got[held.phone]:
            if not held.taken_at < got.at < held.given_at:
                continue
            row, author = view.row_of(got), view.author_of(got)
            replied = replied or author == "agent"
            if author != "bot":
                continue
            if row is not None and row.epoch is None and not replied:
                continue  # queued with the hand off, in its own transaction; always before the agent's words
            claims = sending.get(row.id, []) if row is not None else []
            claim = next((step for step in reversed(claims) if step.at <= got.at + CLOCKS_S), None)
            on_its_way = claim is not None and take is not None and claim.n < take.n
            if not (on_its_way and got.at <= held.taken_at + IN_FLIGHT_S):
                late = got.at - held.taken_at
                yield f"{held.phone} heard the bot {late:.2f} s after the take: {got.text[:60]!r} {row}"


def _wrong_contact(view: _View) -> Iterator[str]:
    """Find an answer at a phone that never asked for it. Only marks that belong to one contact alone can tell."""
    owners: dict[str, set[str]] = defaultdict(set)
    for phone in view.questions:
        for mark in view.marks(phone):
            owners[mark].add(phone)
    alone = {mark: next(iter(phones)) for mark, phones in owners.items() if len(phones) == 1 and mark.startswith("*FH")}
    for got in view.books.got:
        for word in got.text.split():
            owner = alone.get(word.strip(".,:;()"), got.phone)
            if owner != got.phone:
                yield f"{got.phone} was told of {word}, which {owner} asked for"


def _outbound_lost(view: _View) -> Iterator[str]:
    """Find what was composed, by the ledger or by an agent who was told yes, and never accepted by WhatsApp."""
    sent = {got.callback for got in view.books.got}
    for row in view.books.rows:
        to_be_sent = row.author != "contact" and row.status not in NOT_TO_BE_SENT and not row.doubtful
        if to_be_sent and f"{CALLBACK}{row.id}" not in sent:
            yield f"row {row.id} of the {row.author} to {row.phone} is {row.status} and was never accepted"
    known = {(row.phone, row.text) for row in view.books.rows}
    for reply in view.books.replies:
        if reply.acknowledged and (reply.phone, reply.text) not in known:
            yield f"{reply.phone}: reply {reply.n} was acknowledged and is not in the ledger"


def _books_differ(view: _View) -> Iterator[str]:
    """Find rows whose status says other than the simulator's books."""
    wamids: dict[int, set[str]] = defaultdict(set)
    for got in view.books.got:
        row = view.row_of(got)
        if row is not None:
            wamids[row.id].add(got.wamid)
    for row in view.books.rows:
        if row.author == "contact" or row.doubtful:
            continue
        if (row.id in wamids) != (row.status in ACCEPTED):
            yield f"row {row.id} is {row.status}; the simulator accepted it {len(wamids[row.id])} times"
        elif row.id in wamids and row.wamid not in wamids[row.id]:
            yield f"row {row.id} is known by {row.wamid}; the simulator gave it {wamids[row.id]}"


def _unanswered_at_end(books: Books) -> Iterator[str]:
    for row in books.rows:
        if row.waiting:
            yield f"row {row.id} of {row.phone} still waits"
        elif row.status in ("queued", "sending"):
            yield f"row {row.id} to {row.phone} is still {row.status}"
    yield from ["a turn is still running"] * books.unfinished_turns


def _ended_by_fault(books: Books) -> Iterator[str]:
    for episode in books.episodes:
        if episode.reason not in WANTED:
            yield f"{episode.phone} was passed to a person: {episode.reason}"
