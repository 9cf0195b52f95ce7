"""The rules of the house, as tests: they fail when the house stops being what its README says."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import pytest

from bot import vocabulary
from bot.ledger.tables import metadata
from bot.settings import ROOT
from connectors.whatsapp.channel import WhatsAppInput

ROOMS = ("bot", "connectors", "actions", "handoff")
TOP_LEVEL = {
    "bot",
    "data",
    "actions",
    "connectors",
    "handoff",
    "tests",
    "docs",
    "config.yml",
    "domain.yml",
    "endpoints.yml",
    "README.md",
    "LICENSE",
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    "setup.lock",
    ".env.example",
    ".gitignore",
    ".ci",
}


def own_files() -> Iterator[Path]:
    for room in ROOMS:
        yield from (ROOT / room).rglob("*.py")


def test_nothing_stands_at_the_top_that_has_no_place_there() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("this is not a git checkout")
    assert {line.split("/")[0] for line in tracked.stdout.splitlines()} <= TOP_LEVEL


def test_no_import_hides_inside_a_function() -> None:
    for path in own_files():
        tree = ast.parse(path.read_text())
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            hidden = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
            assert not hidden, f"{path}:{hidden[0].lineno} imports inside a function"


def test_the_environment_is_read_in_one_place() -> None:
    allowed = {
        "bot/settings.py",
        "bot/setup.py",
        "bot/launch.py",
        "bot/runner.py",
        "bot/training.py",
    }  # the last two hand it on
    for path in own_files():
        if "os.environ" in path.read_text():
            assert str(path.relative_to(ROOT)) in allowed, path


def test_every_file_says_what_it_is() -> None:
    for path in own_files():
        if path.read_text().strip():
            assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no first sentence"


def test_every_word_we_use_is_in_the_glossary() -> None:
    readme = (ROOT / "README.md").read_text().lower()
    glossary = readme[readme.index("## glossary") :]
    enums = [kind for kind in vars(vocabulary).values() if isinstance(kind, type) and issubclass(kind, Enum)]
    words = {member.value for kind in enums for member in kind} | set(metadata.tables)
    missing = sorted(word for word in words if not re.search(rf"\b{re.escape(word.replace('_', ' '))}\b", glossary))
    assert not missing, f"say what these mean before using them: {missing}"


def test_the_channel_can_be_imported_on_its_own() -> None:
    # Rasa reports any ImportError inside a channel as a misspelt class name; here it says what it is.
    assert WhatsAppInput.name() == "whatsapp"
    assert "connectors.whatsapp.channel.WhatsAppInput" in (ROOT / "bot" / "credentials.yml").read_text()


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
    ],
    ids=" ".join,
)
def test_style_and_types_are_clean(command: list[str]) -> None:
    said = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout[-3000:] + said.stderr[-1000:]


def test_the_import_contracts_hold() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    said = subprocess.run([tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout[-3000:]


def test_make_alone_prints_the_menu() -> None:
    said = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    for verb in ("up", "serve", "test", "setup", "check"):
        assert f"make {verb}" in said.stdout


def test_ci_runs_nothing_weaker_than_make_test() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_no_registrys_host_is_named() -> None:
    for name in ("requirements.lock", "setup.lock"):
        assert "http" not in re.sub(r"^(http|aiohttp)\S*==\S+", "", (ROOT / name).read_text(), flags=re.M)
