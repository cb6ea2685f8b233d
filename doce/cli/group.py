"""The root of the commands: those of this machine, and one for each action. Actions are read only when they are needed."""

from __future__ import annotations

import difflib
import os
import sys
from functools import cached_property
from importlib import import_module
from typing import Any

import click

#: Command → module that holds it as `command`; written by hand; all but `providers` and parts of `slack` work without a running doce.
LOCAL = {
    "serve": "doce.cli.serve:serve",
    "worker": "doce.cli.serve:worker",
    "setup": "doce.cli.serve:setup",
    "demo": "doce.cli.demo:demo",
    "doctor": "doce.cli.local:doctor",
    "settings": "doce.cli.local:settings",
    "completion": "doce.cli.local:completion",
    "opencode": "doce.cli.local:opencode",
    "providers": "doce.cli.providers:providers",
    "images": "doce.cli.images:images",
    "slack": "doce.cli.slack:slack",
}
#: As a shell tells of a command that SIGPIPE ended.
BROKEN_PIPE = 141
#: What people look for first, first.
ORDER = ("demo", "serve", "setup", "new", "chat", "list", "status", "open", "events", "logs", "stop", "start", "delete")


class Words(click.Group):
    """Commands by their words; a unique beginning of one is enough, and a wrong one is answered with the nearest."""

    @cached_property
    def actions(self) -> dict[str, click.Command]:
        from doce.cli.actions import commands

        return commands()

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = {name for name, command in self.actions.items() if not command.hidden} | set(LOCAL) | set(self.commands)
        return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in LOCAL:
            module, _, name = LOCAL[cmd_name].partition(":")
            command: click.Command = getattr(import_module(module), name)
            return command
        return self.commands.get(cmd_name) or self.actions.get(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            done = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Who reads our output went away. Nothing more can be said, not even by the interpreter as it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(BROKEN_PIPE) from None
        return done

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if self.get_command(ctx, word) is None and not word.startswith("-"):
            names = sorted({*self.list_commands(ctx), *self.actions})
            begun = sorted({name for name in self.list_commands(ctx) if name.startswith(word)})
            if len(begun) != 1:
                near = begun or difflib.get_close_matches(word, names, n=2)
                hint = f" Did you mean {' or '.join(near)}?" if near else " `doce --help` lists them."
                raise click.UsageError(f"There is no command {word!r}.{hint}", ctx)
            args = [begun[0], *args[1:]]
        return super().resolve_command(ctx, args)


class Subwords(click.Group):
    """Commands under one word, as in ``doce jobs cancel``."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=2)
            hint = f" Did you mean {' or '.join(near)}?" if near else f" It has {', '.join(self.list_commands(ctx))}."
            raise click.UsageError(f"There is no command {ctx.info_name} {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)
