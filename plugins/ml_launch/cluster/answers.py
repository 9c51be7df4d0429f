"""Answers of the Kubernetes API to an asynchronous client, as the JSON that it writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
from kubernetes_asyncio import client
from kubernetes_asyncio.client.exceptions import ApiException

from ml_launch.cluster.lines import Pieces
from ml_launch.cluster.refusal import FORBIDDEN, RefusedError, said

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

REDIRECT = 300
FAULTS = (ApiException, aiohttp.ClientError, TimeoutError)
"""Of which the next answer may have none."""


def unbounded() -> client.ApiClient:
    """Give a client with as many connections as it is asked for: each log that is followed has one.

    By default it has a hundred, and whoever wants one more waits for a pod to end.
    """
    given = client.Configuration.get_default_copy()
    given.connection_pool_maxsize = 0  # what aiohttp calls no limit
    return client.ApiClient(given)


async def read(call: Callable[..., Any], *args: Any, **rest: Any) -> dict[str, Any]:
    """Give an answer that is one document."""
    answer = await asked(call, *args, **rest)
    found: dict[str, Any] = json.loads(await answer.read())
    return found


async def asked(call: Callable[..., Any], *args: Any, **rest: Any) -> Any:
    """Give an answer that is still to be read.

    Raises:
        RefusedError: It may not be asked.
        ApiException: The answer is another fault; the client itself then looks at no status.
    """
    answer = await call(*args, **rest, _preload_content=False)
    if answer.status < REDIRECT:
        return answer
    told = said(await answer.read(), answer.reason)
    if answer.status == FORBIDDEN:
        raise RefusedError(answer.status, told)
    raise ApiException(status=answer.status, reason=told)


async def lines(answer: Any) -> AsyncIterator[str]:
    """Give the lines of an answer as they come."""
    pieces = Pieces()
    async for piece in answer.content.iter_any():
        for line in pieces.take(piece):
            yield line
    for line in pieces.end():
        yield line
