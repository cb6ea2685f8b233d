"""`python -m doce.testing.slack --port 8111`: a Slack to point a bot at, and a page to look at it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from pathlib import Path

from doce.testing.slack import Slack


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m doce.testing.slack", description="A twin of Slack, to point a bot at and to look at.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8111)
    parser.add_argument("--http", metavar="URL", help="the bot's request URL; without it the bot comes over Socket Mode")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="the app's manifest as JSON; without it everything is delivered")
    parser.add_argument("--no-limits", action="store_true", help="leave out Slack's rate limits")
    parser.add_argument("--no-streams", action="store_true", help="a Slack without chat.startStream")
    for name in ("bot-token", "app-token", "signing-secret"):
        parser.add_argument(f"--{name}", metavar="SECRET", help="a fixed one, so that a bot's settings outlive this process")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args()))


async def serve(options: argparse.Namespace) -> None:
    """Until it is interrupted."""
    rate = float("inf") if options.no_limits else 1.0
    async with Slack(host=options.host, port=options.port, rate=rate) as slack:
        slack.streams = not options.no_streams
        if options.manifest:
            slack.apply(json.loads(options.manifest.read_text("utf-8")))
        slack.fix(bot_token=options.bot_token, app_token=options.app_token, signing_secret=options.signing_secret)
        if options.http:
            await slack.use_http(options.http, check=False)
        print(f"Slack's twin, to look at:   {slack.url}/")
        print(f"base_url of a client:       {slack.api_url}")
        print(f"bot token:                  {slack.token}")
        print(f"app-level token:            {slack.app.app_token}")
        print(f"signing secret:             {slack.app.signing_secret}")
        print(f"client id and secret:       {slack.app.client_id} {slack.app.client_secret}")
        print(f"for doce serve:             {settings(slack)}")
        print(f"installing, with a consent: {slack.url}/oauth/v2/authorize", flush=True)
        await asyncio.Event().wait()


def settings(slack: Slack) -> str:
    """What a doce beside it is started with."""
    names = {"API_URL": slack.api_url, "BOT_TOKEN": slack.token}
    names |= {"APP_TOKEN": slack.app.app_token} if slack.app.socket else {"SIGNING_SECRET": slack.app.signing_secret}
    return " ".join(f"DOCE_SLACK_{name}={value}" for name, value in names.items())


if __name__ == "__main__":
    main()
