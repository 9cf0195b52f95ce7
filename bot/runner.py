"""Run processes: start them under supervisord, see that they are ready, and take all of them down, however we end.

supervisord restarts whichever dies. Nothing here knows which processes there are; launch.py does.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from types import FrameType
from typing import IO, Any, cast
from xmlrpc.client import Error as XmlRpcError
from xmlrpc.client import ServerProxy

import requests
from supervisor.xmlrpc import SupervisorTransport

from bot.errors import BotError
from bot.settings import ROOT

READY_WITHIN_S = 300
STARTS_ALLOWED = 2  # of one process, before all are ready: one stumble is bad luck, two are a fault
STOP_WITHIN_S = 13  # then what is left is killed; `make serve` promises 15


class CannotStart(BotError):
    """Baton can't start:"""


@dataclass(frozen=True)
class Process:
    """One process: how it is started, and where it says that it is ready."""

    name: str
    command: tuple[str, ...]
    ready: str | None = None  # an address that answers 200 once it is; without one, running is ready


class Stopping:
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


class Supervised:
    """supervisord and what it runs, as a context: whatever happens inside, nothing is left running after it."""

    def __init__(self, wanted: list[Process], env: Mapping[str, str], logs: Path, *, to_stdout: bool) -> None:
        self._wanted = wanted
        self._env = env
        self._logs = logs
        self._to_stdout = to_stdout
        self._place = Path(tempfile.mkdtemp(prefix="baton-"))  # a socket's path must be short
        self._pids: set[int] = set()

    def __enter__(self) -> Supervised:
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
                f"startsecs=2\nstartretries=3\nstopasgroup=true\nkillasgroup=true\nstopwaitsecs=11\n"
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
        except (OSError, XmlRpcError, HTTPException):
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

    def wait_until_ready(self, stopping: Stopping) -> bool:
        """Return True once all answer, False if told to stop; CannotStart if one can't."""
        deadline = time.monotonic() + READY_WITHIN_S
        missing = list(self._wanted)
        seen: dict[str, set[int]] = {}
        while not stopping:
            for process in self._note_pids():
                seen.setdefault(process["name"], set()).add(process["pid"])
                if process["statename"] == "FATAL" or len(seen[process["name"]] - {0}) > STARTS_ALLOWED:
                    raise CannotStart(self._why(process["name"]))
            if self._process.poll() is not None:
                raise CannotStart(f"the process runner ended; see {self._logs / 'supervisord.log'}")
            missing = [process for process in missing if not self._is_ready(process)]
            if not missing:
                return True
            if time.monotonic() > deadline:
                raise CannotStart(
                    f"{missing[0].name} is not ready after {READY_WITHIN_S} s. {self._why(missing[0].name)}"
                )
            time.sleep(0.3)
        return False

    def _is_ready(self, process: Process) -> bool:
        if process.ready is None:
            return any(p["name"] == process.name and p["statename"] == "RUNNING" for p in self._info())
        try:
            return requests.get(process.ready, timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def _why(self, name: str) -> str:
        """Return the last words of a process that could not start."""
        log = self._logs / f"{name}.log"
        if self._to_stdout or not log.exists():
            return f"{name} ended; its last words are above"
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return f"{name} ended: {lines[-1].strip()[:300] if lines else 'without a word'} (more in {log})"

    def keep(self, stopping: Stopping) -> None:
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
        except (OSError, XmlRpcError, HTTPException):
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
