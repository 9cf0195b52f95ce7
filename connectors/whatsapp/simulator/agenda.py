"""The agenda: what is due when, in whose lane. In memory, thread-safe; the store keeps the same for after a kill."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from connectors.whatsapp.simulator.rows import Delivery

TOGETHER = "="
"""A lane whose name begins so is brought in as few POSTs as possible."""
MOST_TOGETHER = 1000
LARGEST_TOGETHER = 3_000_000


@dataclass
class Lane:
    """The deliveries of one contact that are due: only the first is under way, the others wait for it."""

    name: str
    queue: deque[Delivery] = field(default_factory=deque)
    busy: bool = False
    not_before: float = 0.0
    tries: int = 0
    trouble: str | None = None


@dataclass
class Load:
    """What one POST carries: the first delivery of a lane, or of a batch the first few of several."""

    deliveries: list[Delivery]
    lanes: list[Lane]


@dataclass
class _Hold:
    """Lanes that are held back, to be brought together."""

    phone: str | None
    number: str | None
    until: float
    lanes: dict[str, Lane] = field(default_factory=dict)

    def takes(self, delivery: Delivery) -> bool:
        return self.phone in (None, delivery.phone) and self.number in (None, delivery.number)


class Agenda:
    """Deliveries come in when they are durable, move to their lane when due, and leave when settled."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._coming: list[tuple[float, int, Delivery]] = []
        self._lanes: dict[str, Lane] = {}
        self._looks: list[tuple[float, str]] = []
        self._holds: list[_Hold] = []
        self._closed = self._nudged = False

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """Take in what has just become durable."""
        with self._change:
            for delivery in deliveries:
                heapq.heappush(self._coming, (delivery.due, delivery.id, delivery))
            self._change.notify()

    def due(self, now: float) -> list[Delivery]:
        """Return, and take out, what is due. Whoever asks puts it into a lane, or adds it again for later."""
        found = []
        with self._change:
            while self._coming and self._coming[0][0] <= now:
                found.append(heapq.heappop(self._coming)[2])
        return found

    def queue(self, delivery: Delivery, *, not_before: float = 0.0) -> None:
        """Put a delivery behind the others of its lane."""
        with self._change:
            lane = self._lanes.setdefault(delivery.lane, Lane(delivery.lane))
            lane.queue.append(delivery)
            lane.not_before = max(lane.not_before, not_before)
            self._look_at(lane)

    def hold(self, phone: str | None, number: str | None, until: float) -> None:
        """Hold back all that fits until then, and bring it together. One hold for the same is enough."""
        with self._change:
            if not any((hold.phone, hold.number) == (phone, number) for hold in self._holds):
                self._holds.append(_Hold(phone, number, until))

    def ready(self, now: float) -> list[Load]:
        """Return what may be carried now; its lanes are busy until settled or postponed."""
        loads = []
        with self._change:
            while self._looks and self._looks[0][0] <= now:
                lane = self._lanes.get(heapq.heappop(self._looks)[1])
                if lane is None or lane.busy or not lane.queue or lane.not_before > now:
                    continue
                hold = next((hold for hold in self._holds if hold.takes(lane.queue[0])), None)
                if hold is not None:
                    hold.lanes[lane.name] = lane
                else:
                    many = MOST_TOGETHER if lane.name.startswith(TOGETHER) else 1
                    loads.append(self._load({lane.name: lane}, many))
            for hold in [hold for hold in self._holds if hold.until <= now]:
                self._holds.remove(hold)
                lanes = {name: lane for name, lane in hold.lanes.items() if lane.queue and not lane.busy}
                while any(lane.queue and not lane.busy for lane in lanes.values()):
                    loads.append(self._load(lanes, MOST_TOGETHER))
        return loads

    @staticmethod
    def _load(lanes: dict[str, Lane], most: int) -> Load:
        load, size = Load([], []), 0
        for lane in (lane for lane in lanes.values() if not lane.busy):
            for delivery in lane.queue:
                size += len(delivery.body or b"")
                if load.deliveries and (len(load.deliveries) >= most or size > LARGEST_TOGETHER):
                    return load
                if not lane.busy:
                    load.lanes.append(lane)
                    lane.busy = True
                load.deliveries.append(delivery)
        return load

    def settle(self, load: Load) -> None:
        """Its deliveries have arrived: the next ones of their lanes may go."""
        arrived = {delivery.id for delivery in load.deliveries}
        with self._change:
            for lane in load.lanes:
                lane.busy, lane.tries, lane.trouble, lane.not_before = False, 0, None, 0.0
                while lane.queue and lane.queue[0].id in arrived:
                    lane.queue.popleft()
                if lane.queue:
                    self._look_at(lane)
                else:
                    del self._lanes[lane.name]

    def postpone(self, load: Load, until: float, trouble: str) -> None:
        """Its deliveries have not arrived: each lane tries again by itself."""
        with self._change:
            for lane in load.lanes:
                lane.busy, lane.tries, lane.trouble, lane.not_before = False, lane.tries + 1, trouble, until
                self._look_at(lane)

    def _look_at(self, lane: Lane) -> None:
        heapq.heappush(self._looks, (lane.not_before, lane.name))
        self._change.notify()

    def wait(self, now: float, at_most: float) -> None:
        """Sleep until something changes or comes due."""
        with self._change:
            if self._closed or self._nudged:
                self._nudged = False
                return
            moments = [now + at_most]
            moments += [self._coming[0][0]] if self._coming else []
            moments += [self._looks[0][0]] if self._looks else []
            moments += [hold.until for hold in self._holds]
            if min(moments) > now:
                self._change.wait(min(moments) - now)

    def nudge(self) -> None:
        """End the wait that is, or the next: something outside of the agenda has happened."""
        with self._change:
            self._nudged = True
            self._change.notify()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def waiting(self) -> int:
        """Return how many deliveries the business shall have and has not."""
        with self._change:
            coming = sum(1 for _, _, delivery in self._coming if delivery.body is not None)
            return coming + sum(len(lane.queue) for lane in self._lanes.values())

    def lanes(self) -> int:
        """Return how many lanes wait."""
        return len(self._lanes)

    def trouble(self, phone: str) -> str | None:
        """Return why the business has not taken what this contact wrote, if it was tried."""
        with self._change:
            lane = self._lanes.get(phone)
            return lane.trouble if lane else None
