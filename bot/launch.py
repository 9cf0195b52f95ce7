"""Start everything, see that it is ready, stop everything: what `make up` and `make serve` run.

The processes are kept by supervisord, which restarts whichever dies; this file decides which there are, waits until
they are ready, says so in a few lines, and takes all of them down with it, however it ends.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from types import FrameType
from typing import IO, Any, cast
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from bot import training
from bot.errors import BadSettings, BotError
from bot.settings import ROOT, Settings

READY_WITHIN_S = 300
STARTS_ALLOWED = 2  # of one process, before all are ready: one stumble is bad luck, two are a fault
STOP_WITHIN_S = 12  # then what is left is killed; `make serve` promises 15
DEMO_NUMBER = "100000000000001"
DEMO_ACCOUNTS = (
    ("ann@fernhill.example", "agent", "Ann"),
    ("ben@fernhill.example", "agent", "Ben"),
    ("sue@fernhill.example", "supervisor", "Sue"),
)

# What the libraries below Rasa are told; each with the reason in the docs of that library.
QUIET = {
    "RASA_TELEMETRY_ENABLED": "false",
    "SQLALCHEMY_SILENCE_UBER_WARNING": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_INTRA_OP_PARALLELISM_THREADS": "1",
    "TF_INTER_OP_PARALLELISM_THREADS": "1",
    "PYTHONWARNINGS": "ignore",
    "LOG_LEVEL_LIBRARIES": "ERROR",
    "MPLBACKEND": "Agg",
    "TICKET_LOCK_LIFETIME": "120",  # Rasa's lock is a timer, counted from when it is asked for
    "SANIC_REQUEST_MAX_SIZE": "4194304",  # Meta's deliveries go up to 3 MB
    "SANIC_RESPONSE_TIMEOUT": "20",
    "PYTHONUNBUFFERED": "1",
}


class CannotStart(BotError):
    """Baton can't start:"""


@dataclass(frozen=True)
class Process:
    """One process: how it is started, and where it says that it is ready."""

    name: str
    command: tuple[str, ...]
    port: int | None = None
    ready: str | None = None  # a path that answers 200 once it is


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
    stopping = _Stopping()
    _refuse_taken_ports(settings, simulated)
    env = {**os.environ, **QUIET, **environment(settings)}
    _say("Database: migrating")
    _step([sys.executable, "-m", "handoff", "migrate"], env, "the database can't be migrated")
    model = training.trained_model(settings) or training.train(settings, _say, told_to_stop=lambda: bool(stopping))
    accounts = _demo_accounts(kept, settings, env) if kept is not None else []
    started = time.monotonic()
    with _Supervised(processes(settings, model, simulated), env, logs, to_stdout=not simulated) as running:
        _say("Starting")
        if running.wait_until_ready(settings, stopping):
            _say(f"Ready after {time.monotonic() - started:.0f} s")
            _say(_welcome(settings, accounts) if simulated else _serving(settings))
            running.keep(stopping)
    _say("Stopped")
    return 0


def processes(settings: Settings, model: Path, simulated: bool) -> list[Process]:
    """Return what is run; README and house both call them by these names."""
    python = sys.executable
    rasa = (
        python,
        "-m",
        "rasa",
        "run",
        "--model",
        str(model),
        "--credentials",
        "bot/credentials.yml",
        "--endpoints",
        "endpoints.yml",
        "-i",
        settings.host,
        "-p",
        str(settings.rasa_port),
    )
    desk = (
        python,
        "-m",
        "gunicorn",
        "-k",
        "gthread",
        "--threads",
        "256",
        "--graceful-timeout",
        "5",
        "--no-control-socket",
        "-b",
        f"{settings.host}:{settings.desk_port}",
        "handoff.app:create_app()",
    )
    found = [
        Process("rasa", rasa, settings.rasa_port, "/webhooks/whatsapp/ready"),
        Process(
            "actions",
            (python, "-m", "rasa_sdk", "--actions", "actions", "-p", str(settings.actions_port)),
            settings.actions_port,
            "/health",
        ),
        Process("desk", desk, settings.desk_port, "/signin"),
        Process("sender", (python, "-m", "connectors.whatsapp", "send")),
    ]
    if simulated:
        found.append(
            Process(
                "simulator",
                (python, "-m", "connectors.whatsapp", "simulate"),
                settings.simulator_port,
                "/health",
            )
        )
    return found


def environment(settings: Settings) -> dict[str, str]:
    """Return the settings as the environment the processes read them from."""
    return {
        "DATABASE_URL": settings.database_url,
        "WHATSAPP_API_URL": settings.whatsapp_api_url,
        "WHATSAPP_API_VERSION": settings.whatsapp_api_version,
        "WHATSAPP_PHONE_NUMBER_ID": ",".join(settings.whatsapp_phone_number_ids),
        "WHATSAPP_APP_SECRET": ",".join(settings.whatsapp_app_secrets),
        "WHATSAPP_BUSINESS_ACCOUNT_ID": settings.whatsapp_business_account_id,
        "WHATSAPP_ACCESS_TOKEN": settings.whatsapp_access_token,
        "WHATSAPP_VERIFY_TOKEN": settings.whatsapp_verify_token,
        "ALERT_WEBHOOK_URL": settings.alert_webhook_url,
        "BACKOFFICE_URL": settings.backoffice_url,
        "BATON_DEMO_SHOP": "yes" if settings.demo_shop else "no",
        "BATON_BOT_INVITED": "yes" if settings.bot_invited else "no",
        "BATON_HOST": settings.host,
        "BATON_HOME": str(settings.home),
        "RASA_PORT": str(settings.rasa_port),
        "ACTIONS_PORT": str(settings.actions_port),
        "DESK_PORT": str(settings.desk_port),
        "SIMULATOR_PORT": str(settings.simulator_port),
        "SANIC_HOST": "127.0.0.1",  # the action server has no authentication: never anywhere else
    }


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
    known = known if (settings.database_url.startswith("postgresql") or _database_is_as_old(settings, kept)) else {}
    for email, role, person in DEMO_ACCOUNTS:
        if email in known:
            continue
        add = ["account", "add", email, "--role", role, "--name", person, "--keep-password"]
        for words in (add, ["account", "reset", email, "--keep-password"]):
            said = subprocess.run(
                [sys.executable, "-m", "handoff", *words],
                env=dict(env),
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
            )
            if said.returncode == 0:
                known[email] = said.stdout.split()[1]
                break
        else:
            raise CannotStart(f"the demo account {email} can't be made: {said.stderr.strip()}")
    kept.keep(name, known)
    return [(email, known[email], role) for email, role, _ in DEMO_ACCOUNTS]


def _database_is_as_old(settings: Settings, kept: _Kept) -> bool:
    """Say whether the SQLite file is the one the kept passwords belong to; it may have been deleted since."""
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    mark = str(path.stat().st_ino) if path.exists() else ""
    same = bool(kept.get("database inode") == mark)
    kept.keep("database inode", mark)
    return same


def _refuse_taken_ports(settings: Settings, simulated: bool) -> None:
    """Name a port that is in use before anything starts."""
    ports = {
        "RASA_PORT": settings.rasa_port,
        "ACTIONS_PORT": settings.actions_port,
        "DESK_PORT": settings.desk_port,
    }
    if simulated:
        ports["SIMULATOR_PORT"] = settings.simulator_port
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


def _step(command: list[str], env: Mapping[str, str], otherwise: str) -> None:
    """Run one step to its end; say why it failed in its own last words."""
    said = subprocess.run(command, env=dict(env), cwd=ROOT, capture_output=True, text=True, check=False)
    if said.returncode:
        words = [line for line in (said.stderr + said.stdout).splitlines() if line.strip()]
        raise CannotStart(f"{otherwise}: {words[-1].strip() if words else 'no reason given'}")


class _Stopping:
    """Remembers that we were told to stop: by Ctrl-C, by SIGTERM, or by the death of the make that started us."""

    def __init__(self) -> None:
        self.told = False
        self._parent = os.getppid() if "MAKELEVEL" in os.environ else None
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._hear)

    def _hear(self, _signum: int, _frame: FrameType | None) -> None:
        self.told = True

    def __bool__(self) -> bool:
        if self._parent is not None and os.getppid() != self._parent:
            self.told = True
        return self.told


class _Supervised:
    """supervisord and what it runs, as a context: whatever happens inside, nothing is left running after it."""

    def __init__(self, wanted: list[Process], env: Mapping[str, str], logs: Path, *, to_stdout: bool) -> None:
        self._wanted = wanted
        self._env = env
        self._logs = logs
        self._to_stdout = to_stdout
        self._place = Path(tempfile.mkdtemp(prefix="baton-"))  # a socket's path must be short
        self._pids: set[int] = set()

    def __enter__(self) -> _Supervised:
        config = self._place / "supervisord.conf"
        config.write_text(self._config())
        with self._out() as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(config)],
                env=dict(self._env),
                cwd=ROOT,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  # no thread of ours runs
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        return self

    def _out(self) -> IO[bytes]:
        """Return where the runner writes: its log, or our own standard output.

        That one through `cat`: supervisord opens it anew for each process, which a socket (systemd's) does not allow;
        and a pipe to ourselves would break with us, before the runner has stopped the others.
        """
        if not self._to_stdout:
            return (self._logs / "supervisord.log").open("ab")
        cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True)  # noqa: S607
        return cast("IO[bytes]", cat.stdin)

    def __exit__(self, *_: object) -> None:
        self._note_pids()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        for pid in self._pids:  # only what is left after supervisord, each the head of its own group
            try:
                os.killpg(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        shutil.rmtree(self._place, ignore_errors=True)

    def _config(self) -> str:
        def program(process: Process) -> str:
            where = "/dev/fd/1" if self._to_stdout else str(self._logs / f"{process.name}.log")
            size = "0" if self._to_stdout else "10MB"
            command = " ".join(_quoted(word) for word in process.command)
            return (
                f"[program:{process.name}]\ncommand={command}\ndirectory={_escaped(str(ROOT))}\nautorestart=true\n"
                f"startsecs=2\nstartretries=3\nstopasgroup=true\nkillasgroup=true\nstopwaitsecs=9\n"
                f"redirect_stderr=true\nstdout_logfile={_escaped(where)}\nstdout_logfile_maxbytes={size}\n"
                f"stdout_logfile_backups={'0' if self._to_stdout else '3'}\n"
            )

        names = ",".join(process.name for process in self._wanted)
        socket_path = _escaped(str(self._place / "s"))
        return (
            f"[unix_http_server]\nfile={socket_path}\nchmod=0700\n"
            f"[supervisord]\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={_escaped(str(self._place / 'pid'))}\n"
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = "
            "supervisor.rpcinterface:make_main_rpcinterface\n"
            # One group: its members are stopped all at once, not one after the other.
            f"[group:baton]\nprograms={names}\n" + "\n".join(program(process) for process in self._wanted)
        )

    def _info(self) -> list[dict[str, Any]]:
        """Return what supervisord knows of each process, nothing while it can't be asked."""
        transport = SupervisorTransport(None, None, f"unix://{self._place / 's'}")
        try:
            found: Any = ServerProxy("http://127.0.0.1", transport=transport).supervisor.getAllProcessInfo()
        except (OSError, Fault):
            return []
        finally:
            transport.close()
        return list(found)

    def _note_pids(self) -> list[dict[str, Any]]:
        """Remember who runs, so that nobody outlives a supervisord that died."""
        info = self._info()
        if info:
            self._pids = {process["pid"] for process in info if process["pid"]}
        return info

    def wait_until_ready(self, settings: Settings, stopping: _Stopping) -> bool:
        """Return True once all answer, False if told to stop; CannotStart if one can't."""
        deadline = time.monotonic() + READY_WITHIN_S
        host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host  # noqa: S104  # compared, not bound
        missing = list(self._wanted)
        seen: dict[str, set[int]] = {}
        while not stopping:
            for process in self._note_pids():
                seen.setdefault(process["name"], set()).add(process["pid"])
                if process["statename"] == "FATAL" or len(seen[process["name"]] - {0}) > STARTS_ALLOWED:
                    raise CannotStart(self._why(process["name"]))
            if self._process.poll() is not None:
                raise CannotStart(f"the process runner ended; see {self._logs / 'supervisord.log'}")
            missing = [process for process in missing if not self._is_ready(process, host)]
            if not missing:
                return True
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"{missing[0].name} is not ready after {READY_WITHIN_S} s. {self._why(missing[0].name)}"
                )
            time.sleep(0.3)
        return False

    def _is_ready(self, process: Process, host: str) -> bool:
        if process.port is None or process.ready is None:
            return any(p["name"] == process.name and p["statename"] == "RUNNING" for p in self._info())
        connection = HTTPConnection("127.0.0.1" if process.name == "actions" else host, process.port, timeout=5)
        try:
            connection.request("GET", process.ready)
            return bool(connection.getresponse().status == 200)
        except OSError:
            return False
        finally:
            connection.close()

    def _why(self, name: str) -> str:
        """Return the last words of a process that could not start."""
        log = self._logs / f"{name}.log"
        if self._to_stdout or not log.exists():
            return f"{name} ended; its last words are above"
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return f"{name} ended: {lines[-1].strip()[:300] if lines else 'without a word'} (more in {log})"

    def keep(self, stopping: _Stopping) -> None:
        """Stay until told to stop; bring back what supervisord has given up on."""
        while not stopping:
            time.sleep(0.5)
            info = self._note_pids()
            if self._process.poll() is not None:
                raise CannotStart("the process runner died; everything was stopped. Start again")
            for process in info:
                if process["statename"] == "FATAL":
                    self._revive(process["name"])

    def _revive(self, name: str) -> None:
        transport = SupervisorTransport(None, None, f"unix://{self._place / 's'}")
        try:
            ServerProxy("http://127.0.0.1", transport=transport).supervisor.startProcess(f"baton:{name}", False)
        except (OSError, Fault):
            return
        finally:
            transport.close()


def _end_with_parent() -> None:
    """Ask Linux to tell supervisord to stop if we are killed; elsewhere it is merely left behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _quoted(word: str) -> str:
    return _escaped("'" + word.replace("'", "'\\''") + "'" if any(c in word for c in " ()'\"") else word)


def _escaped(word: str) -> str:
    return word.replace("%", "%%")


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
