from __future__ import annotations

import random
import socket
import threading

import peewee
import pytest

from doce.db.connection import database
from doce.db.models import Port
from doce.errors import Unavailable
from doce.ports import is_free, move, release, reserve

#: Below the ports that connections are given, one of which may be in use just now.
SPAN = (20_100, 20_107)


def test_the_same_service_keeps_its_port_until_released(db: peewee.SqliteDatabase) -> None:
    port = reserve("a", "preview", SPAN)
    assert reserve("a", "preview", SPAN) == port
    assert reserve("a", "opencode", SPAN) != port
    release("a")
    assert Port.select().count() == 0


def test_a_port_that_another_program_has_is_skipped(db: peewee.SqliteDatabase) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", SPAN[0]))
        other.listen()
        given = {reserve(f"p{number}", "preview", SPAN, rng=random.Random(number)) for number in range(7)}
        assert SPAN[0] not in given
        assert len(given) == 7
        with pytest.raises(Unavailable, match="20100 to 20107"):
            reserve("late", "preview", SPAN)


def test_move_gives_another_one(db: peewee.SqliteDatabase) -> None:
    port = reserve("a", "preview", SPAN)
    moved = move("a", "preview", SPAN)
    assert moved != port
    assert reserve("a", "preview", SPAN) == moved


def test_many_threads_never_get_the_same(db: peewee.SqliteDatabase) -> None:
    given: list[int] = []

    def take(number: int) -> None:
        given.append(reserve(f"p{number}", "preview", (45_200, 45_299)))
        database.close()

    threads = [threading.Thread(target=take, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(given)) == 16


def test_a_reservation_that_is_rolled_back_never_was(db: peewee.SqliteDatabase) -> None:
    kept = reserve("a", "preview", SPAN)
    with database.atomic() as transaction:
        reserve("b", "preview", SPAN)
        release("a")
        transaction.rollback()
    assert [(row.project_id, row.port) for row in Port.select()] == [("a", kept)]


def test_a_port_is_free_once_nobody_listens_on_it() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            connection, _ = other.accept()
            assert not is_free(port)
            # The server's side closes first: its port goes through TIME_WAIT, which must not count as taken.
            connection.close()
    assert is_free(port)
