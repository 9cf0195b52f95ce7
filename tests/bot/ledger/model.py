"""What the ledger must do, said a second time and simply: dicts and lists, no rows, no epochs, no SQL.

A take does not compare numbers here; it marks everything the bot has begun. Meta is somebody who keeps a list.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from bot.updates import ContactRef
from bot.vocabulary import Author, Holder, Reason, Status, TurnState
from tests.factories import NOW

LEASE = timedelta(seconds=20)  # of a turn
IN_ORDER = timedelta(seconds=5)
PHONE_QUIET = timedelta(minutes=30)
TOLD_AT_ONCE = timedelta(minutes=1)  # what was said on the phone, and what came meanwhile has crossed with it
WINDOW = timedelta(hours=24) - timedelta(minutes=5)
QUIET = timedelta(seconds=0.6)
BURST_SIZE = 20
BURST_MAX = timedelta(seconds=1.5)
META_TELLS_WITHIN = timedelta(seconds=8)  # an honest Meta, while the door is open
META_PAUSES_AT_MOST = timedelta(minutes=5)  # after it was shut, before it tries again
NOBODY_INVITED = {Reason.FLOOD, Reason.MACHINE}
UNSENT = {Status.QUEUED, Status.SENDING}
ARRIVED = {Status.SENT, Status.DELIVERED, Status.READ, Status.PLAYED}
NEARER_TO_A_PERSON = ["bot", "phone", "queue", "agent"]


class Fate(Enum):
    """What becomes of what a contact wrote."""

    NOTHING = "it wants no answer"
    WAITING = "waiting"
    IN_TURN = "in a turn"
    ANSWERED = "answered"
    PERSON = "in front of a person"
    TAKEN_BACK = "taken back"


@dataclass(eq=False)
class Letter:
    """Something a contact wrote."""

    wamid: str
    chat: Chat
    alone: bool
    fate: Fate
    sent_at: datetime
    arrived_at: datetime
    id: int = 0
    thought: Thought | None = None
    taken_back: bool = False
    left: bool = False  # to whoever answers from the phone: the bot's again, if it was written after their last word


@dataclass(eq=False)
class Thought:
    """A turn of the bot's."""

    id: int
    chat: Chat
    letters: list[Letter]
    attempts: int = 1
    state: TurnState = TurnState.RUNNING
    overtaken: bool = False  # a person has taken over since it began
    handed_off: bool = False


@dataclass(eq=False)
class Word:
    """Something we say."""

    text: str
    author: Author
    home: Chat  # where it was queued
    past: frozenset[Chat]  # whose words must all be out before it
    thought: Thought | None  # bound to it: silent once that is overtaken
    id: int = 0
    again_of: Word | None = None
    overtaken: bool = False
    stale: bool = False  # a person has taken over since it was said, bound or not
    accepted: list[Acceptance] = field(default_factory=list)
    answered_at: datetime | None = None  # when we wrote down that Meta had accepted it
    status: Status = Status.QUEUED
    failed_at: int | None = None  # the step in which it failed first
    needless: bool = False  # what it was to repeat has arrived after all
    doubtful: bool = False  # it failed, but only because nobody answered

    @property
    def did_not_go_out(self) -> bool:
        """Say whether the contact does not have it, and will not."""
        never = {Status.WITHDRAWN, Status.QUEUED} if self.overtaken else {Status.WITHDRAWN}
        return self.status in never or (self.status is Status.FAILED and not self.doubtful)

    @property
    def bound(self) -> bool:
        """Say whether a take silences it: what a turn composed, and what nobody typed and is sent again."""
        return self.thought is not None or (self.again_of is not None and self.author is not Author.AGENT)

    @property
    def has_arrived_before(self) -> bool:
        """Say whether the contact has what it repeats, or what that repeats."""
        first = None if self.needless else self.again_of
        return first is not None and (first.status in ARRIVED or first.has_arrived_before)


@dataclass(eq=False)
class Acceptance:
    """Meta has a message of ours, and will tell how far it gets."""

    word: Word
    wamid: str
    callback: str
    at: datetime
    honest: bool  # tells in time; the other kind tells late or never
    due: datetime  # when Meta tries to tell of it next
    tries: int = 0  # that failed, for the door was shut
    told: bool = False  # a report that names our id has reached us
    answered: bool = False  # the answer to the send has reached us
    reported: set[Status] = field(default_factory=set)

    def fails_to_tell(self, now: datetime) -> None:
        """The door is shut; Meta tries again after a pause as long as it has tried so far."""
        self.tries += 1
        self.due = now + min(now - self.at, META_PAUSES_AT_MOST)


@dataclass(eq=False)
class Request:
    """A message in a sender's hand."""

    word: Word
    sender: str
    callback: str
    at: datetime
    acceptance: Acceptance | None = None


@dataclass(eq=False)
class Chat:
    """One person and one of our numbers."""

    number: str
    id: int = 0
    key: str = ""
    holder: Holder = Holder.BOT
    agent: int | None = None
    reason: Reason | None = None  # why it waits for a person, or was taken
    asked_at: datetime | None = None  # since when it is no more the bot's
    phone_until: datetime | None = None
    typed_at: datetime | None = None  # when the phone spoke last
    window: datetime | None = None
    lease_owner: str | None = None
    lease_until: datetime | None = None
    letters: list[Letter] = field(default_factory=list)
    thoughts: list[Thought] = field(default_factory=list)
    words: list[Word] = field(default_factory=list)
    past: set[Chat] = field(default_factory=set)
    with_a_person_at: int = -1  # the last step in which it was not the bot's

    def __post_init__(self) -> None:
        self.past.add(self)

    @property
    def hears(self) -> bool:
        """Say whether what waits is the bot's to answer."""
        return self.holder is Holder.BOT or (self.holder is Holder.QUEUE and self.reason not in NOBODY_INVITED)

    @property
    def is_the_phones(self) -> bool:
        """Say whether somebody answers from the phone."""
        return self.holder is Holder.AGENT and self.agent is None

    @property
    def running(self) -> Thought | None:
        """The turn at work."""
        return next((one for one in self.thoughts if one.state is TurnState.RUNNING), None)

    @property
    def waiting(self) -> list[Letter]:
        """What waits, as it came."""
        return [letter for letter in self.letters if letter.fate is Fate.WAITING]

    def overtake(self) -> None:
        """A person has it: what the bot has begun is not said any more, what waits is theirs."""
        for thought in self.thoughts:
            thought.overtaken = True
        for word in self.words:
            word.overtaken = word.bound
            word.stale = True
        for letter in self.waiting:
            letter.fate = Fate.PERSON

    def is_left_to(self, holder: Holder, agent: int | None) -> None:
        """What the bot has not answered, or not said yet: an agent's for good, the phone's perhaps for a while."""
        for letter in self.letters if holder is Holder.AGENT else []:
            thought = letter.thought
            begun = (
                thought is not None
                and not thought.overtaken
                and (
                    thought.state is TurnState.RUNNING
                    or any(
                        word.thought is thought and not word.overtaken and word.status in UNSENT for word in self.words
                    )
                )
            )
            letter.left = agent is None and (letter.left or letter.fate is Fate.WAITING or begun)

    def rests(self) -> None:
        """Nobody has typed on the phone for a while: what was written after their last word is the bot's."""
        self.holder, self.phone_until = Holder.BOT, None
        for letter in [letter for letter in self.letters if letter.left]:
            letter.left = False
            said = [word for word in self.words if letter.thought is not None and word.thought is letter.thought]
            # Half an answer is not given again; nor one that may have arrived. A person sees to those.
            unsaid = bool(said) and all(word.did_not_go_out for word in said)
            open_ = letter.fate is not Fate.ANSWERED or unsaid
            if letter.sent_at > self.typed_at and open_ and not letter.taken_back:
                letter.fate, letter.thought = Fate.WAITING, None

    def close(self, thought: Thought, state: TurnState) -> None:
        """End a turn; what it heard is answered, or a person has it."""
        thought.state = state
        answered = state in {TurnState.ANSWERED, TurnState.SILENT}
        for letter in thought.letters:
            if letter.thought is thought:
                letter.fate = Fate.ANSWERED if answered else Fate.PERSON


@dataclass(eq=False)
class Contact:
    """Who we think we speak with."""

    made: int
    ids: dict[str, datetime] = field(default_factory=dict)  # and since when they are theirs
    phone: str | None = None  # today
    bsuid: str | None = None
    chats: dict[str, Chat] = field(default_factory=dict)


@dataclass
class Person:
    """Somebody with a phone; what WhatsApp calls them changes."""

    phone: str
    bsuid: str

    def named(self, by: str) -> ContactRef:
        """Return them as a delivery may name them."""
        return ContactRef(
            phone=self.phone if by in {"phone", "both"} else None, bsuid=self.bsuid if by in {"bsuid", "both"} else None
        )


class Model:
    """The whole of it: contacts, chats, words, and what Meta has."""

    def __init__(self) -> None:
        self.contacts: list[Contact] = []
        self.letters: dict[str, Letter] = {}  # by wamid
        self.echoes: set[str] = set()
        self.before: dict[str, tuple[Contact, datetime]] = {}  # who had a number before its owner, and until when
        self.carried_out: set[str] = set()  # news of changed numbers
        self.gone_before: set[str] = set()  # taken back before they came
        self.dead: set[int] = set()  # conversations that went into others
        self.words: list[Word] = []
        self.queued: list[Word] = []  # since the last look at the rows
        self.accepted: list[Acceptance] = []
        self.requests: list[Request] = []
        self.now = NOW
        self.unknowable = 0  # sent twice, and nobody could know
        self.merges = 0
        self._n = itertools.count(1)

    @property
    def chats(self) -> list[Chat]:
        """Every conversation there is, the oldest first."""
        return sorted((chat for one in self.contacts for chat in one.chats.values()), key=lambda chat: chat.id)

    # --- contacts -------------------------------------------------------------------------------------------------

    def _knows(self, value: str | None) -> Contact | None:
        return next((one for one in self.contacts if value and value in one.ids), None)

    def _had(self, phone: str | None, at: datetime) -> Contact | None:
        """Return whose number it was then, as far as we know."""
        owner = self._knows(phone)
        if owner is None or phone is None:
            return None
        if owner.phone != phone and owner.ids[phone] < at:
            return None  # given up
        if owner.ids[phone] > at and phone in self.before:
            before, until = self.before[phone]
            return before if until >= at else owner
        return owner

    def _hands_on(self, which: str, value: str, at: datetime) -> None:
        """Let an id go to somebody else; who had a number is remembered."""
        owner = self._knows(value)
        if owner is None:
            return
        since, had_it = owner.ids.pop(value), getattr(owner, which) == value
        if had_it:
            setattr(owner, which, None)
        if which == "phone":
            self.before[value] = (owner, at if had_it else since)

    def seen(self, ref: ContactRef, at: datetime) -> Contact:
        """Somebody is named; who is it?"""
        found = self._who_is(ref, at)
        if found is None:
            owner = self._knows(ref.phone)
            if owner is not None and ref.phone is not None and owner.ids[ref.phone] > at:
                ref = ContactRef(None, ref.bsuid)  # it is somebody else's since then
            found = Contact(next(self._n))
            self.contacts.append(found)
        self._learn(found, ref, at)
        return found

    def renumbered(self, wamid: str, old: ContactRef, new: ContactRef, at: datetime) -> None:
        """Whoever we know by the old ids and whoever we know by the new ones is one person.

        Unless they have two ids and the news does not name both. News that was carried out is no news.
        """
        if wamid in self.carried_out:
            return
        told_old, owner = old, self._had(old.phone, at)
        if owner is not None and owner.phone == old.phone is not None and owner.ids[old.phone] > at:
            old = ContactRef(None, old.bsuid)  # the number has a new owner since
        before, after = self._who_is(old, at), self._who_is(new, at)
        before = self._who_is(old, at)  # both may have been one
        found = before or after
        if before is not None and after is not None and before is not after:
            one_id = not before.bsuid or not after.bsuid or before.bsuid == after.bsuid
            named = {self._knows(old.bsuid), self._knows(new.bsuid)}
            found = self._unite(before, after) if one_id or named >= {before, after} else after
        if found is None:
            return
        self.carried_out.add(wamid)
        phone_is_old = found.phone is not None and found.ids[found.phone] > at
        bsuid_is_old = found.bsuid is not None and found.ids[found.bsuid] > at
        told = ContactRef(None if phone_is_old else new.phone, None if bsuid_is_old else new.bsuid)
        self._learn(found, told, at)
        if told_old.phone is not None and told_old.phone != new.phone and self._knows(told_old.phone) is None:
            found.ids[told_old.phone] = at

    def _who_is(self, ref: ContactRef, at: datetime) -> Contact | None:
        by_bsuid, by_phone = self._knows(ref.bsuid), self._had(ref.phone, at)
        if by_bsuid and by_phone and by_bsuid is not by_phone and by_phone.bsuid is None:
            told = self.before[ref.phone][1] if ref.phone not in by_phone.ids else by_phone.ids[ref.phone]
            if by_bsuid.phone is not None and at < by_bsuid.ids[by_bsuid.phone] <= told:
                return by_bsuid  # the number had gone on by then
            return self._unite(by_bsuid, by_phone)
        if by_bsuid is None and ref.bsuid and by_phone is not None and by_phone.bsuid:
            return None  # the number has a new owner
        return by_bsuid or by_phone

    def _learn(self, contact: Contact, ref: ContactRef, at: datetime) -> None:
        for which, value in (("phone", ref.phone), ("bsuid", ref.bsuid)):
            today, owner = getattr(contact, which), self._knows(value)
            if not value or value == today:
                continue
            if today is not None and contact.ids[today] > at:
                if owner is None:
                    contact.ids[value] = contact.ids[today]  # they had it until then
                continue
            if owner is None or owner.ids[value] <= at:
                if owner is not contact:
                    self._hands_on(which, value, at)
                contact.ids |= {value: at} if today is None else {value: at, today: at}
                setattr(contact, which, value)

    def _unite(self, one: Contact, another: Contact) -> Contact:
        kept, other = sorted((one, another), key=lambda found: found.made)
        for number, chat in other.chats.items():
            if number in kept.chats:
                self._merge(kept.chats[number], chat)
            else:
                kept.chats[number] = chat
        kept.ids |= other.ids
        phones = [one for one in (other.phone, kept.phone) if one is not None]
        kept.phone = max(phones, key=lambda one: kept.ids[one], default=None)
        kept.ids |= {phone: kept.ids[kept.phone or phone] for phone in phones}
        self.before = {one: (kept if who is other else who, until) for one, (who, until) in self.before.items()}
        kept.bsuid = other.bsuid or kept.bsuid
        self.contacts.remove(other)
        return kept

    def _merge(self, kept: Chat, other: Chat) -> None:
        """Two conversations with one person become one; who is nearer to a person keeps it."""
        self.merges += 1
        lost = other.running
        if lost is not None:
            lost.state = TurnState.MUTED
            for letter in lost.letters:
                letter.thought = None
                letter.fate = Fate.TAKEN_BACK if letter.taken_back else Fate.WAITING
        theirs, ours = (NEARER_TO_A_PERSON.index("phone" if c.is_the_phones else c.holder.value) for c in (other, kept))
        for chat, by in ((kept, theirs), (other, ours)):
            if chat.is_the_phones and by == NEARER_TO_A_PERSON.index("queue"):
                chat.rests()
        if theirs > ours:
            kept.holder, kept.agent, kept.reason = other.holder, other.agent, other.reason
            kept.phone_until, kept.asked_at = other.phone_until, other.asked_at
        for chat in (kept, other):
            chat.is_left_to(kept.holder, kept.agent)
        for letter in other.letters:
            letter.chat = kept
        for thought in other.thoughts:
            thought.chat = kept
        kept.letters = sorted(kept.letters + other.letters, key=lambda letter: letter.id or 1 << 60)
        kept.thoughts = sorted(kept.thoughts + other.thoughts, key=lambda thought: thought.id)
        kept.words = sorted(kept.words + other.words, key=lambda word: word.id)
        kept.past |= other.past
        kept.typed_at = max(filter(None, (kept.typed_at, other.typed_at)), default=None)
        kept.window = max(filter(None, (kept.window, other.window)), default=None)
        kept.with_a_person_at = max(kept.with_a_person_at, other.with_a_person_at)
        self.dead.add(other.id)
        if kept.holder is Holder.AGENT:
            kept.overtake()

    def chat_with(self, contact: Contact, number: str) -> Chat:
        """Return the conversation of a contact with one of our numbers."""
        return contact.chats.setdefault(number, Chat(number))

    # --- what comes in --------------------------------------------------------------------------------------------

    def writes(
        self, wamid: str, number: str, ref: ContactRef, *, alone: bool, wants: bool, opens: bool,
        sent_at: datetime, now: datetime,
    ) -> Letter | None:  # fmt: skip
        """A contact wrote; the same again changes nothing."""
        if wamid in self.letters:
            return None
        chat = self.chat_with(self.seen(ref, sent_at), number)
        fate = Fate.NOTHING
        if wants:
            fate = Fate.PERSON if chat.holder is Holder.AGENT else Fate.WAITING
        letter = Letter(wamid, chat, alone, fate, sent_at, now, left=wants and chat.is_the_phones)
        if opens:
            chat.window = max(filter(None, (chat.window, sent_at + WINDOW)))
        self.letters[wamid] = letter
        chat.letters.append(letter)
        if wamid in self.gone_before:
            self.takes_back(wamid)
        return letter

    def takes_back(self, wamid: str) -> None:
        """Nobody owes it an answer any more, unless the bot is at it already."""
        letter = self.letters.get(wamid)
        if letter is None:
            self.gone_before.add(wamid)
            return
        letter.taken_back = True
        if letter.fate is Fate.WAITING:
            letter.fate = Fate.TAKEN_BACK

    def phone_answers(self, wamid: str, number: str, ref: ContactRef, *, sent_at: datetime) -> Chat | None:
        """Somebody at the business answered from the phone: that is a take."""
        if wamid in self.echoes:
            return None
        self.echoes.add(wamid)
        chat = self.chat_with(self.seen(ref, sent_at), number)
        chat.typed_at = max(filter(None, (chat.typed_at, sent_at)))
        went_on = chat.asked_at is not None and chat.asked_at > sent_at
        if self.now - sent_at > TOLD_AT_ONCE:
            went_on = went_on or any(letter.sent_at > sent_at for letter in chat.letters)
        if sent_at + PHONE_QUIET <= self.now or chat.agent is not None or (chat.holder is Holder.QUEUE and went_on):
            return chat
        if chat.holder is not Holder.AGENT:
            self._take(chat, None, Reason.PHONE)
        chat.phone_until = max(filter(None, (chat.phone_until, sent_at + PHONE_QUIET)))
        return chat

    # --- who holds ------------------------------------------------------------------------------------------------

    def _take(self, chat: Chat, agent: int | None, reason: Reason) -> None:
        if chat.holder is Holder.BOT:
            chat.reason, chat.asked_at = reason, self.now
        chat.is_left_to(Holder.AGENT, agent)
        chat.holder, chat.agent, chat.phone_until = Holder.AGENT, agent, None
        chat.overtake()

    def takes(self, chat: Chat, agent: int) -> bool | None:
        """Return whether it changed anything; None: somebody else has it."""
        if chat.holder is Holder.AGENT and chat.agent is not None:
            return False if chat.agent == agent else None
        self._take(chat, agent, Reason.STEPPED_IN)
        return True

    def holds(self, chat: Chat, agent: int) -> bool:
        """Say whether this agent has it."""
        return chat.holder is Holder.AGENT and chat.agent == agent

    def hands_off(self, chat: Chat, reason: Reason, text: str, thought: Thought | None) -> bool:
        """Ask for a person; False: a person is there, or was. The same turn twice is once."""
        if thought is not None and thought.handed_off:
            return True
        ended = thought is not None and (thought.overtaken or thought.state is TurnState.MUTED)
        if chat.holder is Holder.AGENT or ended:  # what a turn had heard that was lost, another one answers
            return False
        if chat.holder is Holder.BOT:
            chat.holder, chat.reason, chat.asked_at = Holder.QUEUE, reason, self.now
        elif reason in NOBODY_INVITED:
            chat.reason = reason
        if thought is not None:
            thought.handed_off = True
        self.says(chat, text, Author.BOT)
        return True

    # --- what we say ----------------------------------------------------------------------------------------------

    def says(
        self, chat: Chat, text: str, author: Author, thought: Thought | None = None, again_of: Word | None = None
    ) -> Word:
        """Something is to go out."""
        word = Word(text, author, chat, frozenset(chat.past), thought, again_of=again_of)
        self.words.append(word)
        self.queued.append(word)
        chat.words.append(word)
        return word

    def chat_of(self, word: Word) -> Chat:
        """Return the conversation a word is in now."""
        return next(chat for chat in self.chats if word.home in chat.past)

    # --- the bot --------------------------------------------------------------------------------------------------

    def begins(
        self, chat: Chat, owner: str, passing_on: str, now: datetime
    ) -> Thought | datetime | list[Letter] | None:
        """Return what a process finds to do: a turn to do again, the letters of a new one, a moment to wait for.

        None: another process is at work.
        """
        free = chat.lease_until is None or chat.lease_until < now or chat.lease_owner == owner
        if not free:
            return None
        chat.lease_owner, chat.lease_until = owner, now + LEASE
        running = chat.running
        if running is not None and (running.overtaken or not chat.hears):
            chat.close(running, TurnState.MUTED)
            running = None
        if running is not None and running.attempts >= 2:
            chat.close(running, TurnState.LOST)
            self.hands_off(chat, Reason.LOST, passing_on, running)
            running = None
        if running is not None:
            running.attempts += 1
            return running
        waiting = chat.waiting
        if not chat.hears:
            for letter in waiting:
                letter.fate = Fate.PERSON
            waiting = []
        burst, ends = _burst(waiting)
        if burst and (ends is None or now >= ends):
            return burst
        chat.lease_owner = chat.lease_until = None
        return [] if ends is None else ends

    def begun(self, chat: Chat, turn_id: int, burst: list[Letter]) -> Thought:
        """A new turn is at work."""
        thought = Thought(turn_id, chat, burst)
        for letter in burst:
            letter.thought, letter.fate = thought, Fate.IN_TURN
        chat.thoughts.append(thought)
        return thought

    def ends(
        self, thought: Thought, owner: str, said: list[str], *, may_be_silent: bool, excuse: str, passing_on: str,
        has_words: bool,
    ) -> TurnState | None:  # fmt: skip
        """Return what becomes of a turn; None: it is another process's now, or over."""
        chat = thought.chat
        if thought.state is not TurnState.RUNNING or chat.lease_owner != owner:
            return None
        chat.lease_owner = chat.lease_until = None
        if thought.overtaken:
            chat.close(thought, TurnState.MUTED)
            return TurnState.MUTED
        state = TurnState.ANSWERED
        if not said and not may_be_silent and not has_words:
            state = TurnState.SILENT
            before = [one for one in chat.thoughts if one.id < thought.id]
            if before and before[-1].state is TurnState.SILENT:
                self.hands_off(chat, Reason.SILENT, passing_on, thought)
            else:
                said = [excuse]
        for text in said:
            self.says(chat, text, Author.BOT, thought)
        chat.close(thought, state)
        return state

    # --- Meta -----------------------------------------------------------------------------------------------------

    def accepts(self, request: Request, now: datetime, *, honest: bool) -> Acceptance:
        """Meta takes a message of ours."""
        due = now + META_TELLS_WITHIN
        found = Acceptance(request.word, f"wamid.out{next(self._n)}", request.callback, now, honest, due)
        if request.word.accepted:
            self.unknowable += 1
        request.word.accepted.append(found)
        request.acceptance = found
        self.accepted.append(found)
        return found

    def next_try(self, until: datetime) -> Acceptance | None:
        """Return what an honest Meta tries to tell next, if it does by then."""
        owed = [one for one in self.accepted if one.honest and not one.told and one.due <= until]
        return min(owed, key=lambda one: one.due, default=None)


def _burst(waiting: list[Letter]) -> tuple[list[Letter], datetime | None]:
    """Return what is answered together, and when; None: at once."""
    burst: list[Letter] = []
    for letter in waiting[:BURST_SIZE]:
        if letter.alone:
            return (burst, None) if burst else ([letter], None)
        burst.append(letter)
    if not burst or len(burst) == BURST_SIZE:
        return burst, None
    arrivals = [letter.arrived_at for letter in burst]
    return burst, min(max(arrivals) + QUIET, min(arrivals) + BURST_MAX)
