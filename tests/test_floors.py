"""An import only ever points down the floors, and nobody but settings reads the environment."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: Where each of our packages lies.
PACKAGES = {"doce": ROOT / "doce", "doce_slack": ROOT / "bots" / "doce_slack"}
PACKAGE = PACKAGES["doce"]

#: Lowest first; a package may import what stands on its own floor or below.
FLOORS: list[set[str]] = [
    {
        "doce", "doce.settings", "doce.errors", "doce.logger", "doce.clock", "doce.addresses", "doce.transport", "doce.naming",
        "doce.tarballs",
    },
    {"doce.testing.faults"},
    {"doce.db"},
    {"doce.events"},
    {"doce.queue"},
    {
        "doce.auth", "doce.ports", "doce.health", "doce.stacks", "doce.docker", "doce.process", "doce.opencode", "doce.llm",
        "doce.toolchain", "doce.testing",
    },
    {"doce.projects", "doce.productions", "doce.presence", "doce.chats"},
    {"doce.queue.handlers", "doce.upkeep"},
    {"doce.actions"},
    {"doce.web", "doce.notebook", "doce_slack"},
    {"doce.app", "doce.doctor"},
    {"doce.cli", "doce.demo", "doce.__main__"},
]  # fmt: skip

#: The HTTP client stands beside the floors: it talks HTTP and shares only values.
CLIENT_MAY = {"doce.client", "doce.clock", "doce.errors", "doce.events.vocabulary", "doce.settings", "doce"}

#: Neighbours on one floor that must not know each other.
STRANGERS = [("doce.docker", "doce.process"), ("doce.web", "doce.notebook"), ("doce.web", "doce_slack"), ("doce.notebook", "doce_slack")]
#: Doors hold no SQL and no containers: what would need them belongs in a domain, or in the actions.
NO_DOORS_BUSINESS = ("doce.db", "doce.docker", "doce.process", "doce.stacks", "docker", "peewee", "sqlite3")


def module_name(path: Path) -> str:
    home = next(folder for folder in PACKAGES.values() if path.is_relative_to(folder))
    parts = path.relative_to(home.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> list[Path]:
    found = [path for folder in PACKAGES.values() for path in sorted(folder.rglob("*.py"))]
    return [path for path in found if not path.is_relative_to(PACKAGE / "templates")]


def is_ours(name: str) -> bool:
    return name.split(".")[0] in PACKAGES


def imports(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.If) and _is_typing(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                yield inside if _is_module(inside) else str(node.module)


def _is_module(name: str) -> bool:
    package, *rest = name.split(".")
    return package in PACKAGES and PACKAGES[package].joinpath(*rest).with_suffix(".py").exists()


def _is_typing(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def floor(name: str) -> tuple[int, str]:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        for height, names in enumerate(FLOORS):
            if prefix in names and (prefix != "doce" or name == "doce"):
                return height, prefix
    raise AssertionError(f"{name} stands on no floor: add it to FLOORS")


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_imports_point_down(path: Path) -> None:
    name = module_name(path)
    if name == "doce":
        return  # the package's face, see below
    ours = sorted({found for found in imports(path) if is_ours(found)})
    if name.split(".")[:2] == ["doce", "client"]:
        strangers = [
            found
            for found in ours
            if not any(found == may or found.startswith(f"{may}.") for may in CLIENT_MAY - {"doce"}) and found != "doce"
        ]
        assert not strangers, f"the client knows {strangers}"
        return
    height, home = floor(name)
    for found in ours:
        if found.split(".")[:2] == ["doce", "client"]:
            assert height >= floor("doce.web")[0], f"{name} imports the client"
            continue
        reached, target = floor(found)
        assert reached <= height, f"{name} (floor of {home}) imports {found} (floor of {target})"
        for one, other in STRANGERS:
            assert {home, target} != {one, other}, f"{name} imports {found}: they must not know each other"


@pytest.mark.parametrize(
    "path", [path for path in modules() if module_name(path).startswith(("doce_slack", "doce.notebook"))], ids=module_name
)
def test_doors_hold_no_business(path: Path) -> None:
    for found in imports(path):
        assert not any(found == name or found.startswith(f"{name}.") for name in NO_DOORS_BUSINESS), f"{module_name(path)} imports {found}"


def test_the_face_of_the_package_loads_nothing_before_it_is_used() -> None:
    """`import doce` is cheap, and the Python API that it offers comes from above only when somebody asks for it."""
    for node in ast.parse((PACKAGE / "__init__.py").read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            assert not str(node.module).startswith("doce"), f"line {node.lineno} loads {node.module}"


@pytest.mark.parametrize("path", [path for path in modules() if module_name(path) != "doce.settings"], ids=module_name)
def test_only_settings_reads_the_environment(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr not in ("environ", "getenv", "environb"), f"{path.name}:{node.lineno} reads the environment"


@pytest.mark.parametrize("path", modules(), ids=module_name)
def test_nothing_reaches_a_shell(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "shell":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            assert node.attr not in ("system", "popen"), f"{path.name}:{node.lineno} uses a shell"
