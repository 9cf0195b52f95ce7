"""Make .venv/ from the lock file: `python3 bot/setup.py`, by any python3, before anything else is there.

Stands alone (standard library only, any Python from 3.8), because the environment it makes does not exist yet.
Rasa 3.6 needs CPython 3.10. It is looked for where PYTHON says, among pyenv's versions, on the PATH; where there is
none, uv fetches one of its own. A second run sees that nothing changed and ends at once.
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import subprocess
import sys
from typing import List, NoReturn, Optional

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HOME = os.path.join(ROOT, ".baton")
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "made-from")
LOG = os.path.join(HOME, "logs", "setup.log")
WANTED = (3, 10)

# What a failed installation says → what to do about it.
CURES = (
    (
        ("invalid peer certificate", "UnknownIssuer", "CERTIFICATE_VERIFY_FAILED"),
        "the package index shows a certificate that is not known here; name your proxy's in SSL_CERT_FILE",
    ),
    (("No space left",), "the disk is full; free 4 GB and try again"),
    (
        (
            "command 'gcc' failed",
            "No such file or directory: 'gcc'",
            "No such file or directory: 'cc'",
            "Unable to find a compiler",
            "command 'cc' failed",
        ),
        "a package must be compiled and there is no C compiler; install one (Debian: apt-get install build-essential)",
    ),
    (("Python.h: No such file",), "Python's headers are missing (Debian: apt-get install python3-dev)"),
    (
        (
            "dns error",
            "Failed to fetch",
            "error sending request",
            "Connection refused",
            "timed out",
            "Could not find a version",
            "No matching distribution",
            "Temporary failure in name resolution",
        ),
        "the package index can't be reached; check the network or the proxy and try again",
    ),
    (
        ("hash mismatch", "Hash mismatch", "DO NOT MATCH THE HASHES"),
        "a package differs from the one we locked; do not use it, and tell us",
    ),
    (
        ("No interpreter found", "no interpreter", "No download found"),
        "no CPython 3.10 here and none could be fetched; install one and say PYTHON=/path/to/python3.10 make up",
    ),
)


def main() -> None:
    """Make the environment, or see that it is made."""
    os.makedirs(os.path.dirname(LOG), exist_ok=True)
    os.chmod(HOME, 0o700)
    wanted = _fingerprint()
    if os.path.exists(PYTHON) and os.path.exists(STAMP) and _read(STAMP) == wanted:
        return
    open(LOG, "w").close()
    _say("Setting up (once): a Python environment in .venv/")
    uv = _find_uv()
    python = _find_python()
    _say("  CPython 3.10: " + (python or "fetched by uv"))
    _run([uv, "venv", "--quiet", "--allow-existing", "--python", python or "3.10", VENV])
    _say("  installing the locked packages (2.9 GB on disk; a minute or several, by your network)")
    _run(
        [
            uv,
            "pip",
            "sync",
            "--quiet",
            "--python",
            PYTHON,
            "--require-hashes",
            os.path.join(ROOT, "requirements.lock"),
        ]
    )
    with open(STAMP, "w") as file:
        file.write(wanted)


def _fingerprint() -> str:
    with open(os.path.join(ROOT, "requirements.lock"), "rb") as file:
        return hashlib.sha256(file.read() + os.environ.get("PYTHON", "").encode()).hexdigest()


def _find_python() -> Optional[str]:
    """Return a CPython 3.10 that really runs, or None."""
    asked = os.environ.get("PYTHON")
    if asked:
        path = shutil.which(asked)
        if path and _version(path) == WANTED:
            return path
        _fail("PYTHON=%s is not a CPython 3.10; Rasa 3.6 runs on nothing newer or older" % asked)
    pyenv = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    found = sorted(glob.glob(os.path.join(pyenv, "versions", "3.10.*", "bin", "python3.10")), reverse=True)
    for path in found + [p for p in (shutil.which("python3.10"), sys.executable) if p]:
        if _version(path) == WANTED:  # pyenv's own shim is on the PATH but may refuse to run
            return path
    return None


def _version(python: str) -> Optional[tuple]:  # type: ignore[type-arg]  # must run on Python 3.8
    code = "import sys; print(sys.implementation.name, *sys.version_info[:2])"
    try:
        said = subprocess.run(
            [python, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = said.stdout.decode().split()
    return (int(words[1]), int(words[2])) if len(words) == 3 and words[0] == "cpython" else None


def _find_uv() -> str:
    """Return uv, hash-checked, in a place of our own: what is on the PATH may be of any age."""
    home = os.path.join(HOME, "uv")
    uv = os.path.join(home, "bin", "uv")
    lock = os.path.join(ROOT, "setup.lock")
    if os.path.exists(uv) and _read(os.path.join(home, "made-from")) == _read(lock):
        return uv
    shutil.rmtree(home, ignore_errors=True)
    try:
        subprocess.run(
            [sys.executable, "-m", "venv", home],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except subprocess.CalledProcessError:
        _fail("%s can't make environments (Debian: apt-get install python3-venv)" % sys.executable)
    _run(
        [
            os.path.join(home, "bin", "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "-r",
            lock,
        ]
    )
    shutil.copy(lock, os.path.join(home, "made-from"))
    return uv


def _run(command: List[str]) -> None:
    """Run one step; its words go to the log, and a failure ends everything with one sentence."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "VIRTUAL_ENV", "PYTHONPATH")}
    with open(LOG, "a") as log:
        log.write("$ %s\n" % " ".join(command))
        log.flush()
        code = subprocess.run(command, stdout=log, stderr=log, env=env, check=False).returncode
    if code == 0:
        return
    words = _read(LOG)
    for signs, cure in CURES:
        if any(sign in words for sign in signs):
            _fail(cure)
    last = [line for line in words.splitlines() if line.strip()][-1:]
    _fail((last[0].strip() if last else "a step failed") + "; the whole story is in " + os.path.relpath(LOG, ROOT))


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _say(words: str) -> None:
    print(words, flush=True)


def _fail(words: str) -> NoReturn:
    print("Set-up stopped: " + words, file=sys.stderr, flush=True)
    raise SystemExit(1)


if __name__ == "__main__":
    main()
