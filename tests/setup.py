"""What `make test` sets up before the tests: a Chromium, where none is. Never fails; a test says what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.parts import chromium  # the path must be set first


def main() -> None:
    """Get a Chromium: Playwright's own, or Debian's."""
    if chromium() is not None:
        return
    print("No Chromium on the PATH; fetching one", flush=True)
    fetched = subprocess.run(
        [sys.executable, "-m", "playwright", "install", "chromium"],
        check=False,
        capture_output=True,
        timeout=600,
    )
    if fetched.returncode == 0:
        return
    if os.getuid() == 0 and shutil.which("apt-get"):
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", *words], check=False, capture_output=True, env=env, timeout=900)
    print(
        "Chromium: " + (shutil.which("chromium") or "none to be had; the browser tests will be skipped"),
        flush=True,
    )


if __name__ == "__main__":
    main()
