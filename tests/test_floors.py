"""An import only ever points down the floors, and nobody but settings reads the environment."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "doce"

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
    {"doce.web", "doce.notebook"},
    {"doce.app", "doce.doctor"},
    {"doce.cli", "doce.demo", "doce.__main__"},
]  # fmt: skip

#: The HTTP client stands beside the floors: it talks HTTP and shares only values.
CLIENT_MAY = {"doce.client", "doce.clock", "doce.errors", "doce.events.vocabulary", "doce.settings", "doce"}

#: Neighbours on one floor that must not know each other.
STRANGERS = [("doce.docker", "doce.process"), ("doce.web", "doce.notebook")]


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if "templates" not in path.relative_to(PACKAGE).parts]


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
                yield inside if (PACKAGE.parent / Path(*inside.split("."))).with_suffix(".py").exists() else str(node.module)


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
    ours = sorted({found for found in imports(path) if found == "doce" or found.startswith("doce.")})
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
