"""Every setting, once: typed, frozen, read from the environment and .env at the front door of each process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from bot.errors import BadSettings

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".baton"  # everything Baton makes on this machine: database, models, logs, media

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
    whatsapp_app_secrets: tuple[str, ...] = ()
    whatsapp_business_account_id: str = ""
    whatsapp_access_token: str = ""
    whatsapp_verify_token: str = ""
    alert_webhook_url: str = ""
    backoffice_url: str = ""
    demo_shop: bool = False  # set by `make up` only
    bot_invited: bool = True  # may the bot help while a contact waits in the queue
    host: str = "127.0.0.1"
    rasa_port: int = 5005
    actions_port: int = 5055
    desk_port: int = 8000
    simulator_port: int = 9000
    home: Path = HOME

    @property
    def loopback(self) -> str:
        """Where this machine itself reaches what is bound to `host`."""
        return "127.0.0.1" if self.host == "0.0.0.0" else self.host  # noqa: S104  # compared, not bound

    def __repr__(self) -> str:
        return f"Settings(database={self.database_url.split('://')[0]}, api={self.whatsapp_api_url})"

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, dotenv: Path = ROOT / ".env") -> Settings:
        """Read the environment, which beats `.env`; refuse what can't be used, naming it and the cure."""
        written = {key: value for key, value in dotenv_values(dotenv).items() if value is not None}
        said = {**written, **(os.environ if env is None else env)}

        def text(name: str, default: str = "") -> str:
            return said.get(name, "").strip() or default

        def many(name: str) -> tuple[str, ...]:
            return tuple(part.strip() for part in text(name).split(",") if part.strip())

        def port(name: str, default: int) -> int:
            words = text(name, str(default))
            if not words.isdigit() or not 0 < int(words) < 65536:
                raise BadSettings(f"{name} is {words!r}; it must be a port from 1 to 65535")
            return int(words)

        def yes(name: str, default: bool) -> bool:
            words = text(name, "yes" if default else "no").lower()
            if words not in {"yes", "no", "true", "false", "1", "0"}:
                raise BadSettings(f"{name} is {words!r}; it must be yes or no")
            return words in {"yes", "true", "1"}

        def url(name: str, default: str) -> str:
            words = text(name, default).rstrip("/")
            if words and not words.startswith(("http://", "https://")):
                raise BadSettings(f"{name} is {words!r}; it must begin with http:// or https://")
            return words

        home = Path(text("BATON_HOME", str(HOME))).resolve()
        return cls(
            database_url=_database_url(text("DATABASE_URL", f"sqlite:///{home / 'baton.db'}")),
            whatsapp_api_url=url("WHATSAPP_API_URL", cls.whatsapp_api_url),
            whatsapp_api_version=text("WHATSAPP_API_VERSION", cls.whatsapp_api_version),
            whatsapp_phone_number_ids=many("WHATSAPP_PHONE_NUMBER_ID"),
            whatsapp_app_secrets=many("WHATSAPP_APP_SECRET"),
            whatsapp_business_account_id=text("WHATSAPP_BUSINESS_ACCOUNT_ID"),
            whatsapp_access_token=text("WHATSAPP_ACCESS_TOKEN"),
            whatsapp_verify_token=text("WHATSAPP_VERIFY_TOKEN"),
            alert_webhook_url=url("ALERT_WEBHOOK_URL", ""),
            backoffice_url=url("BACKOFFICE_URL", ""),
            demo_shop=yes("BATON_DEMO_SHOP", False),
            bot_invited=yes("BATON_BOT_INVITED", True),
            host=text("BATON_HOST", cls.host),
            rasa_port=port("RASA_PORT", cls.rasa_port),
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


def _database_url(words: str) -> str:
    """Accept what people paste: postgres:// too, and an SQLite path relative to the project."""
    if words.startswith("postgres://"):
        words = "postgresql://" + words.removeprefix("postgres://")
    if words.startswith("sqlite:///"):
        return f"sqlite:///{(ROOT / words.removeprefix('sqlite:///')).resolve()}"
    if words.startswith(("postgresql://", "postgresql+psycopg2://")):
        return words
    raise BadSettings("DATABASE_URL must begin with sqlite:/// or postgresql://")
