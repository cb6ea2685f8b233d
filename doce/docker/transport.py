"""docker-py's way over a unix socket, but for one thing: a connection that is refused leaves no open socket behind.

An engine that is away is asked again and again; the garbage collector would have to close what each try left.
"""

from __future__ import annotations

import socket
from typing import Any

from docker.transport import unixconn


class Connection(unixconn.UnixHTTPConnection):
    def connect(self) -> None:
        """Raises OSError when nobody listens."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self.unix_socket)
        except OSError:
            sock.close()
            raise
        self.sock = sock


class Pool(unixconn.UnixHTTPConnectionPool):
    def _new_conn(self) -> Any:
        return Connection(self.base_url, self.socket_path, self.timeout)  # type: ignore[arg-type]


class Adapter(unixconn.UnixHTTPAdapter):
    def get_connection(self, url: Any, proxies: Any = None) -> Pool:
        with self.pools.lock:
            pool = self.pools.get(url)
            if pool is None:
                pool = self.pools[url] = Pool(url, self.socket_path, self.timeout, maxsize=self.max_pool_size)
        return pool
