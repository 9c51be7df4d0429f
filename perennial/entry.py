"""Where the command begins: its imports take a moment in which it may be interrupted."""

from __future__ import annotations

INTERRUPTED = 130


def main() -> int:
    """Run the command and give its exit code; interrupted before it began it says nothing."""
    try:
        from perennial.__main__ import main as command
    except KeyboardInterrupt:
        return INTERRUPTED
    return command()
