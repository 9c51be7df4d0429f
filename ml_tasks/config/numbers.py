"""Numbers as a YAML file may say them: with none of them does a date, a sum or a size run over."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Days = Annotated[int, Field(le=36_500)]
"""Up to a hundred years: what is reckoned by them is a date still."""
Minutes = Annotated[int, Field(le=5_256_000)]
"""Up to ten years."""
Seconds = Annotated[int, Field(le=315_360_000)]
"""Up to ten years."""
Count = Annotated[int, Field(le=10**9)]
"""Of rows, windows, steps."""
Few = Annotated[int, Field(le=10**5)]
"""Of what lies in memory as a whole."""
AtOnce = Annotated[int, Field(le=1024)]
"""Of processes, threads, devices."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""What every generator of random numbers takes."""
LARGEST = 1e12
Real = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
"""Of a metric, a size, a price."""
