"""Content types of a site's files, the same wherever it is served.

A list of our own: Debian's nginx has no ``.mjs``, and a browser runs no module without its type; Python's list depends on the machine.
"""

from __future__ import annotations

import mimetypes

#: By what a file's name ends in; anything else is ``application/octet-stream``.
TYPES = {
    "html": "text/html", "htm": "text/html", "xhtml": "application/xhtml+xml", "css": "text/css",
    "js": "text/javascript", "mjs": "text/javascript", "cjs": "text/javascript", "wasm": "application/wasm",
    "json": "application/json", "map": "application/json", "jsonld": "application/ld+json", "geojson": "application/geo+json",
    "webmanifest": "application/manifest+json", "xml": "text/xml", "rss": "application/rss+xml", "atom": "application/atom+xml",
    "yaml": "application/yaml", "yml": "application/yaml", "toml": "application/toml",
    "txt": "text/plain", "md": "text/markdown", "csv": "text/csv", "vtt": "text/vtt", "ics": "text/calendar", "vcf": "text/vcard",
    "gif": "image/gif", "jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "apng": "image/apng", "svg": "image/svg+xml",
    "webp": "image/webp", "avif": "image/avif", "jxl": "image/jxl", "ico": "image/x-icon", "bmp": "image/bmp", "tif": "image/tiff",
    "tiff": "image/tiff", "heic": "image/heic",
    "woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf", "eot": "application/vnd.ms-fontobject",
    "mp3": "audio/mpeg", "m4a": "audio/mp4", "ogg": "audio/ogg", "oga": "audio/ogg", "opus": "audio/ogg", "wav": "audio/wav",
    "flac": "audio/flac", "mp4": "video/mp4", "m4v": "video/mp4", "webm": "video/webm", "ogv": "video/ogg", "mov": "video/quicktime",
    "m3u8": "application/vnd.apple.mpegurl", "ts": "video/mp2t",
    "pdf": "application/pdf", "epub": "application/epub+zip", "rtf": "application/rtf", "zip": "application/zip",
    "gz": "application/gzip", "tar": "application/x-tar", "doc": "application/msword", "xls": "application/vnd.ms-excel",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "odt": "application/vnd.oasis.opendocument.text", "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "glb": "model/gltf-binary", "gltf": "model/gltf+json",
}  # fmt: skip


def teach() -> None:
    """Have Python's own table, in which Starlette looks, say the same."""
    for ending, kind in TYPES.items():
        mimetypes.add_type(kind, f".{ending}")
