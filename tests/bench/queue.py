"""`make bench-queue`: a thousand contacts, twenty agents and the watch, through real desks: `name value bar` a line.

Once on PostgreSQL with three desk processes and once on SQLite with one; 1 if a bar was missed.

Agents take, reply, transfer, requeue, give back, step away and leave as they like; the desk gives by itself in two of
the three teams. Then everybody who asked is seen to. The rows are watched by the database itself (witness.py).
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import requests
import sqlalchemy as sa
from argon2 import PasswordHasher

from bot import clock, launch
from bot.ledger import handoffs, inbox, needs, teams
from bot.ledger.tables import conversations
from bot.ledger.tables import handoffs as handoffs_table
from bot.ledger.transaction import Ledger
from bot.messages import Text
from bot.settings import ROOT
from bot.updates import ContactRef, Received
from bot.vocabulary import NeedOf, Reason, Role, Routing
from handoff import agents, members, migrate, passwords
from tests.bench import witness
from tests.bench.webhook import Report, equal, percentile
from tests.bench.witness import Books, Witness
from tests.factories import NUMBER, says_only
from tests.parts import Postgres, eventually, free_port

WISHES = ("where is my parcel?", "can I return my boots?", "sprechen Sie deutsch?", "my card was charged twice")
ALLOWED = {"already_taken", "at_capacity", "not_allowed", "not_yours"}  # what a colleague who was quicker makes of it
SEEN_TO_WITHIN_S = 240  # it ends as soon as everybody is


@dataclass(frozen=True)
class Size:
    """How large a run is."""

    contacts: int = 1000
    people: int = 20
    rivals: int = 50  # for one conversation
    seconds: float = 30
    desks: int = 3


@dataclass(frozen=True)
class Person:
    """An agent at the desk's API."""

    id: int
    email: str
    name: str
    token: str


@dataclass
class World:
    """What a run plays in, and what it has heard."""

    ledger: Ledger
    urls: list[str]
    people: list[Person]
    keys: list[str]
    ids: dict[str, int]
    most: dict[int, int]
    asked: set[int] = field(default_factory=set)
    heard: Counter[str] = field(default_factory=Counter)  # answers, by verb and word
    took: list[tuple[str, int]] = field(default_factory=list)
    take_ms: list[float] = field(default_factory=list)
    worst: list[Books] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    lasted_s: float = 1.0


class Agent:
    """Somebody at work, who does whatever comes to mind."""

    def __init__(self, world: World, person: Person, seed: int) -> None:
        self.world, self.person, self.rng = world, person, random.Random(seed)
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {person.token}"
        self.session.headers["Connection"] = "close"  # one that stands open may be closed just when it is used again
        self.mine: set[str] = set()

    def ask(self, verb: str, key: str, body: dict[str, object] | None = None) -> requests.Response | None:
        """Ask one of the desks; what is neither done nor refused for a good reason is written down."""
        url = f"{self.rng.choice(self.world.urls)}/api/v1/conversations/{key}/{verb}"
        try:
            answer = self.session.post(url, json=body or {}, timeout=60)
        except requests.RequestException as problem:
            self.world.heard[f"unexpected {verb} {type(problem).__name__}"] += 1
            return None
        word = "done" if answer.ok else str(answer.json().get("error"))
        known = answer.ok or word in ALLOWED
        self.world.heard[f"{verb} {word}" if known else f"unexpected {verb} {answer.status_code} {word}"] += 1
        return answer

    def take(self, key: str) -> bool:
        """Take it, and remember how long that took."""
        began = time.perf_counter()
        answer = self.ask("take", key)
        if answer is None or not answer.ok:
            return False
        self.world.take_ms.append((time.perf_counter() - began) * 1000)
        self.world.took.append((key, self.person.id))
        self.mine.add(key)
        return True

    def listed(self, holder: str) -> list[dict[str, str]]:
        """Return what the API lists."""
        url = f"{self.rng.choice(self.world.urls)}/api/v1/conversations?holder={holder}"
        found: list[dict[str, str]] = self.session.get(url, timeout=60).json()
        return found

    def be(self, available: bool) -> None:
        """Step away, or come back."""
        url = f"{self.rng.choice(self.world.urls)}/api/v1/availability"
        self.session.post(url, json={"available": available}, timeout=60)

    def works(self, until: float) -> None:
        """Do this and that."""
        verbs = (self.takes, self.replies, self.transfers, self.passes_on, self.requeues, self.gives_back, self.looks)
        while time.monotonic() < until:
            if self.rng.random() < 0.01:
                self.leaves()
            self.rng.choices(verbs, weights=(45, 20, 8, 6, 6, 12, 3))[0]()
            time.sleep(self.rng.uniform(0, 0.1))

    def takes(self) -> None:
        self.take(self.rng.choice(self.world.keys))

    def looks(self) -> None:
        self.mine = {one["key"] for one in self.listed("agent") if one["agent"] == self.person.name}

    def leaves(self) -> None:
        """Go away with everything still in hand, and come back after a while."""
        self.be(available=False)
        time.sleep(self.rng.uniform(1, 5))
        self.be(available=True)

    def replies(self) -> None:
        if key := self._one():
            self.ask("reply", key, {"text": "Hello, I'm looking into it."})

    def transfers(self) -> None:
        if key := self._one():
            self.ask("transfer", key, {"to": self.rng.choice(self.world.people).email, "note": "Yours?"})

    def passes_on(self) -> None:
        if key := self._one():
            self.ask("transfer", key, {"to_team": self.rng.choice(("Service", "Returns", "Abroad"))})

    def requeues(self) -> None:
        if key := self._one():
            self.ask("requeue", key)

    def gives_back(self) -> None:
        if key := self._one():
            self.ask("give_back", key)

    def _one(self) -> str:
        """Return one that was theirs when they last heard of it."""
        key = self.rng.choice(sorted(self.mine)) if self.mine else ""
        if self.rng.random() < 0.6:
            self.mine.discard(key)
        return key

    def finishes(self, until: float, share: slice) -> None:
        """See to everybody who is left, each to their share."""
        while time.monotonic() < until:
            self.looks()
            for key in self.mine:
                self.ask("give_back", key)
            waiting = [one["key"] for one in self.listed("queue")]
            if not waiting and not self.mine:
                return
            for key in waiting[share]:
                if self.take(key):
                    self.ask("give_back", key)


def people(ledger: Ledger, count: int, prefix: str) -> list[Person]:
    """Make agents with tokens."""
    passwords._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # nobody signs in with these
    found = []
    for n in range(count):
        email, name = f"{prefix}{n}@fernhill.example", f"{prefix.capitalize()} {n}"
        with ledger.writing() as tx:
            agents.add(tx, email, Role.AGENT, name, keep_password=True, now=clock.now())
            token = agents.add_token(tx, email, clock.now())
            account = agents.bearer(tx, token)
        assert account is not None
        found.append(Person(account.id, email, name, token))
    return found


def three_teams(ledger: Ledger, agents_: list[Person]) -> dict[int, int]:
    """Let them work in three teams, one for each way of routing; return how many each may hold."""
    with ledger.writing() as tx:
        ids = [teams.FIRST, teams.make(tx, "Returns").id, teams.make(tx, "Abroad").id]
        ways = ((Routing.PULL, 8), (Routing.ROUND_ROBIN, 6), (Routing.LEAST_LOADED, 4))
        for team_id, (way, most) in zip(ids, ways, strict=True):
            teams.route(tx, team_id, routing=way, capacity=most)
        needs.add(tx, of=NeedOf.WORD, value="return", skill="", team_id=ids[1])
        needs.add(tx, of=NeedOf.WORD, value="deutsch", skill="german", team_id=ids[2])
        for n, person in enumerate(agents_):
            members.work_in(tx, person.id, {ids[n % 3], ids[0]} if n % 2 else {ids[n % 3]})
            members.equip(tx, person.id, skills=("german",) if n % 4 == 0 else (), own=3 if n % 5 == 0 else None)
        return {person.id: members.most(tx, person.id) or 0 for person in agents_}


def contacts(ledger: Ledger, count: int) -> dict[str, int]:
    """Let so many contacts have written; return their conversations."""
    now = clock.now()
    for start in range(0, count, 50):
        written = [
            Received(f"wamid.QUEUE{n}", NUMBER, ContactRef(f"4479{n:08d}", None), Text("hi"), now, wants_answer=False)
            for n in range(start, min(start + 50, count))
        ]
        with ledger.writing() as tx:
            inbox.record(tx, b"{}", written, now)
    with ledger.reading() as tx:
        rows = tx.execute(sa.select(conversations.c.key, conversations.c.id)).all()
    return {row.key: row.id for row in rows}


def asks(world: World, key: str, n: int) -> None:
    """Let a contact ask for a person, as the bot does it."""
    wish = WISHES[n % len(WISHES)]
    with world.ledger.writing() as tx:
        try:
            handoffs.hand_off(
                tx, key, reason=Reason.ASKED, wish=wish, slots={}, tell=says_only("A person comes."), now=clock.now()
            )
        except handoffs.AlreadyTaken:
            return  # an agent stepped in before
    world.asked.add(world.ids[key])


def all_ask(world: World) -> None:
    for n, key in enumerate(world.keys):
        asks(world, key, n)


def audits(world: World) -> None:
    """Look at the rows again and again while everybody works."""
    while not world.over.wait(2.0):
        world.worst.append(books(world))


def books(world: World) -> Books:
    asked = set(world.asked)  # before the look: who asks meanwhile may be seen or not
    return witness.books(world.ledger, asked, world.most)


@contextmanager
def running(database_url: str, desks: int) -> Iterator[list[str]]:
    """Run desks, as bot/launch.py starts them, and the watch; yield the desks' addresses."""
    env = os.environ | {"DATABASE_URL": database_url, "BATON_AGENT_AWAY_MIN": "0.2", "BATON_AGENT_SILENT_MIN": "0.5"}
    urls = [f"http://127.0.0.1:{free_port()}" for _ in range(desks)]
    commands = [[*launch.DESK.split(), "-b", url.removeprefix("http://"), "handoff.app:create_app()"] for url in urls]
    with ExitStack() as stack, tempfile.TemporaryFile() as log:
        for command in (*commands, ["handoff", "watch"]):
            process = subprocess.Popen([sys.executable, "-m", *command], env=env, cwd=ROOT, stdout=log, stderr=log)
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
        for url in urls:
            assert eventually(lambda url=url: _answers(url), 60), f"the desk at {url} did not start"
        yield urls


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/signin", timeout=5).ok
    except requests.RequestException:
        return False


def fifty(world: World, rivals: list[Person], key: str) -> tuple[int, int]:
    """Let everybody take one conversation in the same instant; return how many won, and how many were told who did."""
    together = threading.Barrier(len(rivals))

    def take(person: Person) -> requests.Response:
        url = f"{world.urls[person.id % len(world.urls)]}/api/v1/conversations/{key}"
        headers = {"Authorization": f"Bearer {person.token}"}
        requests.get(url, headers=headers, timeout=60)  # connections open, the token's use is written down
        together.wait()
        return requests.post(f"{url}/take", headers=headers, timeout=60)

    with ThreadPoolExecutor(len(rivals)) as pool:
        answers = list(pool.map(take, rivals))
    won = [answer.json()["agent"] for answer in answers if answer.ok]
    lost = [answer.json() for answer in answers if answer.status_code == 409]
    told = sum(one["error"] == "already_taken" and [one["holder_name"]] == won for one in lost)
    return len(won), told


def run(name: str, database_url: str, size: Size = Size()) -> bool:
    """Measure on one database; say whether every bar was reached."""
    migrate.to_head(database_url)
    ledger, report = Ledger(database_url), Report(name)
    crew, rivals = people(ledger, size.people, "agent"), people(ledger, size.rivals, "rival")
    most = three_teams(ledger, crew)
    ids = contacts(ledger, size.contacts + 1)
    contested, *keys = ids
    try:
        with running(database_url, size.desks) as urls:
            world = World(ledger, urls, crew, keys, ids, most)
            asks(world, contested, 0)
            won, told = fifty(world, rivals, contested)
            report.line("winners_of_one", won, 1, equal)
            report.line("losers_told_who_has_it", told, size.rivals - 1, equal)
            seen = Witness(ledger)
            _play(world, size)
            _tell(report, world, seen, size)
    finally:
        ledger.close()
    return not report.failed


def _play(world: World, size: Size) -> None:
    """Everybody does what they like for a while; then everybody who is left is seen to."""
    auditor = threading.Thread(target=audits, args=(world,))
    auditor.start()
    began = time.monotonic()
    crew = [Agent(world, person, n) for n, person in enumerate(world.people)]
    with ThreadPoolExecutor(len(crew) + 1) as pool:
        until = time.monotonic() + size.seconds
        asking = pool.submit(all_ask, world)
        for at_work in [pool.submit(agent.works, until) for agent in crew]:
            at_work.result()
        asking.result()
        until = time.monotonic() + SEEN_TO_WITHIN_S
        shares = [pool.submit(agent.finishes, until, slice(n, None, len(crew))) for n, agent in enumerate(crew)]
        for at_work in shares:
            at_work.result()
    world.lasted_s = time.monotonic() - began
    world.over.set()
    auditor.join()


def _tell(report: Report, world: World, seen: Witness, size: Size) -> None:
    moves, last, heard = seen.moves(), books(world), world.heard
    had = witness.had(moves)
    transferred = heard["transfer done"]
    stolen = max(0, witness.taken_from_an_agent(moves) - transferred)
    report.line("two_holders", witness.out_of_step(moves) + stolen + seen.spoke_without_holding(), 0, equal)
    beyond = witness.over_capacity(moves, world.most) + sum(one.over_capacity for one in (*world.worst, last))
    report.line("over_capacity", beyond, 0, equal)
    report.line("without_due_time", sum(one.without_due_time for one in (*world.worst, last)), 0, equal)
    report.line("forgotten", sum(one.forgotten for one in (*world.worst, last)), 0, equal)
    lost = sum(person not in had[world.ids[key]] for key, person in world.took)
    report.line("lost_takes", lost, 0, equal)
    report.line("not_seen_to", _open(world), 0, equal)
    strange = {word: count for word, count in heard.items() if word.startswith("unexpected")}
    report.line("unexpected_answers", sum(strange.values()), 0, equal)
    for word, count in strange.items():
        print(f"# {count} {word}", flush=True)
    report.line("contacts", len(world.keys), size.contacts, equal)
    report.line("looks_at_the_books", len(world.worst), 1, lambda value, bar: value >= bar)
    report.line("moves", len(moves))
    entered = Counter((one.conversation_id, one.agent_id) for one in moves if one.holder == "agent" != one.was)
    given = entered - Counter((world.ids[key], person) for key, person in world.took)
    for what, value in (
        ("takes", heard["take done"]), ("takes_lost_to_a_colleague", heard["take already_taken"]),
        ("refused_at_capacity", heard["take at_capacity"] + heard["transfer at_capacity"]),
        ("replies", heard["reply done"]), ("transfers", transferred), ("requeues", heard["requeue done"]),
        ("given_by_the_desk_at_least", sum(given.values())),
        ("brought_back_by_the_watch", _requeued(moves) - heard["requeue done"]),
        ("takes_per_s", round(len(world.take_ms) / world.lasted_s, 1)),
        ("seconds", round(world.lasted_s)),
        ("take_p50_ms", statistics.median(world.take_ms or [0.0])),
        ("take_p95_ms", percentile(world.take_ms, 0.95)),
    ):  # fmt: skip
        report.line(what, value)


def _requeued(moves: list[witness.Seen]) -> int:
    return sum(one.was == "agent" and one.holder == "queue" for one in moves)


def _open(world: World) -> int:
    """Count who asked and was not seen to; the winner of fifty may still have theirs."""
    with world.ledger.reading() as tx:
        find = sa.select(handoffs_table.c.conversation_id).where(handoffs_table.c.closed_at.is_(None))
        open_ = set(tx.execute(find).scalars())
    return sum(world.ids[key] in open_ for key in world.keys)


def main() -> int:
    """Measure on both databases; 1 if a bar was missed, or if there is no PostgreSQL to measure on."""
    parser = argparse.ArgumentParser(prog="make bench-queue")
    parser.add_argument("--seconds", type=float, default=Size.seconds)
    parser.add_argument("--contacts", type=int, default=Size.contacts)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    asked = parser.parse_args()
    fine = True
    if asked.only != "sqlite":
        postgres = Postgres()
        if postgres.url is None:
            print(f"postgresql_measured 0 1  # {postgres.why_not}", flush=True)
            return 1
        name = f"baton_bench_{int(time.time())}"
        try:
            fine = run("postgresql", postgres.make(name), Size(asked.contacts, seconds=asked.seconds))
        finally:
            postgres.drop(name)
            postgres.stop()
    if asked.only != "postgresql":
        with tempfile.TemporaryDirectory(prefix="baton-bench-") as folder:
            small = Size(asked.contacts, seconds=asked.seconds, desks=1)
            fine = run("sqlite", f"sqlite:///{folder}/bench.db", small) and fine
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
