"""A twin of Slack: its Web API, Socket Mode and signed HTTP, streams, limits, redelivery, and the people who use it.

A test drives the real bot with it and looks at what a person would see::

    async with Slack() as slack:
        client = AsyncWebClient(token=slack.token, base_url=slack.api_url)
        app = AsyncApp(client=client)
        # For Socket Mode, which asks for its address with the app's own token:
        asks = AsyncWebClient(token=slack.app.app_token, base_url=slack.api_url)
        handler = AsyncSocketModeHandler(app, slack.app.app_token, web_client=asks)
        await handler.connect_async()
        await slack.connected()

        command = await slack.slash("ada", "#sites", "/doce", "new a bakery")   # until it is acknowledged
        assert command.acked and command.seconds < 0.5
        root = await slack.until(lambda world: slack.messages("#sites"))        # woken by every change, no polling
        await slack.say("ben", "#sites", "make it blue", thread=root[0].ts)
        await slack.until(lambda world: "Done" in slack.thread("#sites", root[0].ts)[-1].shown)
        assert not slack.exceeded

It needs the extra `slack`. HTTP in place of Socket Mode: ``await slack.use_http("http://127.0.0.1:…/slack/events")``; the secret is
``slack.app.signing_secret``. Looking at it: ``python -m doce.testing.slack --port 8111``.

There are ada (who administers), ben and cleo; #general and #sites with the bot in them, and the private #secret with ada and
ben, without it. People, channels and messages go by id, name or themselves; "@doce" is one's direct conversation with the bot.

- People: `say` (files too), `edit`, `delete`, `react`, `unreact`, `slash`, `shortcut`, `click`, `submit`, `close`,
  `open_home`, `stop_stream`, `invite`, `kick`; what nobody could do in Slack raises `Impossible`.
- Looking: `thread`, `messages`, `ephemeral` (lists of `Seen`), `modal`, `home`, `calls`, `called`, `delivered`, `acks`, `exceeded`.
- Waiting: `until`, `connected`, `settled` (nothing is on its way any more). `advance(300)` lets streams die.
- Trouble: `faults.add("chat.postMessage", server_error(), times=2)`, `courier.weather` (duplicates, delays, shuffling, lost
  acknowledgements), `courier.again(delivery)`, `sockets.drop()`, `sockets.refresh()`, `requests.age`, `streams = False`.
- Rates are Slack's; ``Slack(rate=float("inf"))`` for tests of other things.
- `apply(manifest)`: from then on the app gets only what its manifest asks for.
"""

from doce.testing.slack.app import App, Token
from doce.testing.slack.courier import Delivery, Undelivered
from doce.testing.slack.faults import Fault, hang, limited, refused, reset, server_error
from doce.testing.slack.manifest import BadManifest
from doce.testing.slack.refusal import Impossible, NeverHappened, Refused
from doce.testing.slack.sight import Control, Seen, Task
from doce.testing.slack.things import Channel, File, Message, User, View, Workspace
from doce.testing.slack.twin import Slack

__all__ = [
    "App", "BadManifest", "Channel", "Control", "Delivery", "Fault", "File", "Impossible", "Message", "NeverHappened", "Refused", "Seen",
    "Slack", "Task",
    "Token", "Undelivered", "User", "View", "Workspace", "hang", "limited", "refused", "reset", "server_error",
]  # fmt: skip
