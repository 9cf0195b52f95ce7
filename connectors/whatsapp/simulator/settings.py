"""The settings: Meta's numbers unless somebody turns a knob, in the constructor or over the control API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

MOST = 1_000_000_000
"""More than any clock of Python's can wait, or anybody needs."""


@dataclass
class Settings:
    """What can be turned while the simulator runs. Times are in seconds unless the name says otherwise."""

    sent_after: float = 0.2
    delivered_after: float = 0.5
    read_after: float | None = None
    """How long after a message is shown its contact reads it; None: when somebody looks."""
    pair_burst: int = 45
    """Messages to one contact that may be sent in one go; 0 takes the pair limit away."""
    pair_seconds: float = 6.0
    """How long one of them takes to be paid back."""
    throughput: int = 80
    """Messages a second for each number, both directions together; 0 takes the limit away."""
    coexistence: list[str] = field(default_factory=list)
    """Numbers also used in the WhatsApp Business app: 20 a second, and they hear of edits and revokes."""
    allow_list: list[str] | None = None
    """The only phones a test number may write to (131030); None: everybody."""
    late_window: bool = False
    """A closed window is reported later by `failed`, not refused at once."""
    webhook_timeout: float = 10.0
    retry_base: float = 0.5
    retry_cap: float = 5.0
    retry_days: float = 7.0
    couriers: int = 16
    """How many deliveries travel at once. Counts at the start."""
    media_url_seconds: float = 300.0
    inbound_media_days: float = 7.0
    uploaded_media_days: float = 30.0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def change(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Take over what is asked for and return it; raises ValueError, and changes nothing, if any of it is wrong."""
        known = {one.name: READERS[str(one.type)] for one in fields(self)}
        unknown = sorted(asked.keys() - known.keys())
        if unknown:
            raise ValueError(f"There is no setting {', '.join(unknown)}; there are {', '.join(known)}.")
        try:
            read = {name: known[name](value) for name, value in asked.items()}
        except (TypeError, ValueError) as error:
            raise ValueError(f"A setting has a value of the wrong kind: {error}") from error
        for name, value in read.items():
            setattr(self, name, value)
        return read


def _at_least_zero(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST:
        raise ValueError(f"{value} is not a number from 0 to {MOST}")
    return float(value)


def _whole(value: Any) -> int:
    if _at_least_zero(value) != int(value):
        raise ValueError(f"{value} is not a whole number")
    return int(value)


def _words(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise TypeError(f"{value} is not a list")
    return [str(one).lstrip("+") for one in value]


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value} is not true or false")
    return value


READERS: dict[str, Callable[[Any], Any]] = {
    "float": _at_least_zero,
    "int": _whole,
    "bool": _truth,
    "float | None": lambda value: None if value is None else _at_least_zero(value),
    "list[str]": _words,
    "list[str] | None": lambda value: None if value is None else _words(value),
}
