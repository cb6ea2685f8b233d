"""What is fetched: names, versions and what their bytes must hash to."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

NODE_VERSION = "22.20.0"
#: The oldest Node of the machine that is good enough (Astro 7 wants it).
NODE_LEAST = (22, 12)
OPENCODE_VERSION = "1.18.33"
PNPM_VERSION = "10.34.9"
RIPGREP_VERSION = "1.18.0"


@dataclass(frozen=True, slots=True)
class Package:
    """An npm package that is one tarball. `integrity` is npm's own; None: not known here, npm's word is taken."""

    name: str
    version: str
    #: file in the tarball, under ``package/``
    program: str
    integrity: str | None
    untested: bool = False


PNPM = Package(
    "pnpm", PNPM_VERSION, "bin/pnpm.cjs", "sha512-9JtajqD97bRLs8DB1ldQkqU8KVDZW3rRXfEfF5dId6LeOgHAfpNOmyjOcW5RwJqUlixzBtCb4uHksYqMh2L9Mg=="
)

#: What images are made with, beside the machine's own node.
NPM = Package("npm", "10.9.4", "bin/npm-cli.js", None)
NODE_INTEGRITY: dict[str, str] = {}

_INTEGRITY = {
    "opencode-linux-x64": "sha512-q/t/3p2CTxOT9y2kvjesb/LZab2+1eqlhhWA02Be6mjTtmYtNBcBsrI5yDo4Fw7ZSPBW2oyMIGMNRqiKQjiAWw==",
    "@vscode/ripgrep-linux-x64": "sha512-mQ3bVrUpnD2vs7QT0vX90Lt0cnUq467uFtEktIdsJJmW296RoSULRGqWgzG1AKxyBpNDD6l4ZO4qKf6SgyC23Q==",
    "opencode-linux-x64-baseline": "sha512-1KQGBiiDDeL/VHHbHkOvvFo8Jr97WT5+C1tear+p7IcDTnXgVHXqIjU4O4jM4mHQzykTP2i884FCnW5LDa+zCA==",
}
#: What doce was tried on.
_TESTED = frozenset({"opencode-linux-x64", "@vscode/ripgrep-linux-x64"})


def opencode(system: str = sys.platform, machine: str = "", musl: bool | None = None) -> Package:
    """OpenCode's package for a platform, by its own naming rule."""
    name = f"opencode-{'darwin' if system == 'darwin' else 'windows' if system == 'win32' else 'linux'}-{_architecture(machine)}"
    if system == "linux" and (musl if musl is not None else platform.libc_ver()[0] != "glibc"):
        name += "-musl"
    return Package(name, OPENCODE_VERSION, "bin/opencode", _INTEGRITY.get(name), untested=name not in _TESTED)


def ripgrep(system: str = sys.platform, machine: str = "") -> Package:
    """What the agent's grep and glob tools run; without it they fail."""
    name = f"@vscode/ripgrep-{system}-{_architecture(machine)}"
    return Package(name, RIPGREP_VERSION, "bin/rg", _INTEGRITY.get(name), untested=name not in _TESTED)


def _architecture(machine: str) -> str:
    machine = (machine or platform.machine()).lower()
    return {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(machine, machine)
