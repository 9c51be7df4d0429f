"""What people are told: cause, evidence, where to look, what to do."""

from __future__ import annotations

import html
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

TEST = "test"
"""The kind of a sample, which every channel is told."""
LONGEST = 1500
"""Characters of one piece of evidence."""
TWICE = "It may come twice: whoever sent it before did not come to say whether it arrived."
_CELL = '<td style="padding:2px 12px 2px 0;vertical-align:top">'


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One alert."""

    kind: str
    """What happened: one of those that a channel may be told of, or `TEST`."""
    key: str
    """What makes it this alert and no other; equal ones are sent once."""
    pipeline: str
    subject: str
    cause: str
    evidence: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    runbook: str
    """Where it says what to do."""

    @property
    def content(self) -> dict[str, Any]:
        """What is kept of it until it is sent: texts, none of them endless."""
        kept = asdict(self)
        kept["subject"] = " ".join(self.subject.split())[:200]
        kept["cause"] = self.cause[:LONGEST]
        kept["evidence"] = {name: text[:LONGEST] for name, text in self.evidence.items()}
        return kept


def title(content: Mapping[str, Any]) -> str:
    """Give the line that stands above it."""
    return f"[perennial] {content['pipeline']}: {content['subject']}"


def rows(content: Mapping[str, Any], *, unsure: bool) -> list[tuple[str, str]]:
    """Give its parts, each with a name."""
    parts = [("cause", content["cause"]), *content["evidence"].items(), *content["links"].items()]
    parts.append(("runbook", content["runbook"]))
    return [*parts, ("note", TWICE)] if unsure else parts


def as_html(content: Mapping[str, Any], *, unsure: bool) -> str:
    """Give it as a table, for an e-mail."""
    lines = "".join(
        f"<tr>{_CELL}<b>{html.escape(name)}</b></td>{_CELL}{_linked(text)}</td></tr>"
        for name, text in rows(content, unsure=unsure)
    )
    return f"<p>{html.escape(title(content))}</p><table>{lines}</table>"


def as_slack(content: Mapping[str, Any], *, unsure: bool) -> dict[str, str]:
    """Give it as Slack's incoming webhooks take it."""
    lines = [f"*{name}* {text}" for name, text in rows(content, unsure=unsure)]
    text = "\n".join([f"*{title(content)}*", *lines])
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, escaped)
    return {"text": text}


def as_json(content: Mapping[str, Any], *, unsure: bool, identity: str) -> dict[str, Any]:
    """Give it as other programs take it; the same `id` is the same alert."""
    return {"version": 1, "id": identity, "may_come_twice": unsure, **content}


def _linked(text: str) -> str:
    escaped = html.escape(text).replace("\n", "<br>")
    if text.startswith(("http://", "https://")) and " " not in text:
        return f'<a href="{escaped}">{escaped}</a>'
    return escaped
