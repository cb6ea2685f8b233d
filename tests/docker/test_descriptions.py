"""What containers and images are made from; no engine is needed to look at it."""

from __future__ import annotations

import io
import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from doce.docker import compose, debian
from doce.docker.container import LAUNCH, LAUNCHER, Recipe, home, mounts
from doce.docker.debian import Root
from doce.docker.images import Image, described
from doce.docker.ownership import FALLBACK, container_user, give, known
from doce.errors import BadRequest, Unavailable
from doce.settings import Settings, load
from doce.stacks.stack import Mount, Service, Stack
from doce.toolchain.packages import Package

SECRET = "correct horse battery staple"


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    root = tmp_path / "data" / "projects" / "prj_a"
    preview = Service(
        name="preview", image="node", command=("node", "x; rm -rf /"), port=4321, host_port=41007, install=("pnpm", "install")
    )
    agent = Service(
        name="opencode", image="agent", command=("opencode", "serve"), port=3000, host_port=42007, private=True, stop_signal="SIGINT",
        secrets={"TOKEN": SecretStr(SECRET)},
    )  # fmt: skip
    web = Service(
        name="web", image="web", command=("nginx",), port=8080, host_port=43007, lasting=True,
        mounts=(Mount(root.parent.parent / "production" / "prj_a", "/srv"),),
    )  # fmt: skip
    build = Service(name="build", image="node", command=("pnpm", "build"), port=0, host_port=0, once=True)
    return Stack("prj_a", "a", root / "workspace", root / "agent", root / "logs", (preview, agent, web, build), root / "store")


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return Recipe(Settings(data=tmp_path / "data", bind="0.0.0.0"), "instance", 4242)


def test_every_container_is_hardened_whatever_it_is_for(stack: Stack, recipe: Recipe) -> None:
    for service in stack.services:
        made = recipe.of(stack, service, "doce/x", "net")
        assert made["user"] == "4242:4242"
        assert made["cap_drop"] == ["ALL"]
        assert made["security_opt"] == ["no-new-privileges:true"]
        assert made["read_only"] is True
        assert made["init"] is True
        assert made["mem_limit"] == made["memswap_limit"] == "1536m"
        assert made["nano_cpus"] == 2_000_000_000
        assert made["pids_limit"] == 512
        assert not {"privileged", "pid_mode", "ipc_mode", "userns_mode", "devices", "cap_add", "network_mode"} & made.keys()
        assert made["entrypoint"][:2] == ["/bin/bash", LAUNCH], "the words of a command stay words"
        assert made["command"] == list(service.command)
        assert not any("docker.sock" in source for source in [mount["source"] for mount in made["mounts"]])


def test_a_registry_is_what_stands_before_the_name_of_an_image() -> None:
    for good in ("registry.example.org", "registry.example.org:5000/team", "127.0.0.1:5000/a/b-c"):
        assert load({"DOCE_REGISTRY": good}).registry == good
    for wrong in ("http://registry.example.org", "registry.example.org/", "registry.example.org/Team", "a b", "host:port"):
        with pytest.raises(BadRequest, match=r"DOCE_REGISTRY is not valid: '.*' is no registry"):
            load({"DOCE_REGISTRY": wrong})


def test_only_its_own_folders_are_mounted(stack: Stack) -> None:
    preview, agent, web, _build = stack.services
    seen = {service.name: {str(mount.source): mount.read_only for mount in mounts(stack, service)} for service in (preview, agent, web)}
    launcher = {str(LAUNCHER): True}
    assert seen["preview"] == {**launcher, str(stack.workspace): False, str(stack.store): False}
    assert seen["opencode"] == {**launcher, str(stack.workspace): False, str(stack.home): False, str(stack.store): False}
    assert seen["web"] == {**launcher, str(stack.workspace.parents[2] / "production" / "prj_a"): True}
    assert home(stack, preview) == stack.store, "the conversations are the agent's alone"


def test_the_agents_port_is_for_this_machine_and_a_build_has_none(stack: Stack, recipe: Recipe) -> None:
    ports = {service.name: recipe.of(stack, service, "x", "net")["ports"] for service in stack.services}
    assert ports["preview"] == {"4321/tcp": ("0.0.0.0", 41007)}
    assert ports["opencode"] == {"3000/tcp": ("127.0.0.1", 42007)}
    assert ports["build"] == {}
    policies = {service.name: recipe.of(stack, service, "x", "net")["restart_policy"]["Name"] for service in stack.services}
    assert policies == {"preview": "no", "opencode": "no", "web": "always", "build": "no"}
    assert recipe.of(stack, stack.services[1], "x", "net")["stop_signal"] == "SIGINT"


def test_compose_finds_it_and_people_read_it_without_secrets(stack: Stack, recipe: Recipe) -> None:
    labels = compose.labels("instance", stack, stack.services[0], "doce/node")
    assert labels["com.docker.compose.project"] == "doce_prj_a"
    assert labels["com.docker.compose.service"] == "preview"
    assert labels["com.docker.compose.container-number"] == "1"
    assert labels["com.docker.compose.oneoff"] == "False"
    assert labels["com.docker.compose.config-hash"] == stack.services[0].fingerprint()
    assert compose.Labelled.of(labels) == compose.Labelled("prj_a", "preview", stack.services[0].fingerprint(), 41007)
    text = compose.render(stack, {service.name: recipe.of(stack, service, f"doce/{service.image}", "net") for service in stack.services})
    assert text.startswith("# Written by doce")
    assert SECRET not in text
    shown = json.loads(text.partition("\n")[2])
    assert shown["name"] == "doce_prj_a"
    assert shown["services"]["opencode"]["environment"]["TOKEN"] == "***"
    assert shown["services"]["preview"]["ports"] == ["0.0.0.0:41007:4321"]
    assert SECRET not in json.dumps(compose.labels("instance", stack, stack.services[1], "doce/agent"))
    priced = replace(stack.services[0], command=("echo", "$HOME costs ${PRICE}"))
    text = compose.render(replace(stack, services=(priced,)), {"preview": recipe.of(stack, priced, "doce/node", "net")})
    assert '"echo",\n        "$$HOME costs $${PRICE}"' in text, "Compose would look for variables"


def test_an_image_is_built_again_when_what_it_is_made_of_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "CERTIFICATES", tmp_path / "ca.crt")
    image = Image("x", "doce/x", ("bash",), (Package("pnpm", "1.0", "bin/pnpm.cjs", None),))
    assert image.inputs == replace(image).inputs
    others = [
        replace(image, debian=("bash", "git")),
        replace(image, npm=(Package("pnpm", "1.1", "bin/pnpm.cjs", None),)),
    ]
    assert len({image.inputs, *(other.inputs for other in others)}) == 3
    (tmp_path / "ca.crt").write_text("a certificate authority of the site's own")
    assert replace(image).inputs != image.inputs
    node, agent, web = (described(Settings())[name] for name in ("node", "agent", "web"))
    assert set(node.debian) <= set(agent.debian), "they share node_modules, so one libc"
    assert "nginx-light" in web.debian


def test_a_root_has_no_set_uid_bits_and_the_same_bytes_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "CERTIFICATES", tmp_path / "none")

    def make(path: Path) -> bytes:
        with Root(path) as root:
            root.begin()
            member = tarfile.TarInfo("./bin/su")
            member.size, member.mode, member.uid, member.mtime = 2, 0o4755, 12, 99
            root._take(member, io.BytesIO(b"su"))
            device = tarfile.TarInfo("./dev/mem")
            device.type = tarfile.CHRTYPE
            root._take(device, None)
            root.file("usr/bin/su", b"another")
            root.finish()
        return path.read_bytes()

    assert make(tmp_path / "a.tar") == make(tmp_path / "b.tar")
    with tarfile.open(tmp_path / "a.tar") as archive:
        members = {member.name: member for member in archive}
        assert (members["usr/bin/su"].mode, members["usr/bin/su"].uid, members["usr/bin/su"].mtime) == (0o755, 0, 0)
        assert archive.extractfile("usr/bin/su").read() == b"su"  # type: ignore[union-attr]
        assert members["bin"].linkname == "usr/bin"
        assert not [name for name, member in members.items() if member.isdev()]
        assert b"doce:x:1000:1000" in archive.extractfile("etc/passwd").read()  # type: ignore[union-attr]


def test_elsewhere_than_on_debian_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian.shutil, "which", lambda name: None if name == "dpkg-deb" else "/usr/bin/apt-get")
    with pytest.raises(Unavailable, match="dpkg-deb is not on this machine") as caught:
        debian.needs()
    assert "DOCE_NODE_IMAGE" in str(caught.value.hint)


def test_containers_are_never_root(tmp_path: Path) -> None:
    assert container_user(tmp_path, 77) == 77
    assert container_user(tmp_path, None) == (tmp_path.stat().st_uid or FALLBACK)
    assert container_user(Path("/"), None) == FALLBACK
    with pytest.raises(ValueError):
        Settings(container_uid=0)
    assert known(FALLBACK, tmp_path) is None
    listed = known(4242, tmp_path)
    assert listed
    assert "doce:x:4242:4242:" in listed.read_text()
    assert listed.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_files_are_given_and_what_links_lead_to_is_not(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    for made in (outside, folder / "in"):
        made.mkdir(parents=True)
    (outside / "file").touch()
    (folder / "in" / "file").touch()
    (folder / "in" / "link").symlink_to(outside / "file")
    (folder / "out").symlink_to(outside)
    give(folder, 4242)
    give(tmp_path / "never was", 4242)
    assert {path.lstat().st_uid for path in (folder, folder / "in", folder / "in" / "file", folder / "out")} == {4242}
    assert {outside.stat().st_uid, (outside / "file").stat().st_uid} == {0}
