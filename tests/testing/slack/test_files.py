"""Uploads by slack_sdk, files that people attach, and downloads with and without a token."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError

from doce.testing.slack import Slack

from .driven import client, run


async def refusal(call: Any) -> str:
    with pytest.raises(SlackApiError) as no:
        await call
    return str(no.value.response["error"])


def test_an_upload_appears_in_its_thread() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            root = await slack.say("ada", "#sites", "show me")
            done = await client(slack).files_upload_v2(
                filename="preview.png",
                content=b"\x89PNG",
                title="Preview",
                alt_txt="a site",
                channel=root.channel,
                thread_ts=root.ts,
                initial_comment="v1",
            )
            seen = slack.thread("#sites", root.ts)[1]
            assert (seen.text, seen.files, seen.subtype) == ("v1", ("Preview",), "file_share")
            got = await client(slack).files_info(file=done["files"][0]["id"])
            assert (got["file"]["size"], got["file"]["mimetype"], got["file"]["alt_txt"]) == (4, "image/png", "a site")

    run(scenario)


def test_two_files_come_in_one_message() -> None:
    async def scenario() -> None:
        async with Slack() as slack:
            files = [{"filename": "a.txt", "content": "a"}, {"filename": "b.txt", "content": "b"}]
            await client(slack).files_upload_v2(file_uploads=files, channel=slack.channel("#sites").id)
            assert [each.files for each in slack.messages("#sites")] == [("a.txt", "b.txt")]

    run(scenario)


def test_an_upload_that_is_not_what_was_announced() -> None:
    async def scenario() -> None:
        async with Slack() as slack, aiohttp.ClientSession() as session:
            web = client(slack)
            begun = await web.files_getUploadURLExternal(filename="a.txt", length=3)
            assert await refusal(web.files_completeUploadExternal(files=[{"id": begun["file_id"]}])) == "file_not_found"
            async with session.post(begun["upload_url"], data=b"four") as said:
                assert said.status == 400
            async with session.post(begun["upload_url"], data=b"abc") as said:
                assert (said.status, await said.text()) == (200, "OK - 3")
            given = {"files": [{"id": begun["file_id"]}], "channel_id": slack.channel("secret").id}
            assert await refusal(web.files_completeUploadExternal(**given)) == "channel_not_found"
            await web.files_completeUploadExternal(files=[{"id": begun["file_id"]}])
            assert await refusal(web.files_info(file="F0")) == "file_not_found"
            assert await refusal(web.files_getUploadURLExternal(filename="a", length=0)) == "invalid_arguments"

    run(scenario)


def test_what_a_person_attached_is_read_with_a_token_and_is_a_sign_in_page_without() -> None:
    async def scenario() -> None:
        async with Slack() as slack, aiohttp.ClientSession() as session:
            await slack.say("ada", "#sites", "use this logo", files=[("logo.svg", b"<svg/>"), ("notes.txt", b"blue")])
            event = slack.delivered("message")[0].event
            assert (event["subtype"], [each["name"] for each in event["files"]]) == ("file_share", ["logo.svg", "notes.txt"])
            url = event["files"][0]["url_private_download"]
            async with session.get(url, headers={"Authorization": f"Bearer {slack.token}"}) as got:
                assert (got.content_type, await got.read()) == ("image/svg+xml", b"<svg/>")
            for headers in ({}, {"Authorization": f"Bearer {slack.token_with('chat:write')}"}):
                async with session.get(url, headers=headers) as got:
                    assert (got.status, got.content_type) == (200, "text/html")
                    assert "Sign in" in await got.text()

    run(scenario)
