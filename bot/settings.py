"""Every setting, once: typed, frozen, read from the environment and .env at the front door of each process."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from bot.errors import BadSettings

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".baton"  # everything Baton makes on this machine: database, models, logs, media

EMAIL = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")

# Without these the real Cloud API can't be spoken to. Each with what it is, for the one who has to find it.
NEEDED_TO_SERVE = {
    "WHATSAPP_PHONE_NUMBER_ID": "the id of your business number (not the number itself), from Meta's API Setup page",
    "WHATSAPP_APP_SECRET": "the app secret, from Meta's App settings > Basic; it signs every webhook",
    "WHATSAPP_ACCESS_TOKEN": "a system user's token with whatsapp_business_messaging",
    "WHATSAPP_VERIFY_TOKEN": "any phrase you choose; type the same one into Meta's webhook form",
}


@dataclass(frozen=True)
class Settings:
    """What the environment says. Ports are TCP ports on `host`; secrets are never printed."""

    database_url: str = f"sqlite:///{HOME / 'baton.db'}"
    whatsapp_api_url: str = "https://graph.facebook.com"
    whatsapp_api_version: str = "v25.0"
    whatsapp_phone_number_ids: tuple[str, ...] = ()
    whatsapp_other_number_ids: tuple[str, ...] = ()
    whatsapp_app_secrets: tuple[str, ...] = ()
    whatsapp_business_account_id: str = ""
    whatsapp_access_token: str = ""
    whatsapp_verify_token: str = ""
    alert_webhook_url: str = ""
    smtp_url: str = ""  # alerts go out by e-mail, too: smtp://name:password@host:587, or smtps://…
    alert_from: str = ""
    alert_emails: tuple[str, ...] = ()
    desk_url: str = ""  # where agents find the desk, for links in what they are sent
    agent_away_min: float = 10  # how long a contact waits for an agent who is gone, before others see them again
    agent_silent_min: float = 30  # … and for one who is there; 0: for ever
    alert_after_min: float = 5  # how long a contact waits for a person before people away from the desk are told
    close_idle_h: float = 20  # what an agent has and nobody writes in any more is given back after that; 0: never
    ask_csat: bool = True  # ask contacts how they found the people
    window_template: tuple[str, str] | None = None  # name and language; sent before a window closes on who waits
    backoffice_url: str = ""
    demo_shop: bool = False  # set by `make up` only
    bot_invited: bool = True  # may the bot help while a contact waits in the queue
    pause_s: float = 0.8  # how long a contact must pause before the bot answers: a burst is one question
    answers_in_10_minutes: int = 20  # of the bot to one contact; then a person looks
    answers_in_a_day: int = 100
    notice_machines: bool = True  # stop answering another bot
    show_typing: bool = True  # blue ticks and "typing…" when a turn begins
    phone_quiet_min: float = 30  # how long after an answer from the phone the bot stays silent
    messages_per_second: float = 80  # what one of our numbers may send; Meta's default
    keep_deliveries_days: int = 30  # how long Meta's bodies are kept once they are dealt with
    hooks_private: bool = False  # may hooks lead into our own network
    keep_audit_days: int = 400  # how long who did what at the desk is kept
    host: str = "127.0.0.1"
    rasa_port: int = 5005  # the webhook
    bot_port: int = 0  # Rasa itself, on loopback; 0: whatever is free
    actions_port: int = 5055
    desk_port: int = 8000
    simulator_port: int = 9000
    home: Path = HOME

    @property
    def media(self) -> Path:
        """The folder for files contacts send and agents attach; nobody serves it but the desk, to who is signed in."""
        return self.home / "media"

    @property
    def loopback(self) -> str:
        """Where this machine itself reaches what is bound to `host`."""
        return "127.0.0.1" if self.host == "0.0.0.0" else self.host  # noqa: S104  # compared, not bound

    def __repr__(self) -> str:
        return f"Settings(database={self.database_url.split('://')[0]}, api={self.whatsapp_api_url})"

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, dotenv: Path = ROOT / ".env") -> Settings:
        """Read the environment, which beats `.env`; refuse what can't be used, naming it and the cure."""
        said = _Said({**_written(dotenv), **(os.environ if env is None else env)})
        text, many, port, yes, number, url = said.text, said.many, said.port, said.yes, said.number, said.url
        home = Path(text("BATON_HOME", str(HOME))).resolve()
        return cls(
            database_url=_database_url(text("DATABASE_URL", f"sqlite:///{home / 'baton.db'}")),
            whatsapp_api_url=url("WHATSAPP_API_URL", cls.whatsapp_api_url),
            whatsapp_api_version=text("WHATSAPP_API_VERSION", cls.whatsapp_api_version),
            whatsapp_phone_number_ids=many("WHATSAPP_PHONE_NUMBER_ID"),
            whatsapp_other_number_ids=many("WHATSAPP_OTHER_NUMBER_IDS"),
            whatsapp_app_secrets=many("WHATSAPP_APP_SECRET"),
            whatsapp_business_account_id=text("WHATSAPP_BUSINESS_ACCOUNT_ID"),
            whatsapp_access_token=text("WHATSAPP_ACCESS_TOKEN"),
            whatsapp_verify_token=text("WHATSAPP_VERIFY_TOKEN"),
            alert_webhook_url=url("ALERT_WEBHOOK_URL", ""),
            smtp_url=said.mail("BATON_SMTP_URL"),
            alert_from=said.email("BATON_ALERT_FROM"),
            alert_emails=said.emails("BATON_ALERT_EMAILS"),
            desk_url=url("BATON_DESK_URL", ""),
            agent_away_min=number("BATON_AGENT_AWAY_MIN", cls.agent_away_min, 0, 24 * 60),
            agent_silent_min=number("BATON_AGENT_SILENT_MIN", cls.agent_silent_min, 0, 24 * 60),
            alert_after_min=number("BATON_ALERT_AFTER_MIN", cls.alert_after_min, 0.01, 24 * 60),
            close_idle_h=number("BATON_CLOSE_IDLE_H", cls.close_idle_h, 0, 24 * 30),
            ask_csat=yes("BATON_ASK_CSAT", cls.ask_csat),
            window_template=said.template("BATON_WINDOW_TEMPLATE"),
            backoffice_url=url("BACKOFFICE_URL", ""),
            demo_shop=yes("BATON_DEMO_SHOP", False),
            bot_invited=yes("BATON_BOT_INVITED", True),
            pause_s=number("BATON_PAUSE_S", cls.pause_s, 0, 1.5),
            answers_in_10_minutes=int(number("BATON_ANSWERS_IN_10_MINUTES", cls.answers_in_10_minutes, 1, 10_000)),
            answers_in_a_day=int(number("BATON_ANSWERS_IN_A_DAY", cls.answers_in_a_day, 1, 100_000)),
            notice_machines=yes("BATON_NOTICE_MACHINES", True),
            show_typing=yes("BATON_SHOW_TYPING", True),
            phone_quiet_min=number("BATON_PHONE_QUIET_MIN", cls.phone_quiet_min, 0.01, 24 * 60),
            messages_per_second=number("WHATSAPP_MESSAGES_PER_SECOND", cls.messages_per_second, 1, 1000),
            keep_deliveries_days=int(number("BATON_KEEP_DELIVERIES_DAYS", cls.keep_deliveries_days, 7, 3650)),
            hooks_private=yes("BATON_HOOKS_PRIVATE", False),
            keep_audit_days=int(number("BATON_KEEP_AUDIT_DAYS", cls.keep_audit_days, 30, 3650)),
            host=text("BATON_HOST", cls.host),
            rasa_port=port("RASA_PORT", cls.rasa_port),
            bot_port=int(number("BOT_PORT", cls.bot_port, 0, 65535)),
            actions_port=port("ACTIONS_PORT", cls.actions_port),
            desk_port=port("DESK_PORT", cls.desk_port),
            simulator_port=port("SIMULATOR_PORT", cls.simulator_port),
            home=home,
        )

    def missing_to_serve(self) -> dict[str, str]:
        """Return the names that are not set but needed for the real Cloud API, each with what it is."""
        have = {
            "WHATSAPP_PHONE_NUMBER_ID": self.whatsapp_phone_number_ids,
            "WHATSAPP_APP_SECRET": self.whatsapp_app_secrets,
            "WHATSAPP_ACCESS_TOKEN": self.whatsapp_access_token,
            "WHATSAPP_VERIFY_TOKEN": self.whatsapp_verify_token,
        }
        return {name: what for name, what in NEEDED_TO_SERVE.items() if not have[name]}


def _written(dotenv: Path) -> dict[str, str]:
    return {key: value for key, value in dotenv_values(dotenv).items() if value is not None}


@dataclass(frozen=True)
class _Said:
    """The environment, read as this or that; each refuses with the name and the cure."""

    env: Mapping[str, str]

    def text(self, name: str, default: str = "") -> str:
        return self.env.get(name, "").strip() or default

    def many(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text(name).split(",") if part.strip())

    def port(self, name: str, default: int) -> int:
        words = self.text(name, str(default))
        if not words.isdigit() or not 0 < int(words) < 65536:
            raise BadSettings(f"{name} is {words!r}; it must be a port from 1 to 65535")
        return int(words)

    def yes(self, name: str, default: bool) -> bool:
        words = self.text(name, "yes" if default else "no").lower()
        if words not in {"yes", "no", "true", "false", "1", "0"}:
            raise BadSettings(f"{name} is {words!r}; it must be yes or no")
        return words in {"yes", "true", "1"}

    def number(self, name: str, default: float, least: float, most: float) -> float:
        words = self.text(name, f"{default:g}")
        try:
            found = float(words)
        except ValueError:
            found = float("nan")
        if not least <= found <= most:
            raise BadSettings(f"{name} is {words!r}; it must be a number from {least:g} to {most:g}")
        return found

    def template(self, name: str) -> tuple[str, str] | None:
        words = self.text(name)
        template, _, language = words.partition("/")
        if words and not (template.strip() and language.strip()):
            raise BadSettings(
                f"{name} is {words!r}; it must be a template's name and language, like still_waiting/en_GB"
            )
        return (template.strip(), language.strip()) if words else None

    def url(self, name: str, default: str) -> str:
        words = self.text(name, default).rstrip("/")
        if words and not words.startswith(("http://", "https://")):
            raise BadSettings(f"{name} is {words!r}; it must begin with http:// or https://")
        return words

    def mail(self, name: str) -> str:
        """Return a mail server's address; who names one says from whom and to whom it is to write."""
        words = self.text(name)
        together = ("BATON_ALERT_FROM", "BATON_ALERT_EMAILS")
        try:
            parts = urlsplit(words)
            right = parts.scheme in {"smtp", "smtps"} and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            right = False
        if words and not right:  # never quoted: a password may be in it
            raise BadSettings(f"{name} must be written smtp://name:password@host:587, or smtps://name:password@host")
        for other in together:
            if bool(words) != bool(self.text(other)):
                raise BadSettings(f"{name}, {' and '.join(together)} go together; set all of them, or none")
        return words

    def email(self, name: str) -> str:
        words = self.text(name)
        if words and not EMAIL.fullmatch(words):
            raise BadSettings(f"{name} is {words!r}; it must be an e-mail address")
        return words

    def emails(self, name: str) -> tuple[str, ...]:
        found = self.many(name)
        if not all(EMAIL.fullmatch(one) for one in found):
            raise BadSettings(f"{name} must be e-mail addresses, with commas between them")
        return found


def _database_url(words: str) -> str:
    """Accept what people paste: postgres:// too, and an SQLite path relative to the project."""
    if words.startswith("postgres://"):
        words = "postgresql://" + words.removeprefix("postgres://")
    if words.startswith("sqlite:///"):
        return f"sqlite:///{(ROOT / words.removeprefix('sqlite:///')).resolve()}"
    if words.startswith(("postgresql://", "postgresql+psycopg2://")):
        return words
    raise BadSettings("DATABASE_URL must begin with sqlite:/// or postgresql://")
