"""Files in requests: streamed to disk as they come, never whole in memory, and refused before they are too large."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from doce.actions.registry import Taken
from doce.errors import BadRequest, PayloadTooLarge, Unavailable
from doce.projects.incoming import Incoming, Received

FORM = "multipart/form-data"
#: What a form adds around its file, bytes.
FORM_EXTRA = 64 * 1024
#: Files that arrive at once in this process; the others wait their turn.
AT_ONCE = 16
#: How long a sender may say nothing, seconds.
SILENT_S = 60


class Receiving:
    """The files that are arriving."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._room = asyncio.Semaphore(AT_ONCE)

    async def receive(self, request: Request, taken: Taken) -> Received:
        """The file of the request, on disk. Raises BadRequest, PayloadTooLarge, Unavailable when the disk is full."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        _check_length(request, taken.most + (FORM_EXTRA if kind == FORM else 0), taken.most)
        async with self._room:
            path, file = await asyncio.to_thread(self._incoming.begin)
            try:
                with file:
                    name = await (_form if kind == FORM else _body)(request, taken.most, file)
                    size = file.tell()
                if not size:
                    raise BadRequest("There is no file in the request, or an empty one.", hint="Send its bytes as the body.")
            except BaseException as error:
                path.unlink(missing_ok=True)
                if isinstance(error, OSError):
                    raise Unavailable(
                        f"The file could not be kept: {error.strerror or 'the disk does not take it'}. Nothing was changed.",
                        hint="Free some disk space and send it again.",
                    ) from error
                raise
        return Received(Path(path), name, kind, size)


def _check_length(request: Request, most: int, told: int) -> None:
    said = request.headers.get("content-length", "")
    if said.isdigit() and int(said) > most:
        raise too_large(told)


def too_large(most: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The file is larger than {most // 1024**2} MiB.", hint="Send a smaller one.")


async def _pieces(request: Request, most: int, told: int) -> AsyncGenerator[bytes, None]:
    count = 0
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(SILENT_S):
                piece = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise BadRequest("The file stopped coming.", hint="Send it again.") from None
        count += len(piece)
        if count > most:
            raise too_large(told)
        if piece:
            yield piece


async def _body(request: Request, most: int, file: BinaryIO) -> str | None:
    async with contextlib.aclosing(_pieces(request, most, most)) as pieces:
        async for piece in pieces:
            await asyncio.to_thread(file.write, piece)
    return disposition_name(request.headers.get("content-disposition", ""))


async def _form(request: Request, most: int, file: BinaryIO) -> str | None:
    async with contextlib.aclosing(_pieces(request, most + FORM_EXTRA, most)) as pieces:
        try:
            form = await MultiPartParser(request.headers, pieces, max_files=1, max_fields=8, max_part_size=4096).parse()
        except (MultiPartException, KeyError, ValueError, LookupError) as error:
            said = error.message if isinstance(error, MultiPartException) else "it cannot be read"
            raise BadRequest(f"The form is not valid: {said}", hint="Send multipart/form-data with one file.") from None
    try:
        found = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        if not found:
            raise BadRequest("There is no file in the form.", hint="Send it as the field `file`.", details={"field": "file"})
        await asyncio.to_thread(shutil.copyfileobj, found[0].file, file)
        if file.tell() > most:
            raise too_large(most)
        return found[0].filename or None
    finally:
        await form.close()


def disposition_name(header: str) -> str | None:
    """The file name in a ``Content-Disposition``."""
    if found := re.search(r"filename\*\s*=\s*utf-8''([^;\s]+)", header, re.IGNORECASE):
        return unquote(found.group(1), errors="replace") or None
    found = re.search(r'filename\s*=\s*(?:"([^"]*)"|([^;\s]+))', header, re.IGNORECASE)
    return (found.group(1) or found.group(2)) if found else None
