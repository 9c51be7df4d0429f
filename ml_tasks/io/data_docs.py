"""What validation found in a window, as one page that needs nothing from elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ml_tasks.io import objects
from ml_tasks.io.content import bytes_hash
from ml_tasks.io.expectations import LONGEST
from ml_tasks.result import Output

if TYPE_CHECKING:
    import pyarrow as pa
    from jinja2 import Template

    from ml_tasks.context import Context
    from ml_tasks.io.expectations import Finding

NUM_REASONS = 20
NUM_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Rejection:
    """What did not fit the schema for one and the same reason."""

    reason: str
    count: int
    examples: tuple[tuple[str, str], ...]
    """The first of them: address, and the thing as it came."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    """What was found in one source."""

    source: str
    staged: int
    good: int
    """Staged rows without a fault."""
    rejected: int
    """Things that did not fit the schema and were not staged."""
    quarantined: int
    """Entries in quarantine: one for each rejected thing and each fault."""
    why: str | None
    """Why the source's window is refused; `None` when it is not."""
    findings: tuple[Finding, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    """The most frequent reasons."""

    @property
    def bad_share(self) -> float:
        """Share of what came that is bad."""
        came = self.staged + self.rejected
        return (came - self.good) / came if came else 0.0


@dataclass(frozen=True, slots=True)
class DataDocs:
    """What was found in a window, whoever looked and when."""

    pipeline: str
    window: str
    tolerated: float
    """Largest share of bad rows that passes."""
    sections: tuple[Section, ...]

    @property
    def refused(self) -> bool:
        """Whether a source refuses the whole window."""
        return any(section.why for section in self.sections)

    @property
    def verdict(self) -> str:
        """Say in a word or two what became of the window."""
        if self.refused:
            return "refused"
        return "published" if any(section.good for section in self.sections) else "nothing new"

    @property
    def counts(self) -> dict[str, int]:
        """Totals over the sources."""
        return {
            "staged": sum(section.staged for section in self.sections),
            "published": sum(self.published(section) for section in self.sections),
            "quarantined": sum(section.quarantined for section in self.sections),
        }

    def published(self, section: Section) -> int:
        """Give how many rows of a source are published: none where any source is refused."""
        return 0 if self.refused else section.good

    def fate(self, section: Section) -> str:
        """Say in a word or two what became of a source's rows."""
        if section.why:
            return "refused"
        if not section.good:
            return "nothing new"
        return "held back" if self.refused else "published"


def rejections(rejected: pa.Table) -> tuple[Rejection, ...]:
    """Sum up what did not fit the schema by reason, the most frequent first.

    Args:
        rejected: `uri`, `reason` and `row` of each thing.
    """
    by_reason: dict[str, list[tuple[str, str]]] = {}
    for one in rejected.to_pylist():
        by_reason.setdefault(one["reason"], []).append((one["uri"], one["row"][:LONGEST]))
    ordered = sorted(by_reason.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return tuple(
        Rejection(reason, len(things), tuple(things[:NUM_EXAMPLES]))
        for reason, things in ordered[:NUM_REASONS]
    )


def render(report: DataDocs, *, run: str, attempt: int) -> str:
    """Give the page as HTML; whatever came in rows or names stays text."""
    return _template().render(report=report, run=run, attempt=attempt)


def write(report: DataDocs, context: Context) -> Output:
    """Write the page, and beside it the same findings as JSON, into the attempt's folder.

    Its content hash is that of the findings: who found them and when does not count.
    """
    findings = json.dumps(
        {"verdict": report.verdict, "counts": report.counts, **asdict(report)},
        sort_keys=True,
        default=str,
    )
    uri = f"{context.attempt_folder}/data_docs.html"
    objects.write_text(f"{context.attempt_folder}/data_docs.json", findings)
    objects.write_text(uri, render(report, run=context.run, attempt=context.attempt))
    return Output(uri=uri, content_hash=bytes_hash(findings.encode()))


@cache
def _template() -> Template:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("data_docs.html.jinja")
