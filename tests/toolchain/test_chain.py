from __future__ import annotations

import io
import os
import tarfile
import threading
from pathlib import Path

import pytest

from doce.errors import Unavailable
from doce.settings import load, machine_path
from doce.toolchain import Toolchain, chain, packages
from doce.toolchain.packages import Package


@pytest.mark.parametrize(
    ("system", "machine", "musl", "name", "untested"),
    [
        ("linux", "x86_64", False, "opencode-linux-x64", False),
        ("linux", "aarch64", False, "opencode-linux-arm64", True),
        ("linux", "x86_64", True, "opencode-linux-x64-musl", True),
        ("darwin", "arm64", None, "opencode-darwin-arm64", True),
        ("darwin", "x86_64", None, "opencode-darwin-x64", True),
    ],
)
def test_the_package_of_every_platform_follows_one_rule(system: str, machine: str, musl: bool | None, name: str, untested: bool) -> None:
    package = packages.opencode(system, machine, musl)
    assert (package.name, package.untested) == (name, untested)
    assert (package.integrity is None) == untested


def program(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def tools(tmp_path: Path, *, node: str = "v22.20.0", npm: str = "exit 1") -> Toolchain:
    """A machine with this node and this npm and nothing else."""
    program(tmp_path / "bin", "node", f"echo {node}")
    program(tmp_path / "bin", "npm", npm)
    return Toolchain(tmp_path / "cache", path=f"{tmp_path / 'bin'}:/usr/bin:/bin")


def tarball(path: Path, content: bytes = b"#!/bin/sh\necho hi\n") -> None:
    with tarfile.open(path, "w:gz") as archive:
        for name in ("package/bin/opencode", "../outside", "package/../../outside", "package/bin/pnpm.cjs"):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def packing(tmp_path: Path) -> str:
    """An npm that packs our tarball, and notes that it did."""
    tarball(tmp_path / "it.tgz")
    return f'while [ "$1" != --pack-destination ]; do shift; done\necho x >> {tmp_path}/packed\ncp {tmp_path}/it.tgz "$2/it.tgz"'


def test_an_old_node_is_not_taken(tmp_path: Path) -> None:
    assert tools(tmp_path, node="v20.20.2").find("node") is None
    found = tools(tmp_path, node="v24.1.0").find("node")
    assert found is not None
    assert (found.version, found.source) == ("24.1.0", "machine")


def test_what_is_fetched_is_checked_and_thrown_away_when_wrong(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="its hash differs"):
        tools(tmp_path, npm=packing(tmp_path)).ensure("pnpm")
    assert not (tmp_path / "cache" / f"pnpm-{packages.PNPM_VERSION}").exists()


def test_it_is_fetched_once_however_many_ask_and_nothing_lands_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "opencode", lambda: Package("opencode-test", "1", "bin/opencode", None, untested=True))
    chains = [tools(tmp_path, npm=packing(tmp_path)) for _ in range(4)]
    threads = [threading.Thread(target=one.ensure, args=("opencode",)) for one in chains]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = chains[0].find("opencode")
    assert found is not None
    assert os.access(found.path, os.X_OK)
    assert found.untested
    assert (tmp_path / "packed").read_text().count("x") == 1
    assert not (tmp_path / "cache" / "outside").exists()
    assert str(tmp_path / "cache" / "bin") in chains[0].bin_path()
    assert (tmp_path / "cache" / "bin" / "opencode").resolve() == found.path


def test_no_network_says_what_to_do(tmp_path: Path) -> None:
    broken = tools(tmp_path, npm="echo 'npm error code ENOTFOUND' >&2\nexit 1")
    with pytest.raises(Unavailable, match="ENOTFOUND") as caught:
        broken.ensure("opencode")
    assert "network" in (caught.value.hint or "")


def test_a_full_disk_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(chain, "unpack", full)
    monkeypatch.setattr(packages, "opencode", lambda: Package("opencode-test", "1", "bin/opencode", None))
    with pytest.raises(Unavailable, match="No space left") as caught:
        tools(tmp_path, npm=packing(tmp_path)).ensure("opencode")
    assert "DOCE_CACHE" in (caught.value.hint or "")


def test_fetching_sees_nothing_of_doces_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCE_OPENROUTER_KEY", "sk-secret")
    npm = f"env > {tmp_path}/seen\nexit 1"
    with pytest.raises(Unavailable):
        tools(tmp_path, npm=npm).ensure("opencode")
    assert "sk-secret" not in (tmp_path / "seen").read_text()


@pytest.mark.network
@pytest.mark.slow
def test_the_real_ones_run(tmp_path: Path) -> None:
    import subprocess

    tools = Toolchain(load().cache, path=machine_path()).ensure("node", "opencode", "pnpm", "rg")
    for name in ("node", "rg"):
        said = subprocess.run([str(tools[name].path), "--version"], capture_output=True, text=True, check=True).stdout
        assert said.strip()
