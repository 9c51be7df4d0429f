"""What we measure beside others."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
