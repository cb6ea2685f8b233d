"""`/doce …`: the words of every door, and a few that only mean something in Slack."""

from __future__ import annotations

from doce.actions import words
from doce.actions.chats import ChannelView
from doce.actions.prompts import Chat
from doce.actions.registry import ACTIONS, Call, perform, understand
from doce.auth import preferences
from doce.auth.users import Person
from doce.chats.channels import ChannelRules
from doce.chats.claims import Claim
from doce.errors import BadRequest, DoceError
from doce_slack import blocks, heard, listing, showing
from doce_slack.calls import Lost
from doce_slack.conversation import Conversation
from doce_slack.modals import Modals
from doce_slack.people import NotLinked
from doce_slack.places import may_post
from doce_slack.replies import Asker, quoted
from doce_slack.text import escaped, unescaped
from doce_slack.workspaces import KIND, Workspace

HELP = """*doce makes sites from sentences.*
`/doce new a portfolio for a ceramicist` — or just `/doce a portfolio for a ceramicist`; flags: `--name`, `--model`, `--template`
`/doce list [mine|all|running]` · `/doce open NAME` · `/doce status [NAME]` · `/doce chat NAME what to change`
`/doce deploy [NAME]` · `/doce rollback [NAME] [v2]` · `/doce versions [NAME]` · `/doce stop [NAME]` · `/doce logs [NAME]`
`/doce model NAME provider/model` · `/doce models` · `/doce verbosity quiet|normal|full`
`/doce link CODE` — who you are in doce · `/doce use NAME|none` — this channel's project
`/doce mention on|off`, `/doce allow @somebody`, `/doce deny @somebody` — who may build here (admins)
`/doce help COMMAND` — more about one. In a thread just write: `stop`, `deploy`, `help` …"""


class Commands:
    """Does what a slash command asks."""

    def __init__(self, conversation: Conversation, modals: Modals) -> None:
        self._talk, self._modals = conversation, modals
        self._services, self._do, self._people = conversation.services, conversation.do, conversation.people

    async def command(self, claim: Claim, workspace: Workspace) -> None:
        """Settles the claim in any case but a line to Slack that broke."""
        said = claim.payload
        asker = Asker(workspace, str(said["channel_id"]), str(said["user_id"]), response_url=said.get("response_url"))
        await self.run(claim, asker, unescaped(str(said.get("text") or "")).strip())

    async def run(self, claim: Claim, asker: Asker, text: str) -> None:
        """The same for a text of one's own."""
        first, rest = words.first_word(text)
        word = first.lower()
        try:
            if word == "link":
                await self._link(claim, asker, rest)
                return
            if word in ("help", "") and not (word == "" and await self._people.who(claim.team, asker.user)):
                await self._help(claim, asker, rest)
                return
            person, rules = await self._people.acting(claim.team, asker.user, asker.channel)
            if word == "":
                await self._hello(claim, asker, person)
            elif word in ("new", "create") and not rest:
                await self._new(claim, asker, person)
            elif word in _OWN:
                await _OWN[word](self, claim, asker, person, rules, rest)
            else:
                await self._any(claim, asker, person, rules, text)
        except Lost:
            raise
        except DoceError as error:
            if await self._talk.settle(claim, error.code):
                again = listing.meant(error, text)
                again += [blocks.context(quoted(f"/doce {text}"))] if len(text.split()) > 2 and not isinstance(error, NotLinked) else []
                await asker.error(error, again)

    async def _any(self, claim: Claim, asker: Asker, person: Person, rules: ChannelRules, text: str) -> None:
        parsed = await self._do(words.parse, text, Call(self._services, person), here=rules.project_id)
        name = parsed.action.name
        if name == "projects.create":
            await may_post(asker)
            await self._talk.begin.project(claim, asker, person, parsed.input, root=None, ts=None)
        elif name == "prompts.add":
            await may_post(asker)
            assert isinstance(parsed.input, Chat)
            await self._talk.begin.chat(claim, asker, person, parsed.input.project, parsed.input.text, [], root=None, ts=None)
        else:
            await self._talk.simple(claim, asker, person, parsed)

    # Projects to go on with

    async def _listed(self, claim: Claim, asker: Asker, person: Person, rules: ChannelRules, rest: str) -> None:
        which = rest.lower() or "mine"
        if which not in listing.WHICH:
            raise BadRequest("`list mine`, `list all` or `list running`?", hint="`/doce open NAME` shows one.")
        await showing.projects(self._talk, claim, asker, person, which)

    # Words of its own

    async def _link(self, claim: Claim, asker: Asker, code: str) -> None:
        if not code:
            raise BadRequest("Which code?", hint=self._people.how_to_link())
        name = await self._people.name(asker.workspace, asker.user)
        told: list[Person] = []

        def do() -> None:
            told.append(self._services.identities.redeem(code, KIND, claim.team, asker.user, name))

        if await self._talk.settle(claim, "link", do):
            await asker.tell(f"You are *{escaped(told[0].name)}* here now. `/doce new …` makes a site.")

    async def _help(self, claim: Claim, asker: Asker, topic: str) -> None:
        await self._talk.settle(claim, "help")
        text = words.help_text(topic) if topic else HELP
        await asker.tell(text, [blocks.section(f"```{escaped(text[:2900])}```" if topic else text)])

    async def _hello(self, claim: Claim, asker: Asker, person: Person) -> None:
        """The dialog for a new site; below it the help, and the latest projects."""
        await self._modals.create(asker, person, str(claim.payload.get("trigger_id")))
        await self._talk.settle(claim, "help")
        latest = (await self._do(self._services.projects.list, person.id, limit=3)).items
        states = [await self._do(showing.state_of, self._services, one) for one in latest]
        body = [blocks.section(HELP)]
        if latest:
            now = self._services.clock.now_ms()
            body += [blocks.divider(), *listing.rows(zip(latest, states, strict=True), now)]
        body += blocks.actions(blocks.button("New site", "new", style="primary"))
        await asker.tell("doce makes sites from sentences.", body)

    async def _new(self, claim: Claim, asker: Asker, person: Person) -> None:
        """A dialog, where Slack still takes one; after three seconds, a restart say, words have to do."""
        opened = await self._modals.create(asker, person, str(claim.payload.get("trigger_id")))
        if await self._talk.settle(claim, "new") and not opened:
            text = "What should it be? Say it in a sentence: `/doce new a portfolio for a ceramicist`."
            await asker.tell(text, [blocks.section(text), *blocks.actions(blocks.button("New site", "new", style="primary"))])

    async def _use(self, claim: Claim, asker: Asker, person: Person, rules: ChannelRules, rest: str) -> None:
        made = await self._change(claim, asker, person, "channels.use", project=rest or None)
        if made:
            await asker.tell(
                f"In this channel *{escaped(made.project)}* is meant when none is named."
                if made.project
                else "No project is meant by itself here."
            )

    async def _mention(self, claim: Claim, asker: Asker, person: Person, rules: ChannelRules, rest: str) -> None:
        if rest.lower() not in ("on", "off"):
            raise BadRequest("`mention on` or `mention off`?", hint="With `on`, only messages that mention me are for me in this channel.")
        if made := await self._change(claim, asker, person, "channels.set", mention=rest.lower()):
            await asker.tell(
                "Only what mentions me is for me here." if made.mention == "on" else "In my threads here every reply is for me."
            )

    async def _allow(self, claim: Claim, asker: Asker, person: Person, rules: ChannelRules, rest: str) -> None:
        await self._builders(claim, asker, person, {*rules.allowed, *_users(rest)})

    async def _deny(self, claim: Claim, asker: Asker, person: Person, rules: ChannelRules, rest: str) -> None:
        await self._builders(claim, asker, person, set(rules.allowed) - set(_users(rest)))

    async def _builders(self, claim: Claim, asker: Asker, person: Person, users: set[str]) -> None:
        made = await self._change(claim, asker, person, "channels.set", allowed=sorted(users))
        if made and made.allowed:
            await asker.tell(f"Here may build: {', '.join(f'<@{one}>' for one in made.allowed)}, and admins.")
        elif made:
            await asker.tell("Nobody is on this channel's list: everybody who is linked may build here.")

    async def _verbosity(self, claim: Claim, asker: Asker, person: Person, rules: ChannelRules, rest: str) -> None:
        if rest.lower() not in ("quiet", "normal", "full"):
            raise BadRequest(
                "`quiet`, `normal` or `full`?", hint="How much of a turn is shown: only the answer, what matters, or everything."
            )
        await self._talk.settle(claim, "verbosity", lambda: preferences.change(person.id, verbosity=rest.lower()))
        await asker.tell(f"Turns are shown {rest.lower()} from now on.")

    async def _change(self, claim: Claim, asker: Asker, person: Person, name: str, **given: object) -> ChannelView | None:
        """Change what holds in this channel; None when that was done before."""
        made: list[ChannelView] = []
        where = {"kind": KIND, "team": claim.team, "channel": asker.channel}

        def do() -> None:
            made.append(perform(ACTIONS[name], self._services, person, understand(ACTIONS[name], {**where, **given})))

        return made[0] if await self._talk.settle(claim, name, do) else None


_OWN = {
    "list": Commands._listed,
    "use": Commands._use, "mention": Commands._mention, "allow": Commands._allow, "deny": Commands._deny, "verbosity": Commands._verbosity,
}  # fmt: skip


def _users(text: str) -> list[str]:
    found = [match[1] for match in heard.USER.finditer(text)]
    if not found:
        raise BadRequest("Whom?", hint="Mention them: `allow @ada`.")
    return found
