#!/usr/bin/env python3
"""Open a page in the browser on which pictures are enlarged: drop one, drag the slider."""

from src.host.signals import end_at_once

if __name__ == "__main__":
    end_at_once()  # while the rest is imported

from src.command import run
from src.commands.demo import main

if __name__ == "__main__":
    run(main)
