"""What `make up` and `make serve` do: refuse what can't work, set up, start everything, and say where it is."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from bot import training
from bot.errors import BadSettings, ToldToStop
from bot.runner import CannotStart, Process, Stopping, Supervised
from bot.settings import ROOT, Settings

DEMO_NUMBER = "100000000000001"
DEMO_BUSINESS = "102290129340398"  # the simulator's own, whose templates are read
DEMO_ACCOUNTS = (
    ("ann@fernhill.example", "agent", "Ann"),
    ("ben@fernhill.example", "agent", "Ben"),
    ("sue@fernhill.example", "supervisor", "Sue"),
)

# What Rasa and what stands below it are told beside training.QUIET.
TOLD = {
    "TF_INTRA_OP_PARALLELISM_THREADS": "1",
    "TF_INTER_OP_PARALLELISM_THREADS": "1",
    "TICKET_LOCK_LIFETIME": "120",  # Rasa's lock is a timer, counted from when it is asked for
    "PYTHONUNBUFFERED": "1",
}


def up() -> int:
    """Run everything on this machine, with a simulated WhatsApp and a demo shop."""
    settings = Settings.from_env()
    kept = _Kept(settings.home / "demo.json")
    demo = kept.secrets()
    if not settings.whatsapp_app_secrets:
        settings = replace(settings, whatsapp_app_secrets=(demo["app_secret"],))
    settings = replace(
        settings,
        whatsapp_verify_token=settings.whatsapp_verify_token or demo["verify_token"],
        whatsapp_access_token=settings.whatsapp_access_token or demo["access_token"],
        whatsapp_phone_number_ids=settings.whatsapp_phone_number_ids or (DEMO_NUMBER,),
        whatsapp_business_account_id=settings.whatsapp_business_account_id or DEMO_BUSINESS,
        demo_shop=not settings.backoffice_url,
    )
    if settings.whatsapp_api_url == Settings.whatsapp_api_url:
        settings = replace(settings, whatsapp_api_url=f"http://127.0.0.1:{settings.simulator_port}")
    return _run(settings, simulated=True, kept=kept)


def serve() -> int:
    """Run everything but the simulator, against the Cloud API the environment names."""
    settings = Settings.from_env()
    missing = settings.missing_to_serve()
    if missing:
        lines = "".join(f"\n  {name}: {what}" for name, what in missing.items())
        raise BadSettings(f"Set these in the environment or in .env (see .env.example):{lines}")
    return _run(settings, simulated=False, kept=None)


def _run(settings: Settings, *, simulated: bool, kept: _Kept | None) -> int:
    logs = settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    settings.home.chmod(0o700)  # what contacts wrote is nobody else's on this machine
    stopping = Stopping()
    _refuse_taken_ports(settings, simulated)
    settings = replace(settings, bot_port=settings.bot_port or _free_port(settings))
    env = {**os.environ, **training.QUIET, **TOLD, **environment(settings)}
    _say("Database: migrating")
    _step(
        [sys.executable, "-m", "handoff", "migrate"], env, "the database can't be migrated (see DATABASE_URL)", stopping
    )
    model = training.trained_model(settings) or training.train(settings, _say, told_to_stop=lambda: bool(stopping))
    accounts = _demo_accounts(kept, settings, env) if kept is not None else []
    started = time.monotonic()
    with Supervised(processes(settings, model, simulated), env, logs, to_stdout=not simulated) as running:
        _say("Starting")
        if running.wait_until_ready(stopping):
            _say(f"Ready after {time.monotonic() - started:.0f} s")
            _say(_welcome(settings, accounts) if simulated else _serving(settings))
            _say_setup_code(settings, env)
            running.keep(stopping)
    _say("Stopped")
    return 0


# The desk holds a thread for each open page; no --preload: its feed would not survive the fork.
DESK = "gunicorn -k gthread --threads 512 --graceful-timeout 5 --no-control-socket"


def processes(settings: Settings, model: Path, simulated: bool) -> list[Process]:
    """Return what is run; README and house both call them by these names."""
    host = settings.loopback
    rasa = f"rasa run --model {shlex.quote(str(model))} --credentials bot/credentials.yml --endpoints endpoints.yml"
    found = [
        _process("door", "connectors.whatsapp receive", f"http://{host}:{settings.rasa_port}/webhooks/whatsapp/ready"),
        _process("rasa", f"{rasa} -i 127.0.0.1 -p {settings.bot_port}", nice=10),
        _process("actions", f"rasa_sdk --actions actions -p {settings.actions_port}",
                 f"http://127.0.0.1:{settings.actions_port}/health", nice=10),
        _process("desk", f"{DESK} -b {settings.host}:{settings.desk_port} 'handoff.app:create_app()'",
                 f"http://{host}:{settings.desk_port}/signin"),
        _process("sender", "connectors.whatsapp send", nice=5),
        _process("watch", "handoff watch", nice=5),
    ]  # fmt: skip
    if simulated:
        ready = f"http://{host}:{settings.simulator_port}/health"
        found.append(_process("simulator", "connectors.whatsapp simulate", ready))
    return found


def _process(name: str, module: str, ready: str | None = None, nice: int = 0) -> Process:
    """Return a process that runs a module of ours, or of the environment's, under this very Python.

    When there is more to do than processors to do it, Meta and agents come first: who answers Meta within 250 ms can't
    wait for who thinks.
    """
    command = (sys.executable, "-m", *shlex.split(module))
    return Process(name, ("nice", "-n", str(nice), *command) if nice else command, ready)


def environment(settings: Settings) -> dict[str, str]:
    """Return the settings as the environment the processes read them from."""
    return {
        "DATABASE_URL": settings.database_url,
        "WHATSAPP_API_URL": settings.whatsapp_api_url,
        "WHATSAPP_API_VERSION": settings.whatsapp_api_version,
        "WHATSAPP_PHONE_NUMBER_ID": ",".join(settings.whatsapp_phone_number_ids),
        "WHATSAPP_OTHER_NUMBER_IDS": ",".join(settings.whatsapp_other_number_ids),
        "WHATSAPP_APP_SECRET": ",".join(settings.whatsapp_app_secrets),
        "WHATSAPP_BUSINESS_ACCOUNT_ID": settings.whatsapp_business_account_id,
        "WHATSAPP_ACCESS_TOKEN": settings.whatsapp_access_token,
        "WHATSAPP_VERIFY_TOKEN": settings.whatsapp_verify_token,
        "ALERT_WEBHOOK_URL": settings.alert_webhook_url,
        "BATON_SMTP_URL": settings.smtp_url,
        "BATON_ALERT_FROM": settings.alert_from,
        "BATON_ALERT_EMAILS": ",".join(settings.alert_emails),
        "BATON_DESK_URL": settings.desk_url,
        "BATON_ALERT_AFTER_MIN": f"{settings.alert_after_min:g}",
        "BATON_AGENT_AWAY_MIN": f"{settings.agent_away_min:g}",
        "BATON_AGENT_SILENT_MIN": f"{settings.agent_silent_min:g}",
        "BATON_CLOSE_IDLE_H": f"{settings.close_idle_h:g}",
        "BATON_ASK_CSAT": _yes(settings.ask_csat),
        "BATON_WINDOW_TEMPLATE": "/".join(settings.window_template or ()),
        "BACKOFFICE_URL": settings.backoffice_url,
        "BATON_DEMO_SHOP": _yes(settings.demo_shop),
        "BATON_BOT_INVITED": _yes(settings.bot_invited),
        "BATON_PAUSE_S": f"{settings.pause_s:g}",
        "BATON_ANSWERS_IN_10_MINUTES": str(settings.answers_in_10_minutes),
        "BATON_ANSWERS_IN_A_DAY": str(settings.answers_in_a_day),
        "BATON_NOTICE_MACHINES": _yes(settings.notice_machines),
        "BATON_SHOW_TYPING": _yes(settings.show_typing),
        "BATON_PHONE_QUIET_MIN": f"{settings.phone_quiet_min:g}",
        "WHATSAPP_MESSAGES_PER_SECOND": f"{settings.messages_per_second:g}",
        "BATON_KEEP_DELIVERIES_DAYS": str(settings.keep_deliveries_days),
        "BATON_HOOKS_PRIVATE": _yes(settings.hooks_private),
        "BATON_KEEP_AUDIT_DAYS": str(settings.keep_audit_days),
        "BATON_HOST": settings.host,
        "BATON_HOME": str(settings.home),
        "RASA_PORT": str(settings.rasa_port),
        "BOT_PORT": str(settings.bot_port),
        "ACTIONS_PORT": str(settings.actions_port),
        "DESK_PORT": str(settings.desk_port),
        "SIMULATOR_PORT": str(settings.simulator_port),
        "SANIC_HOST": "127.0.0.1",  # the action server has no authentication: never anywhere else
    }


def _yes(value: bool) -> str:
    return "yes" if value else "no"


class _Kept:
    """What `make up` generated once and shows every time: secrets and demo passwords, readable by the owner only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._all: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def secrets(self) -> dict[str, str]:
        """Return the simulator's secrets, made on first use."""
        if "secrets" not in self._all:
            names = ("app_secret", "verify_token", "access_token")
            self.keep("secrets", {name: secrets.token_urlsafe(24) for name in names})
        return dict(self._all["secrets"])

    def get(self, name: str) -> Any:
        """Return what was kept under a name, or None."""
        return self._all.get(name)

    def keep(self, name: str, value: Any) -> None:
        """Keep it."""
        self._all[name] = value
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(self._all, indent=1))
        new.replace(self._path)


def _demo_accounts(kept: _Kept, settings: Settings, env: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return the demo accounts with their passwords, making those this database does not have."""
    name = f"accounts of {settings.database_url.rsplit('@', 1)[-1]}"  # never a database password in the file
    known: dict[str, str] = kept.get(name) or {}

    def account(verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "handoff", "account", verb, *words, "--keep-password"]
        return subprocess.run(command, env=dict(env), cwd=ROOT, capture_output=True, text=True, check=False)

    def password(email: str, role: str, person: str) -> str:
        # Asking the database first, by adding: a kept password is of no use if the database was made anew since.
        said = account("add", email, "--role", role, "--name", person)
        if said.returncode and email in known:
            return known[email]
        said = account("reset", email) if said.returncode else said
        if said.returncode:
            raise CannotStart(f"the demo account {email} can't be made: {said.stderr.strip()}")
        return said.stdout.split()[1]

    with ThreadPoolExecutor() as pool:
        passwords = list(pool.map(lambda one: password(*one), DEMO_ACCOUNTS))
    kept.keep(name, {email: word for (email, _, _), word in zip(DEMO_ACCOUNTS, passwords, strict=True)})
    return [(email, word, role) for (email, role, _), word in zip(DEMO_ACCOUNTS, passwords, strict=True)]


def _say_setup_code(settings: Settings, env: Mapping[str, str]) -> None:
    """Print what the first admin needs, where nobody can sign in yet."""
    command = [sys.executable, "-m", "handoff", "setup-code"]
    said = subprocess.run(command, env=dict(env), cwd=ROOT, capture_output=True, text=True, check=False)
    if said.returncode == 0:
        _say(f"Nobody can sign in yet. Set the desk up at http://{settings.loopback}:{settings.desk_port}/setup")
        _say(f"with the code {said.stdout.strip()} (good for a day)")


def _refuse_taken_ports(settings: Settings, simulated: bool) -> None:
    """Name a port that is in use before anything starts."""
    ports = {
        "RASA_PORT": settings.rasa_port,
        "ACTIONS_PORT": settings.actions_port,
        "DESK_PORT": settings.desk_port,
    }
    if simulated:
        ports["SIMULATOR_PORT"] = settings.simulator_port
    if settings.bot_port:
        ports["BOT_PORT"] = settings.bot_port
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, port))
            except OSError as problem:
                raise CannotStart(
                    f"port {port} is in use by another program (is Baton running already?). "
                    f"Stop that, or choose another: {name}={port + 1} make {'up' if simulated else 'serve'}"
                ) from problem
    if len(set(ports.values())) < len(ports):
        raise CannotStart(f"two of {', '.join(ports)} name the same port; give each its own")


def _free_port(settings: Settings) -> int:
    """Find a port nobody listens on, and none of ours is going to."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in {settings.rasa_port, settings.actions_port, settings.desk_port, settings.simulator_port}:
            return port


def _step(command: list[str], env: Mapping[str, str], otherwise: str, stopping: Stopping) -> None:
    """Run one step to its end, or until we are told to stop; say why it failed in its own last words."""
    with subprocess.Popen(
        command,
        env=dict(env),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as step:
        while step.poll() is None:
            if stopping:
                step.kill()
                raise ToldToStop
            time.sleep(0.05)
        said = step.stdout.read() if step.stdout is not None else ""
    if step.returncode:
        words = [line for line in said.splitlines() if line.strip()]
        raise CannotStart(f"{otherwise}: {words[-1].strip() if words else 'no reason given'}")


def _say(words: str) -> None:
    print(words, flush=True)


def _welcome(settings: Settings, accounts: list[tuple[str, str, str]]) -> str:
    lines = "\n".join(f"             {email:<24}{password:<26}{role}" for email, password, role in accounts)
    return f"""
  Baton is ready.

  Phone      http://127.0.0.1:{settings.simulator_port}/   be a customer: write to the shop
  Desk       http://127.0.0.1:{settings.desk_port}/   be an agent: answer them
{lines}

  Logs       {os.path.relpath(settings.home / "logs")}/
  Stop       Ctrl-C
"""


def _serving(settings: Settings) -> str:
    return (
        f"Baton is serving. Webhook http://{settings.host}:{settings.rasa_port}/webhooks/whatsapp/webhook, "
        f"desk http://{settings.host}:{settings.desk_port}/, Cloud API {settings.whatsapp_api_url}"
    )
