"""Files that come with messages and cannot come along: said to who sent them, and what can is asked all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from doce.projects.attachments import MAX_IMAGE, MAX_TEXT
from doce.projects.views import PromptView

from .surface_house import House, running

pytestmark = pytest.mark.slow

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000") + b"\x1f\x15\xc4\x89"


async def asked(house: House, text: str, files: list[tuple[str, bytes]]) -> PromptView:
    """The prompt of a message with files in a project's thread."""
    card, project = await house.made()
    await house.slack.say("ada", "#sites", text, thread=card.ts, files=files)
    found: list[PromptView] = await house.until(
        lambda: [one for one in house.services.prompts.page(project.id, 10, None).items if text in one.text]
    )
    return found[0]


def test_files_that_are_too_large(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        files = [("huge.png", PNG + b"\x00" * MAX_IMAGE), ("huge.txt", b"a" * (MAX_TEXT + 1)), ("notes.txt", b"warm colours")]
        prompt = await asked(house, "like these", files)
        assert [one.name for one in prompt.attachments] == ["notes.txt"]
        told = await house.told("ada", "Not everything came along")
        said = [line for line in told.shown.splitlines() if line.startswith("•")]
        assert ["huge.png" in one for one in said] == [True, False], said
        assert ["huge.txt" in one for one in said] == [False, True], said
        assert all("is larger than" in one for one in said), said

    running(scenario, tmp_path)


def test_a_download_that_is_answered_with_a_page_to_sign_in_is_no_file(tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        slack = house.slack
        token = slack.tokens[slack.token]
        token.scopes = tuple(one for one in token.scopes if one != "files:read")
        prompt = await asked(house, "with my logo", [("logo.png", PNG + b"\x00" * 40)])
        assert prompt.attachments == []
        told = await house.told("ada", "Not everything came along")
        assert "logo.png: Slack does not let me read it." in told.shown
        assert "files:read" in told.shown

    running(scenario, tmp_path)
