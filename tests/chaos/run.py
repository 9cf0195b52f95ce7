"""One fault run: the stage, the people and the trouble together, the settling, and the result."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median

from tests.chaos.books import Books, Count, count
from tests.chaos.people import Conversation, Diary, GaveUp, Manners, Watch
from tests.chaos.stage import Stage, staged, until
from tests.chaos.trouble import KILLED, Log, Trouble, Weather

SETTLE_WITHIN_S = 420.0
QUIET_S = 4.0  # how long nothing may be under way before the books are closed
FIRST_NUMBER, FIRST_ORDER = 447701000000, 20000


@dataclass(frozen=True)
class Plan:
    """What a run is to be. Every random choice comes from the seed."""

    conversations: int = 300
    turns: int = 8
    at_once: int = 48
    seed: int = 1
    database: str = "postgresql"
    sabotage: str = ""
    manners: Manners = field(default_factory=Manners)
    weather: Weather = field(default_factory=Weather)


# What hits each guarantee hard, in a few minutes; without the sabotage each of these passes.
_FAIR = Weather(kills=0, cuts_s=None, faults=(), repeats_a_second=0.0)
_SHORT = Plan(conversations=12, turns=3, at_once=6, manners=Manners(burst=0.0, patience_s=40.0), weather=_FAIR)
AIMED: dict[str, Plan] = {
    # the same delivery, two and three times at once
    "unique": replace(
        _SHORT,
        weather=replace(
            _FAIR, faults=({"kind": "redeliver", "probability": 0.7, "copies": 2, "seconds": 3},), repeats_a_second=0.5
        ),
    ),
    # answers that are asked to wait, and an agent who takes meanwhile
    "epoch": replace(
        _SHORT,
        conversations=24,
        manners=Manners(burst=0.0, handoffs=1.0, stepped_in=1.0, patience_s=40.0, take_after_s=(0.9, 3.5), hold_s=40.0),
        weather=replace(_FAIR, faults=({"kind": "throttle", "probability": 0.6},)),
    ),
    # accepted, and no answer
    "reconcile": replace(_SHORT, weather=replace(_FAIR, faults=({"kind": "drop_after_accept", "probability": 0.3},))),
    # answers that take their time, and other senders who look meanwhile
    "lease": replace(_SHORT, weather=replace(_FAIR, faults=({"kind": "slow", "probability": 0.5, "seconds": 1.5},))),
}


@dataclass(frozen=True)
class Result:
    """What came of a run."""

    counts: list[Count]
    troubles: list[str]

    @property
    def is_good(self) -> bool:
        """Say whether every bar was kept."""
        return all(one.is_kept for one in self.counts)


def run(plan: Plan, home: Path, say: Callable[[str], None]) -> Result:
    """Play the plan on a Baton of its own."""
    with staged(home, plan.database, plan.sabotage) as stage:
        say(f"Baton runs on {stage.database}; {plan.conversations} conversations of {plan.turns} turns begin")
        return _play(stage, plan, say)


def _play(stage: Stage, plan: Plan, say: Callable[[str], None]) -> Result:
    diary, watch = Diary(), Watch(stage)
    people = _people(stage, watch, diary, plan)
    trouble = Trouble(stage, plan.weather, diary, plan.seed, say)
    started = time.monotonic()
    trouble.begin()
    _live(people, plan, trouble, diary, say)
    lasted = time.monotonic() - started
    say("The last word is said; the trouble ends, and everything may settle")
    trouble.calm()
    settling = time.monotonic()
    settled = _settle(stage)
    say(f"Settled after {time.monotonic() - settling:.0f} s" if settled else "It did not settle")
    watch.close()
    heard, got = stage.phone_books()
    books = Books(heard=heard, got=got, held=diary.held, questions=diary.questions, replies=diary.replies,
                  **stage.ledger_books())  # fmt: skip
    (stage.house.home / "books.json").write_text(json.dumps(asdict(books)))
    kills = sum(trouble.log.kills.values())
    counts = [*count(books, kills), *_done(plan, diary, trouble.log), *_told(diary, trouble.log, books, lasted)]
    return Result(counts, [*diary.troubles, *(f"{name} was not back in time" for name in trouble.log.not_back)])


def _people(stage: Stage, watch: Watch, diary: Diary, plan: Plan) -> list[Conversation]:
    """Make the contacts, and give each the order numbers only they ask for."""
    rng = random.Random(f"{plan.seed} people")
    each = plan.turns * 4  # a burst has three, and what is asked while an agent holds it
    numbers = [f"FH{n}" for n in rng.sample(range(FIRST_ORDER, 100_000), plan.conversations * each)]
    phones = [str(FIRST_NUMBER + n) for n in rng.sample(range(1_000_000), plan.conversations)]
    shares = {phone: numbers[n * each : (n + 1) * each] for n, phone in enumerate(phones)}
    stage.sell({number: phone for phone, share in shares.items() for number in share})
    return [
        Conversation(stage, watch, diary, number=phone, orders=share, turns=plan.turns, manners=plan.manners,
                     rng=random.Random(f"{plan.seed} {phone}"))
        for phone, share in shares.items()
    ]  # fmt: skip


def _live(people: list[Conversation], plan: Plan, trouble: Trouble, diary: Diary, say: Callable[[str], None]) -> None:
    """Let all conversations run, some at once. They begin as the kills go on, so that neither outlives the other."""

    def live(n: int) -> None:
        lead = 2 * plan.at_once
        while n >= lead and trouble.share_done < (n - lead) / max(len(people) - lead, 1) * 0.95:
            time.sleep(0.5)
        try:
            people[n].play()
        except GaveUp as problem:
            diary.say(f"conversation {n} broke off: {problem}")

    over = threading.Event()

    def tell() -> None:
        while not over.wait(30):
            say(f"  {diary.finished} of {len(people)} conversations, {diary.turns} turns, "
                f"{sum(trouble.log.kills.values())} kills {dict(trouble.log.kills)}")  # fmt: skip

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    with ThreadPoolExecutor(plan.at_once) as pool:
        for done in [pool.submit(live, n) for n in range(len(people))]:
            done.result()
    while trouble.share_done < 1.0 and trouble.is_killing:
        time.sleep(0.5)
    over.set()


def _settle(stage: Stage) -> bool:
    """Wait until nothing has been under way for a while."""

    def is_quiet() -> bool:
        if not stage.is_settled():
            return False
        time.sleep(QUIET_S)
        return stage.is_settled()

    return until(is_quiet, SETTLE_WITHIN_S, 1.0)


def _done(plan: Plan, diary: Diary, log: Log) -> list[Count]:
    """Return whether the run was the run it was to be."""
    turns = plan.conversations * plan.turns
    counts = [
        Count("conversations", diary.finished, plan.conversations, at_least=True),
        Count("turns", diary.turns, turns, at_least=True),
        Count("driver_refused", len(diary.troubles), 0, evidence=tuple(diary.troubles)),
    ]
    counts += [Count(f"kills_{name}", log.kills[name], plan.weather.kills, at_least=True) for name in KILLED]
    return counts


def _told(diary: Diary, log: Log, books: Books, lasted: float) -> list[Count]:
    """Return what only tells how hard it was, and how it went."""
    waits = sorted(diary.waits) or [0.0]
    return [
        Count("kills_sender2", log.kills["sender2"], None),
        Count("handoffs", diary.handoffs, None),
        Count("database_cuts", log.cuts, None),
        Count("database_cut_s", round(log.cut_s, 1), None),
        Count("deliveries_repeated", log.repeated, None),
        *(Count(f"fault_{kind}", times, None) for kind, times in sorted(log.faults.items())),
        Count("excuses", diary.excuses, None),
        Count("patience_lost", diary.patience_lost, None),
        Count("messages_in", len(books.heard), None),
        Count("messages_out", len(books.got), None),
        Count("answer_median_s", round(median(waits), 1), None),
        Count("answer_p95_s", round(waits[int(len(waits) * 0.95)] if len(waits) > 1 else waits[0], 1), None),
        Count("run_s", round(lasted), None),
        Count("messages_a_second", round((len(books.heard) + len(books.got)) / max(lasted, 1.0), 2), None),
    ]
