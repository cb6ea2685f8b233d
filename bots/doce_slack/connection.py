"""Socket Mode: one connection, kept; it ends with an error that says what to do when Slack gives out no new one."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import aiohttp
from pydantic import SecretStr
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from doce.errors import Unavailable
from doce_slack import configured
from doce_slack.calls import Lost

logger = logging.getLogger(__name__)

CONNECT_S = 30.0


async def connected(app: AsyncApp, client: AsyncWebClient, token: SecretStr) -> None:
    """Until cancelled. Raises Unavailable when Slack does not take the token (any more), Lost when it cannot be reached.

    The SDK connects again by itself, for ever and every ten seconds; here a refusal ends it, so that the caller rests longer and longer.
    """
    handler = AsyncSocketModeHandler(app, token.get_secret_value(), web_client=client)
    line, refused = handler.client, asyncio.get_running_loop().create_future()
    ask = line.issue_new_wss_url

    async def issue() -> str:
        try:
            return await ask()
        except SlackApiError as error:
            if not refused.done():
                refused.set_result(error)
            raise

    line.issue_new_wss_url = issue  # type: ignore[method-assign]
    try:
        line.wss_uri = str((await client.apps_connections_open(app_token=token.get_secret_value()))["url"])
        async with asyncio.timeout(CONNECT_S):
            await handler.connect_async()  # type: ignore[no-untyped-call]
        logger.info("connected to Slack")
        raise await refused
    except SlackApiError as error:
        said, hint = configured.why("DOCE_SLACK_APP_TOKEN", str(error.response.get("error")))
        raise Unavailable(said, hint=hint) from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Lost(f"Slack cannot be reached ({type(error).__name__}).", hint="`doce slack check` says more.") from error
    finally:
        with contextlib.suppress(Exception):
            await handler.close_async()  # type: ignore[no-untyped-call]
        with contextlib.suppress(Exception):
            await line.aiohttp_client_session.close()
