"""The configuration of the web server of one project: written by doce, read by nginx.

Visitors are served from ``current``; a file that is only in the release before is served from there, so that a page loaded before
a switch still finds its parts. Of a release that is a server, visitors are taken to where the link ``to`` in its folder points. nginx
looks at every request, so the one rename of ``current`` switches that, too; a reload would close kept connections that are idle,
perhaps just as a visitor uses one. A second listener, for doce alone, answers ``/<hash>/…`` for any release, which is how a new one
is looked at before anybody else sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from doce.productions.layout import CURRENT, PLACES, PREVIOUS, TO
from doce.productions.types import TYPES

COMPRESSED = (
    "text/css text/plain text/xml text/markdown text/csv text/vtt text/calendar text/javascript application/json "
    "application/xml application/rss+xml application/atom+xml application/ld+json application/geo+json application/yaml image/svg+xml "
    "application/wasm font/ttf font/otf application/manifest+json model/gltf+json"
)
#: How long it remembers the address of a name, seconds.
REMEMBERED_S = 2
#: Folders and names that change with their content: what bundlers make.
HASHED = r"(?:/_astro/|/assets/[^/]*[.-][0-9A-Za-z_-]{8,}\.|/[^/]*\.[0-9a-f]{8,}\.)[^/]*"


@dataclass(frozen=True)
class Site:
    """What a configuration is made of. `listen` and `check` are ``address:port``."""

    root: Path
    listen: str
    check: str
    #: Releases are servers of their own; else files.
    proxied: bool = False
    #: Who knows the addresses of those servers' names; None: they have no names.
    resolver: str | None = None
    #: Whose rights the processes that read files have; None: those of whoever starts it.
    user: str | None = None


def render(site: Site) -> str:
    root, temporary = site.root, site.root / "web" / "tmp"
    folders = "\n".join(
        f"    {name}_temp_path {_quoted(temporary / name)};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""# Written by doce; changes here are written over.
{f"user {site.user};" if site.user else ""}
daemon off;
pid {_quoted(temporary / "nginx.pid")};
error_log stderr warn;
pcre_jit on;
worker_processes 2;
events {{ worker_connections 2048; }}
http {{
    types {{ {" ".join(f"{kind} {ending};" for ending, kind in TYPES.items())} }}
    default_type application/octet-stream;
    charset utf-8;
    charset_types text/css text/plain text/xml text/markdown text/csv text/vtt text/calendar text/javascript
        application/json application/xml image/svg+xml;
    server_tokens off;
    access_log off;
    sendfile on;
    keepalive_timeout 65;
    absolute_redirect off;
    gzip on;
    gzip_vary on;
    gzip_min_length 512;
    gzip_types {COMPRESSED};
{folders}
    geo $dollar {{ default "$"; }}
    map $uri $caching {{
        default "no-cache";
        "~{HASHED}$" "public, max-age=31536000, immutable";
    }}
    map $realpath_root $place {{
        "~/{PLACES}/(?<at>[^/]+)$" $at;
    }}
    server {{
        listen {site.listen};
{_proxied(site) if site.proxied else _files(root)}
    }}
    server {{
        listen {site.check};
        location ~ ^/(?<release>[0-9a-f]+)/(?<path>.*)$ {{
            alias {_looked_up(root)[:-1]}/$release/dist/$path";
            index index.html;
        }}
    }}
}}
"""


def _files(root: Path) -> str:
    return f"""        root {_looked_up(root / CURRENT / "dist")};
        index index.html;
        add_header Cache-Control $caching always;
        add_header X-Content-Type-Options nosniff always;
        error_page 404 /404.html;
        error_page 403 =404 /404.html;
        location ~ /\\.(?!well-known/) {{ return 404; }}
        location = /404.html {{ internal; try_files $uri @bare; }}
        location @bare {{ return 404; }}
        location = / {{ try_files /index.html @before; }}
        location / {{ try_files $uri $uri/ $uri.html @before; }}
        location @before {{ root {_looked_up(root / PREVIOUS / "dist")}; try_files $uri =404; }}"""


def _proxied(site: Site) -> str:
    resolver = f"resolver {site.resolver} valid={REMEMBERED_S}s ipv6=off;" if site.resolver else ""
    return f"""        {resolver}
        location / {{
            root {_looked_up(site.root / CURRENT / TO)};
            proxy_pass http://$place;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $http_connection;
            proxy_buffering off;
            proxy_read_timeout 3600s;
        }}"""


def _quoted(path: Path) -> str:
    """`path` as one word of the configuration."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _looked_up(path: Path) -> str:
    """The same where nginx looks for variables in it, and knows no other way to write a dollar."""
    return _quoted(path).replace("$", "${dollar}")
