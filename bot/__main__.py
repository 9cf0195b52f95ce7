"""python -m bot up | serve | train"""

from __future__ import annotations

import argparse
import sys

from bot import launch, training
from bot.errors import BotError, ToldToStop
from bot.settings import Settings


def train() -> int:
    """Train the model, unless the one that is there is of the same content."""
    settings = Settings.from_env()
    model = training.trained_model(settings) or training.train(settings, print)
    print(model)
    return 0


def main() -> int:
    """Run one of the ground floor's commands; a refusal is one sentence, never a traceback."""
    parser = argparse.ArgumentParser(prog="python -m bot")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="everything on this machine, with a simulated WhatsApp")
    commands.add_parser("serve", help="everything but the simulator, against the Cloud API")
    commands.add_parser("train", help="train the model if the content changed")
    command = parser.parse_args().command
    try:
        return {"up": launch.up, "serve": launch.serve, "train": train}[command]()
    except ToldToStop:
        print("Stopped")
        return 0
    except BotError as problem:
        print(problem, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
