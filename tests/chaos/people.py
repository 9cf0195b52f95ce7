"""The people of a fault run: contacts who write, wait and go on; agents who take, reply and give back. HTTP only."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.chaos.books import Heard, Held, Question, Reply
from tests.chaos.stage import Stage

STORES = ("London", "Manchester", "Bristol", "Leeds", "Edinburgh")
ORDER_WORDS = (
    "where is my order {}?",
    "is {} on its way",
    "status of {}",
    "any update on {}",
    "has {} been shipped",
    "can you check order {} for me",
    "track order {}",
)
STORE_WORDS = ("when do you open in {}?", "what are your opening hours in {}?")
PERSON_WORDS = ("can I talk to a person please", "I'd like to talk to a human please", "a person please")
EXCUSE = "Something went wrong on our side"
AGENTS = ("ann@fernhill.example", "ben@fernhill.example")

PATIENCE_S = 75.0  # how long a contact waits for an answer before writing again
LOOK_S = 0.7
GIVE_UP_S = 420.0  # how long the driver asks a door that does not answer; then the run itself has failed


class GaveUp(Exception):
    """Somebody could not do their part in all that time."""


@dataclass
class Diary:
    """What the driver did, for the books. Written by many threads."""

    questions: list[Question] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)  # what should not have been refused
    patience_lost: int = 0
    excuses: int = 0
    turns: int = 0
    finished: int = 0
    handoffs: int = 0
    waits: list[float] = field(default_factory=list)
    lately: deque[Heard] = field(default_factory=lambda: deque(maxlen=12))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, item: Question | Held | Reply) -> None:
        """Keep one thing that was done."""
        with self._lock:
            place: list[Any] = {Question: self.questions, Held: self.held, Reply: self.replies}[type(item)]
            place.append(item)

    def tick(self, name: str) -> None:
        """Count one more."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)

    def say(self, trouble: str) -> None:
        """Keep what should not have happened to the driver."""
        with self._lock:
            self.troubles.append(trouble)


class Watch:
    """Looks at the desk's list every second or so, for all agents and contacts."""

    def __init__(self, stage: Stage, every_s: float = 1.2) -> None:
        self._stage, self._every_s = stage, every_s
        self._seen: dict[str, tuple[str, str]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="watch")
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._closing.set()
        self._thread.join(40)

    def of(self, phone: str) -> tuple[str, str] | None:
        """Return a contact's conversation and who held it a moment ago."""
        return self._seen.get(phone)

    def _run(self) -> None:
        api = Api(self._stage, AGENTS[0])
        while not self._closing.wait(self._every_s):
            answer = api.once("GET", "/conversations")
            if answer is not None and answer.status_code == 200:
                self._seen = {one["contact"]["phone"]: (one["key"], one["holder"]) for one in answer.json()}


class Api:
    """The desk's documented API, version 1, as one account."""

    def __init__(self, stage: Stage, email: str) -> None:
        self._base = f"{stage.house.desk_url}/api/v1"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {stage.tokens[email]}"

    def once(self, method: str, path: str, **more: Any) -> requests.Response | None:
        """Ask once; None when nobody answered, or answered that something is wrong over there."""
        try:
            answer = self._session.request(method, self._base + path, timeout=30, **more)
        except requests.RequestException:
            return None
        return None if answer.status_code >= 500 else answer

    def ask(self, method: str, path: str, **more: Any) -> tuple[requests.Response, int]:
        """Ask until somebody answers; return the answer and how many tries it took."""
        deadline = time.monotonic() + GIVE_UP_S
        tries = 0
        while time.monotonic() < deadline:
            tries += 1
            answer = self.once(method, path, **more)
            if answer is not None:
                return answer, tries
            time.sleep(0.5)
        raise GaveUp(f"the desk never answered {method} {path}")


class Phone:
    """A contact's phone at the simulator."""

    def __init__(self, stage: Stage, number: str) -> None:
        self.number = number
        self._url = stage.house.phone_url
        self._session = requests.Session()
        self._wrote: set[str] = set()

    def register(self, name: str) -> None:
        """Make the contact."""
        body = {"phone": self.number, "name": name}
        insist(lambda: self._session.post(f"{self._url}/api/contacts", json=body, timeout=30).raise_for_status())

    def write(self, words: str) -> str:
        """Write, once, whatever becomes of the call; return the wamid. A call that broke may have been heard."""
        deadline = time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline:
            try:
                answer = self._session.post(
                    f"{self._url}/api/contacts/{self.number}/messages", json={"text": words}, timeout=60
                )
                answer.raise_for_status()
                wamid = str(answer.json()["wamid"])
            except requests.RequestException:
                time.sleep(0.5)
                found = self._find(words)
                if found is None:
                    continue
                wamid = found
            self._wrote.add(wamid)
            return wamid
        raise GaveUp("the simulator never took a contact's message")

    def _find(self, words: str) -> str | None:
        fresh = (m for m in self.chat() if m["direction"] == "in" and m["wamid"] not in self._wrote)
        return next((str(m["wamid"]) for m in fresh if m["text"] == words), None)

    def chat(self) -> list[dict[str, Any]]:
        """Return what the phone has, oldest first; asks until it is told."""

        def look() -> list[dict[str, Any]]:
            answer = self._session.get(f"{self._url}/api/messages", params={"phone": self.number}, timeout=30)
            answer.raise_for_status()
            return list(answer.json())

        return list(insist(look))

    def heard(self) -> list[str]:
        """Return the words the business got through to this phone."""
        return [m["text"] or "" for m in self.chat() if m["direction"] == "out"]


def insist(ask: Callable[[], Any]) -> Any:
    """Ask the simulator until it answers."""
    deadline = time.monotonic() + GIVE_UP_S
    while True:
        try:
            return ask()
        except requests.RequestException as problem:
            if time.monotonic() > deadline:
                raise GaveUp("the simulator never answered") from problem
            time.sleep(0.5)


@dataclass(frozen=True)
class Manners:
    """How contacts and agents behave in a run."""

    burst: float = 0.2  # how many of the turns are bursts
    handoffs: float = 1 / 3  # how many of the conversations go to a person in the middle
    stepped_in: float = 0.5  # how many of those nobody asked for: the agent takes while the bot is at work
    patience_s: float = PATIENCE_S
    pause_s: tuple[float, float] = (1.5, 4.0)  # before the next turn; who types faster is taken for a machine
    hold_s: float = 8.0  # how long an agent waits to see the last reply delivered before giving back
    take_after_s: tuple[float, float] = (0.0, 1.5)  # an agent who steps in, after the contact's question


class Conversation:
    """One contact's whole story, and the agent's part in it."""

    def __init__(self, stage: Stage, watch: Watch, diary: Diary, *, number: str, orders: list[str], turns: int,
                 manners: Manners, rng: random.Random) -> None:  # fmt: skip
        self._watch, self._diary, self._manners, self._rng = watch, diary, manners, rng
        self._phone = Phone(stage, number)
        self._agent = Api(stage, rng.choice(AGENTS))
        self._orders = list(orders)
        self._stores = rng.sample(STORES, len(STORES))
        self._turns = turns
        self._replies = 0
        self._words = ""
        self._known = 0  # how much of the phone's chat was looked at
        self._person_at = rng.randrange(1, max(turns - 1, 2)) if rng.random() < manners.handoffs else None

    def play(self) -> None:
        """Live it from the first word to the last."""
        self._phone.register(f"Contact {self._phone.number[-4:]}")
        for turn in range(self._turns):
            if turn == self._person_at:
                self._with_a_person()
            else:
                self._wait_for(self._ask())
                self._rescue()
            self._diary.tick("turns")
            time.sleep(self._rng.uniform(*self._manners.pause_s))
        self._diary.tick("finished")

    # --- the contact

    def _ask(self) -> Question:
        """Ask one thing, or several in a burst."""
        if self._rng.random() >= self._manners.burst:
            return self._write([self._next()])
        parts: list[tuple[str, str | None]] = [self._next() for _ in range(self._rng.choice((1, 1, 2)))]
        if len(parts) == 1:
            parts.insert(0, ("hello", None))
        return self._write(parts)

    def _next(self) -> tuple[str, str | None]:
        if self._stores and self._rng.random() < 0.15:
            store = self._stores.pop()
            return self._worded(STORE_WORDS).format(store), f"Our *{store}* store"
        number = self._orders.pop()
        return self._worded(ORDER_WORDS).format(number), f"*{number}*"

    def _worded(self, ways: tuple[str, ...]) -> str:
        """Say it in other words than the last time: who repeats a sentence is taken for a machine, rightly."""
        self._words = self._rng.choice([words for words in ways if words != self._words])
        return self._words

    def _write(self, parts: list[tuple[str, str | None]]) -> Question:
        wamids = []
        for n, (words, _) in enumerate(parts):
            if n:
                time.sleep(self._rng.uniform(0.05, 1.2))
            wamids.append(self._phone.write(words))
            self._diary.lately.append(Heard(self._phone.number, wamids[-1], words, time.time()))
        question = Question(self._phone.number, tuple(wamids), tuple(mark for _, mark in parts))
        self._diary.add(question)
        return question

    def _wait_for(self, question: Question) -> None:
        """Wait for the answer, as long as one does; who waits too long writes again."""
        marks = [mark for mark in question.marks if mark]
        started = time.monotonic()
        while time.monotonic() - started < self._manners.patience_s:
            heard = self._phone.heard()
            fresh, known = heard[self._known :], len(heard)
            if any(mark in words for words in heard for mark in marks):
                self._known = known
                self._diary.waits.append(time.monotonic() - started)
                return
            if any(EXCUSE in words for words in fresh):
                self._known = known
                self._diary.tick("excuses")
                return
            waited = time.monotonic() - started
            if waited > 15 and self._holder() == "queue":
                return  # a fault has passed it on; the agent comes
            time.sleep(LOOK_S if waited < 10 else 2 * LOOK_S)
        self._diary.tick("patience_lost")

    def _holder(self) -> str:
        seen = self._watch.of(self._phone.number)
        return seen[1] if seen else ""

    # --- the agent

    def _with_a_person(self) -> None:
        """Have a person in the middle: asked for, or stepping in while the bot is at work."""
        self._diary.tick("handoffs")
        if self._rng.random() < self._manners.stepped_in:
            self._write([self._next()])
            time.sleep(self._rng.uniform(*self._manners.take_after_s))
        else:
            self._write([(self._rng.choice(PERSON_WORDS), None)])
            self._await(lambda: self._holder() == "queue", self._manners.patience_s)
        self._talk(replies=self._rng.choice((2, 3)))

    def _rescue(self) -> None:
        """See to a contact whom a fault has put into the queue."""
        if self._holder() == "queue":
            self._talk(replies=1)

    def _talk(self, replies: int) -> None:
        """Take, reply, listen, reply, give back."""
        if not self._await(lambda: self._watch.of(self._phone.number) is not None, GIVE_UP_S):
            raise GaveUp("the desk never showed a conversation")
        seen = self._watch.of(self._phone.number)
        assert seen is not None
        path = f"/conversations/{seen[0]}"
        answer, _ = self._agent.ask("POST", f"{path}/take")
        if answer.status_code != 200:
            self._complain("take", answer)
            return
        taken_at = time.time()
        for n in range(replies):
            if n != 1 or self._rng.random() < 0.7:
                self._reply(path)
            if n == 0:  # the contact goes on writing; none of it is the bot's to answer
                for _ in range(self._rng.choice((1, 2))):
                    time.sleep(self._rng.uniform(0.0, 1.0))
                    self._write([self._next()])
                self._read(path)
        if self._replies:  # most wait until their last words have gone out
            self._await(lambda: self._text(self._replies) in self._phone.heard(), self._manners.hold_s)
        given_at = time.time()
        answer, tries = self._agent.ask("POST", f"{path}/give_back")
        self._diary.add(Held(self._phone.number, taken_at, given_at))
        if answer.status_code != 200 and not (tries > 1 and answer.status_code in {403, 409}):
            self._complain("give back", answer)

    def _reply(self, path: str) -> None:
        self._replies += 1
        text = self._text(self._replies)
        key = f"{self._phone.number}-{self._replies}"
        answer, _ = self._agent.ask("POST", f"{path}/reply", json={"text": text}, headers={"Idempotency-Key": key})
        accepted = answer.status_code == 200
        self._diary.add(Reply(self._phone.number, self._replies, text, accepted))
        if not accepted:
            self._complain("reply", answer)

    def _text(self, n: int) -> str:
        return f"Answer {n} of your agent, for {self._phone.number[-6:]}."

    def _complain(self, what: str, answer: requests.Response) -> None:
        self._diary.say(f"{self._phone.number}: the {what} was refused: {answer.status_code} {answer.text[:200]}")

    def _read(self, path: str) -> None:
        """Wait until the desk shows all the contact wrote, as an agent would before answering; not for ever."""
        wrote = len([m for m in self._phone.chat() if m["direction"] == "in"])

        def shown() -> bool:
            answer = self._agent.once("GET", f"{path}/messages")
            if answer is None or answer.status_code != 200:
                return False
            return sum(m["author"] == "contact" for m in answer.json()) >= wrote

        self._await(shown, self._manners.patience_s)

    def _await(self, look: Callable[[], bool], within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if look():
                return True
            time.sleep(LOOK_S)
        return False
