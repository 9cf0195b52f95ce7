"""The trained model: which one belongs to today's content, and making it when it is missing."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import IO

from bot.errors import ToldToStop, TrainingFailed
from bot.settings import ROOT, Settings

UNFINISHED = "unfinished-"  # without a dot, at which Rasa would cut the name
KEPT = 3  # models; each is under a megabyte, but old ones mislead
TIME_LIMIT = 900  # seconds
TELL_EVERY = 5  # seconds between two lines of progress
QUIET = {
    "RASA_TELEMETRY_ENABLED": "false",
    "SQLALCHEMY_SILENCE_UBER_WARNING": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "PYTHONWARNINGS": "ignore",
    "MPLBACKEND": "Agg",
    "LOG_LEVEL_LIBRARIES": "ERROR",
}
# Steps as Rasa logs them, and what they mean to somebody who waits.
STEPS = {
    "BatonTokenizer": "reading the examples",
    "CountVectorsFeaturizer": "counting words",
    "LogisticRegressionClassifier": "learning the topics",
    "RulePolicy": "checking the rules against each other",
}
TELLING = re.compile(r"(\w+\.)*\w*(Error|Exception|Invalid\w+|InvalidRule)\b", re.IGNORECASE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def fingerprint(root: Path = ROOT) -> str:
    """Return a name for everything a model depends on: the same content, the same name."""
    digest = hashlib.sha256(version("rasa").encode())
    for path in _sources(root):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _sources(root: Path) -> Iterator[Path]:
    yield root / "config.yml"
    yield root / "domain.yml"
    yield from sorted(path for path in (root / "data").rglob("*") if path.suffix in {".yml", ".yaml"})
    yield from sorted((root / "bot" / "nlu").rglob("*.py"))
    yield root / "bot" / "places.py"


def trained_model(settings: Settings, root: Path = ROOT) -> Path | None:
    """Return the model of today's content, or None when it has to be trained first."""
    path = settings.home / "models" / f"{fingerprint(root)}.tar.gz"
    return path if path.is_file() else None


def never() -> bool:
    """Nobody tells us to stop."""
    return False


def train(
    settings: Settings,
    progress: Callable[[str], None],
    root: Path = ROOT,
    *,
    told_to_stop: Callable[[], bool] = never,
) -> Path:
    """Train and return the model; whoever looks for it finds all of it or nothing. ToldToStop comes within a second."""
    name = fingerprint(root)
    models, log = settings.home / "models", settings.home / "logs" / "training.log"
    models.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    unfinished = models / f"{UNFINISHED}{name}-{os.getpid()}.tar.gz"
    try:
        with log.open("w") as out:
            _watch(_start_rasa(settings, root, unfinished, out), log, progress, told_to_stop)
        if not unfinished.is_file():
            raise TrainingFailed(f"(Rasa made no model; {_reason(log)}; all of it in {log})")
        model = models / f"{name}.tar.gz"
        unfinished.replace(model)
    finally:
        unfinished.unlink(missing_ok=True)
    _forget_old_models(models, model)
    return model


def _start_rasa(settings: Settings, root: Path, model: Path, out: IO[str]) -> subprocess.Popen[bytes]:
    """Start `rasa train` in a session of its own: Ctrl-C is ours to hear, and to pass on."""
    command = [
        sys.executable, "-m", "rasa", "train",
        "--config", "config.yml", "--domain", "domain.yml", "--data", "data",
        "--out", str(model.parent), "--fixed-model-name", model.name.removesuffix(".tar.gz"),
    ]  # fmt: skip
    environment = {
        **os.environ,
        **QUIET,
        "RASA_CACHE_DIRECTORY": str(settings.home / "cache"),
        "ACTIONS_PORT": str(settings.actions_port),  # endpoints.yml names it, and Rasa reads that file even to train
        "PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH")))),
    }
    return subprocess.Popen(  # noqa: S603  # our own command
        command,
        cwd=root,
        env=environment,
        stdout=out,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )


def _watch(
    rasa: subprocess.Popen[bytes], log: Path, progress: Callable[[str], None], told_to_stop: Callable[[], bool]
) -> None:
    """Wait for the training, telling how it goes; whatever happens, it does not outlive us."""
    began = told = time.monotonic()
    progress("Training the bot, well under a minute on most machines")
    try:
        while rasa.poll() is None:
            time.sleep(0.2)
            now = time.monotonic()
            if told_to_stop():
                raise ToldToStop
            if now - began > TIME_LIMIT:
                raise TrainingFailed(f"(it took more than {TIME_LIMIT // 60} minutes; see {log})")
            if now - told >= TELL_EVERY:
                told = now
                progress(f"  {_step(log)} … {now - began:.0f} s")
    finally:
        if rasa.poll() is None:
            rasa.terminate()
            try:
                rasa.wait(5)
            except subprocess.TimeoutExpired:
                rasa.kill()
                rasa.wait()
    if rasa.returncode:
        raise TrainingFailed(f"({_reason(log)}; all of it in {log})")
    progress(f"Trained in {time.monotonic() - began:.0f} s")


def _step(log: Path) -> str:
    """Return what is being done now, in words."""
    text = log.read_text(errors="replace")
    latest = max(STEPS, key=text.rfind)
    return STEPS[latest] if latest in text else "starting Rasa"


def _reason(log: Path) -> str:
    """Return what the log says last about an error, on one line."""
    lines = [" ".join(COLOUR.sub("", line).split()) for line in log.read_text(errors="replace").splitlines()]
    lines = [line for line in lines if line]
    telling = [n for n, line in enumerate(lines) if TELLING.match(line)]
    said = lines[telling[-1] :] if telling else lines[-1:] or ["it said nothing"]
    return " ".join(said)[:300]


def _forget_old_models(models: Path, newest: Path) -> None:
    """Keep the newest few, and this one whatever its age."""
    others = [path for path in models.glob("*.tar.gz") if path != newest and not path.name.startswith(UNFINISHED)]
    for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[KEPT - 1 :]:
        path.unlink(missing_ok=True)
