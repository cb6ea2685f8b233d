"""What of a tar archive is written."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from doce.tarballs import unpack


def packed(*members: tuple[str, bytes | None, int]) -> tarfile.TarFile:
    """An archive of (name, content or None for a link to /etc/passwd, mode)."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, content, mode in members:
            info = tarfile.TarInfo(name)
            info.mode = mode
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if content is not None else None)
    file.seek(0)
    return tarfile.open(fileobj=file)


def test_files_under_a_folder(tmp_path: Path) -> None:
    with packed(("package/bin/x", b"run", 0o4755), ("package/a.txt", b"a", 0o600), ("other/b", b"b", 0o644)) as archive:
        unpack(archive, tmp_path, "package")
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == ["a.txt", "bin/x"]
    assert (tmp_path / "bin/x").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "a.txt").stat().st_mode & 0o7777 == 0o644


def test_nothing_outside_and_no_links(tmp_path: Path) -> None:
    target = tmp_path / "in" / "here"
    with packed(
        ("../out", b"x", 0o644), ("/tmp/doce-test-absolute", b"x", 0o644), ("a/../../out", b"x", 0o644), ("link", None, 0o777)
    ) as archive:
        unpack(archive, target)
    assert not list(tmp_path.rglob("*")) or not [path for path in tmp_path.rglob("*") if not path.is_dir()]
    assert not Path("/tmp/doce-test-absolute").exists()
