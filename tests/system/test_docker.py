"""The loop in containers, and an agent that means harm: real engine, real OpenCode, the rehearsal model's shell."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from doce.client.reading import Event
from doce.docker.compose import PROJECT, container_name
from doce.docker.engine import Engine

from .conftest import docked
from .house import House, check_log, ended_prompt

# Several start a doce, images and agents of their own, on a machine that may be slow.
pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def home(images: None, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with docked(
        tmp_path_factory.mktemp("docked") / "data", cache, DOCE_OPENAI_BASE_URL="http://127.0.0.1:9/v1", DOCE_OPENAI_KEY=KEY
    ) as made:
        yield made


@pytest.fixture(scope="module")
def site(home: House) -> str:
    return home.create("a lighthouse museum with a gallery")[0]


KEY = "sk-the-key-of-a-provider-0123456789"


@pytest.fixture
def client(engine: None) -> Iterator[Any]:
    with contextlib.closing(Engine()) as connection:
        yield connection.client


def shell(home: House, project: str, command: str) -> str:
    """What a command said that the agent ran in its container. Asked for permission, a careless person says yes."""
    prompt = home.doce.chat(project, f"[[rehearse run: {command}]]")

    def over(event: Event) -> bool:
        if event.type == "chat.permission.requested":
            home.doce.answer_permission(project, event.payload["requestId"], "once")
        return ended_prompt(event) and event.prompt_id == prompt["id"]

    events = home.until(project, over, after=prompt["seq"])
    assert events[-1].type == "chat.prompt.completed", events[-1].payload
    finished = [event.payload for event in events if event.type == "chat.tool.finish" and event.payload["name"] == "bash"]
    return str(finished[-1]["output"])


#: Asks for a thousand processes, and tells how many it was refused.
FORKS = (
    'const {spawn} = require("child_process"); let refused = 0;'
    'for (let i = 0; i < 1000; i++) spawn("sleep", ["3"]).on("error", () => refused++);'
    'setTimeout(() => { console.log("refused", refused); process.exit() }, 2500)'
)


#: Folders in folders, in a workspace.
DIG = 'const fs = require("fs"); let n = 0;for (; n < 3000; n++) { fs.mkdirSync("d"); process.chdir("d"); }console.log("dug", n)'


def left_of(client: Any, project: str) -> list[str]:
    label = {"label": f"{PROJECT}={project}"}
    return [one.name for one in client.containers.list(all=True, filters=label)] + [one.name for one in client.networks.list(filters=label)]


def test_a_sentence_becomes_a_site_in_containers_of_its_own(home: House, site: str, client: Any) -> None:
    assert "Lighthouse" in home.page(site)
    prompt, events = home.ask(site, "make it dark and add a price list")
    check_log(events)
    assert prompt["state"] == "completed"
    assert "Prices" in home.page(site)
    for service in ("preview", "opencode"):
        made = client.containers.get(container_name(site, service)).attrs
        host = made["HostConfig"]
        assert made["Config"]["User"].split(":")[0] not in ("", "0", "root")
        assert (host["CapDrop"], host["ReadonlyRootfs"], host["Privileged"]) == (["ALL"], True, False)
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Memory"] == 1536 * 1024 * 1024
        assert host["PidsLimit"] == 512
        assert {port["HostIp"] for ports in host["PortBindings"].values() for port in ports} == {"127.0.0.1"}
        mounted = {mount["Source"] for mount in made["Mounts"]}
        assert not any("docker.sock" in source for source in mounted)
        root = home.folder / "projects" / site
        assert {Path(source).relative_to(root).parts[0] for source in mounted if Path(source).is_relative_to(root)} <= {
            "workspace",
            "agent",
            "store",
        }
    written = (home.folder / "projects" / site / "compose.yaml").read_text()
    assert "***" in written
    assert "dgw-" not in written


def test_an_agent_is_nobody_and_sees_nothing_of_this_machine(home: House, site: str) -> None:
    data = home.folder
    assert "uid=0" not in shell(home, site, "id")
    status = shell(home, site, "cat /proc/self/status")
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    for secret in ("db.sqlite", "secret.key", "cli.json", "serve.log"):
        assert (data / secret).exists()
        assert "No such file" in shell(home, site, f"cat {data / secret}")
    assert shell(home, site, f"ls {data}/projects").split() == [site]
    assert "No such file" in shell(home, site, "ls /var/run/docker.sock /run/docker.sock")
    assert KEY not in shell(home, site, "env; cat /proc/*/environ")
    assert "Read-only file system" in shell(home, site, "touch /usr/bin/mine")
    said = shell(home, site, "mount -t tmpfs none /mnt; su -c id; unshare -r id; chroot / id; mknod /tmp/d b 8 0")
    assert "uid=0" not in said
    assert shell(home, site, "find / -xdev -perm /6000 -type f 2>/dev/null | wc -l").split()[-1] == "0"


def test_an_agent_reaches_neither_doce_nor_another_project(home: House, site: str, client: Any) -> None:
    other, _ = home.create("a flower shop")
    try:
        (address,) = [
            net["IPAddress"]
            for net in client.containers.get(container_name(other, "preview")).attrs["NetworkSettings"]["Networks"].values()
        ]
        asked = f"curl -s -m 3 -o /dev/null -w '%{{http_code}}' http://{address}:4321/"
        assert "200" not in shell(home, site, asked)
        port = home.doce.project(other)["previewPort"]
        agent = home.doce.project(other)["opencodePort"]
        for target in (f"host.docker.internal:{port}", f"host.docker.internal:{agent}", f"host.docker.internal:{home.port}"):
            assert "000" in shell(home, site, f"curl -s -m 3 -o /dev/null -w '%{{http_code}}' http://{target}/api/health")
        # The gateway is all there is, and it knows nothing but models.
        gateway = shell(home, site, "echo $OPENCODE_CONFIG_CONTENT | grep -o 'http://host.docker.internal:[0-9]*' | head -1").strip()
        assert gateway.startswith("http://host.docker.internal:")
        assert "401" in shell(home, site, f"curl -s -m 3 -o /dev/null -w '%{{http_code}}' {gateway}/v1/models")
        assert "404" in shell(home, site, f"curl -s -m 3 -o /dev/null -w '%{{http_code}}' {gateway}/api/health")
    finally:
        home.doce.delete(other)
        home.until(other, lambda event: event.type == "project.deleted", timeout_s=30)


def test_an_agent_cannot_make_doce_run_anything(home: House, site: str, tmp_path: Path) -> None:
    """Through the workspace's repository, its links, its scripts and its files: doce keeps the workspace after every turn."""
    mark = tmp_path / "owned"
    trap = home.folder / "projects" / site / "workspace" / "trap.sh"
    shell(home, site, f"printf '%s' '#!/bin/sh{chr(92)}ntouch {mark}{chr(92)}n' > trap.sh && chmod +x trap.sh && ls")
    for line in (
        "mkdir -p .git/hooks && for h in pre-commit post-commit post-index-change fsmonitor-watchman; do cp trap.sh .git/hooks/$h; done",
        f"git config core.fsmonitor {trap} && git config core.sshCommand {trap} && git config core.hooksPath .git/hooks",
        f"git config filter.x.clean {trap} && git config filter.x.smudge {trap} && echo '* filter=x' > .gitattributes",
        "ln -sf /etc/passwd public/passwd.txt && ln -sfn / public/root && ln -sfn ../../.. up",
        'echo {"\\"scripts\\"":{"\\"preinstall\\"":"\\"./trap.sh\\"","\\"dev\\"":"\\"./trap.sh\\""}} > package.json',
        "mkdir -p public/$(printf 'a%.0s' {1..200}) && touch 'public/-rf' \"public/$(printf 'x\\ny')\"",
    ):
        shell(home, site, line)
    prompt, _ = home.ask(site, "[[rehearse only: now doce keeps the workspace]]")
    assert prompt["state"] == "completed"
    home.doce.request("POST", f"/api/projects/{site}/restart")
    home.until(site, lambda event: event.type == "project.status" and event.payload["status"] == "running", after=prompt["seq"])
    assert not mark.exists()
    kept = subprocess.run(
        ["git", f"--git-dir={home.folder / 'projects' / site / 'history.git'}", "log", "--format=%s", "-5"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert kept.stdout.strip()
    # And the site still answers, without what the links point at.
    assert httpx.get(f"{home.doce.project(site)['previewUrl']}passwd.txt", trust_env=False).status_code in (403, 404)


def test_an_agent_cannot_reach_out_through_its_home(home: House, site: str) -> None:
    """doce fills it before each start, and is root in most containers of its own."""
    victims = [home.folder / "db.sqlite", home.folder / "secret.key"]
    before = victims[1].read_bytes()
    config = "$HOME/.config/opencode"
    shell(home, site, f"rm -f {config}/package.json {config}/package-lock.json {config}/.gitignore; echo done")
    shell(home, site, f"ln -s {victims[0]} {config}/package.json; ln -s {victims[1]} {config}/package-lock.json; echo done")
    shell(home, site, f"ln -s {home.folder}/planted {config}/.gitignore; ls -la {config}")
    prompt, _ = home.ask(site, "[[rehearse only: now doce keeps the workspace]]")
    assert prompt["state"] == "completed"
    home.doce.request("POST", f"/api/projects/{site}/restart")
    home.until(site, lambda event: event.type == "project.status" and event.payload["status"] == "running", after=prompt["seq"])
    assert victims[1].read_bytes() == before
    assert victims[0].read_bytes().startswith(b"SQLite format 3")
    assert not (home.folder / "planted").exists()
    prompt, _ = home.ask(site, "[[rehearse only: still here]]")
    assert prompt["state"] == "completed"


def test_an_agent_cannot_change_what_doce_runs_for_it(home: House, site: str, client: Any) -> None:
    def described() -> dict[str, Any]:
        found = {}
        for service in ("preview", "opencode"):
            made = client.containers.get(container_name(site, service)).attrs
            mounts = sorted((one["Source"], one["Destination"], one["RW"]) for one in made["Mounts"])
            limits = {name: made["HostConfig"][name] for name in ("CapDrop", "Memory", "PidsLimit", "Privileged", "PortBindings", "Binds")}
            found[service] = (
                made["Config"]["Entrypoint"],
                made["Config"]["Cmd"],
                made["Config"]["Image"],
                made["Config"]["User"],
                mounts,
                limits,
            )
        return found

    before, shown = described(), (home.folder / "projects" / site / "compose.yaml").read_text()
    workspace = home.folder / "projects" / site / "workspace"
    for name, text in (
        ("doce.toml", 'image = "evil"\\n[dev]\\ncommand = ["sh", "-c", "id"]\\nport = 1'),
        ("compose.yaml", "services: {preview: {image: evil, privileged: true}}"),
        (".env", "DOCE_RUNTIME=process"),
        ("opencode.json", "{}"),
    ):
        shell(home, site, f"printf '{text}' > {name} && ls -a")
        assert (workspace / name).exists()
    for place in (f"{workspace.parent}/compose.yaml", f"{workspace.parent}/history.git", "/opt/doce/launch.sh", "/etc/passwd"):
        said = shell(home, site, f"echo evil >> {place}; echo left with $?")
        assert "left with 0" not in said, place
    after = max(event.seq for event in home.doce.events(site, follow=False))
    home.doce.request("POST", f"/api/projects/{site}/restart")
    home.until(site, lambda event: event.type == "project.status" and event.payload["status"] == "running", after=after)
    assert described() == before
    assert (home.folder / "projects" / site / "compose.yaml").read_text() == shown


@pytest.mark.nightly
def test_a_user_that_the_images_do_not_know(images: None, cache: Path, tmp_path: Path) -> None:
    """As on a machine whose person is not the first one."""
    with docked(tmp_path / "data", cache, DOCE_CONTAINER_UID="1234") as home:
        site, _ = home.create("a tea shop with prices")
        assert "Tea" in home.page(site)
        said = shell(home, site, "id -u; whoami; node -p 'os.userInfo().username'")
        assert said.split() == ["1234", "doce", "doce"]
        assert (home.folder / "projects" / site / "workspace" / "public" / "index.html").stat().st_uid == 1234
        home.doce.delete(site)
        home.until(site, lambda event: event.type == "project.deleted", timeout_s=30)


def test_an_agent_cannot_exhaust_the_machine(home: House, site: str) -> None:
    memory = shell(home, site, "node -e 'const a=[];for(;;)a.push(Buffer.alloc(5e7,1))' ; echo ended $?")
    assert "ended 0" not in memory
    assert "ended" in memory
    said = shell(home, site, f"node -e '{FORKS}'")
    assert int(said.split("refused")[-1].split()[0]) > 100
    prompt, _ = home.ask(site, "[[rehearse only: still here]]")
    assert prompt["state"] == "completed"


def test_a_container_that_dies_is_seen_at_once_and_comes_back(home: House, site: str, client: Any) -> None:
    home.ask(site, "[[rehearse only: before]]")
    preview, agent = (client.containers.get(container_name(site, service)) for service in ("preview", "opencode"))
    before = preview.attrs["State"]["StartedAt"]
    cursor = max(event.seq for event in home.doce.events(site, follow=False))
    began = time.monotonic()
    agent.kill()
    home.until(
        site, lambda event: event.type == "job.state" and event.payload["jobType"] == "docker.ensureRunning", after=cursor, timeout_s=15
    )
    assert time.monotonic() - began < 4, "seen within 2 s, begun again after the first pause of 1 s"
    home.until(site, lambda event: event.type == "project.status" and event.payload["status"] == "running", after=cursor)
    preview.reload()
    assert preview.attrs["State"]["StartedAt"] == before, "the preview was left alone"
    prompt, _ = home.ask(site, "[[rehearse only: after]]")
    assert prompt["state"] == "completed"


def compose() -> list[str]:
    """Compose as it is here: the engine's plugin, or the program of its own that Debian 12 has."""
    for words in (["docker", "compose"], ["docker-compose"]):
        with contextlib.suppress(FileNotFoundError):
            if subprocess.run([*words, "version"], capture_output=True, check=False).returncode == 0:
                return words
    pytest.skip("NO COMPOSE here: Debian's package docker-compose is one")


def test_compose_commands_work_on_it(home: House, site: str, client: Any, tmp_path: Path) -> None:
    """And by the file beside the workspace: it is valid, and says what runs."""
    file, program = home.folder / "projects" / site / "compose.yaml", compose()
    if program == ["docker-compose"]:
        # Version 1 knows all of it but the name, which is given anyway.
        described = json.loads(file.read_text().partition("\n")[2])
        assert described.pop("name") == f"doce_{site}"
        file = tmp_path / "compose.yaml"
        file.write_text(json.dumps(described))

    def said(*words: str) -> str:
        words = (*program, "-p", f"doce_{site}", "-f", str(file), *words)
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert set(said("config", "--services").split()) == {"preview", "opencode"}
    agent = container_name(site, "opencode")
    assert {client.containers.get(container_name(site, service)).id for service in ("preview", "opencode")} == set(said("ps", "-q").split())
    assert "opencode server listening" in said("logs", "opencode")
    after = max(event.seq for event in home.doce.events(site, follow=False))
    said("stop", "opencode")
    home.until(site, lambda event: event.type == "job.state" and event.payload["state"] == "succeeded", after=after)
    assert client.containers.get(agent).status == "running", "doce has it run again"


def test_an_agent_that_fills_the_disk_is_stopped(images: None, cache: Path, tmp_path: Path, client: Any) -> None:
    with docked(tmp_path / "data", cache, DOCE_PROJECT_DISK="200", DOCE_DISK_S="0.5") as home:
        project, events = home.create("[[rehearse only: hello]] a page about milk", template="static")
        home.doce.chat(project, "[[rehearse run: head -c 300000000 /dev/zero > big; exec tail -f /dev/null]]")
        seen = home.until(
            project, lambda event: event.type == "project.status" and event.payload["status"] == "error", after=events[-1].seq
        )
        assert "MiB of disk; 200 is the most" in seen[-1].payload["error"]
        home.until(project, ended_prompt, after=events[-1].seq)
        bell = threading.Event()
        for _ in range(100):
            if client.containers.get(container_name(project, "opencode")).status == "exited":
                break
            bell.wait(0.1)
        else:
            raise AssertionError("the agent still runs")
        (home.folder / "projects" / project / "workspace" / "big").unlink()
        home.doce.start(project)
        home.until(project, lambda event: event.type == "project.status" and event.payload["status"] == "running", after=seen[-1].seq)


def test_stop_start_and_delete_leave_nothing_behind(home: House, site: str, client: Any) -> None:
    after = max(event.seq for event in home.doce.events(site, follow=False))
    home.doce.request("POST", f"/api/projects/{site}/halt")
    home.until(site, lambda event: event.type == "project.status" and event.payload["status"] == "stopped", after=after)
    assert {one.status for one in client.containers.list(all=True, filters={"label": f"{PROJECT}={site}"})} == {"exited"}
    after = max(event.seq for event in home.doce.events(site, follow=False))
    home.doce.start(site)
    home.until(site, lambda event: event.type == "project.status" and event.payload["status"] == "running", after=after)
    assert "Lighthouse" in home.page(site)
    # Folders deeper than any path: what would walk them by recursion could never remove the project.
    dug = client.containers.get(container_name(site, "preview")).exec_run(["node", "-e", DIG])
    assert dug.output.split() == [b"dug", b"3000"], dug.output
    home.doce.delete(site)
    home.until(site, lambda event: event.type == "project.deleted", timeout_s=30)
    assert left_of(client, site) == []
    assert not (home.folder / "projects" / site).exists()


@pytest.mark.parametrize(
    "point",
    [
        "docker.up", "project.delete.destroyed",
        *(pytest.param(point, marks=pytest.mark.nightly) for point in ("docker.created", "process.started", "docker.stop")),
    ],
)  # fmt: skip
def test_killed_at_any_point_it_goes_on_and_leaves_no_orphan(images: None, cache: Path, tmp_path: Path, client: Any, point: str) -> None:
    early = point in ("docker.created", "process.started", "docker.up")
    with docked(tmp_path / "data", cache) as home:
        home.stop()
        home.start(DOCE_FAULT=f"{point}=kill")
        project = home.doce.create("a tea shop with prices")["id"]
        if not early:
            home.until(project, ended_prompt)
            home.doce.request("POST", f"/api/projects/{project}/halt") if point == "docker.stop" else home.doce.delete(project)
        assert home.process
        assert home.process.wait(60) == -signal.SIGKILL
        home.start()
        if early:
            events = home.until(project, ended_prompt)
            assert events[-1].type == "chat.prompt.completed"
            check_log(events)
            assert len(client.containers.list(all=True, filters={"label": f"{PROJECT}={project}"})) == 2
            lines = [
                line
                for line in (home.folder / "projects" / project / "logs" / "docker.log").read_text().splitlines()
                if "server listening" in line
            ]
            assert len(lines) == 1, "each line once, over the restart"
        if point == "docker.stop":
            home.until(project, lambda event: event.type == "project.status" and event.payload["status"] == "stopped", timeout_s=30)
        if point != "project.delete.destroyed":
            home.doce.delete(project)
        home.until(project, lambda event: event.type == "project.deleted", timeout_s=30)
        assert left_of(client, project) == []
