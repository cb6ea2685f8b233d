"""doce turns a sentence into a running, deployed website.

In Python (`pip install "doce[notebook]"` for notebooks):

    import doce

    site = doce.create("a portfolio for a ceramicist")
    for event in site.chat("make it dark"):
        print(event.type)
    print(site.deploy()["url"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from doce.notebook.api import Jobs, Project, Projects, Usage, create, jobs, open, projects, usage
    from doce.notebook.background import connect

__version__ = "0.1.0"
__all__ = ["Jobs", "Project", "Projects", "Usage", "connect", "create", "jobs", "open", "projects", "usage"]


def __getattr__(name: str) -> Any:
    """The Python API, loaded when it is first used: a server needs none of it."""
    if name in __all__:
        from doce.notebook import api

        return getattr(api, name)
    raise AttributeError(f"module 'doce' has no attribute {name!r}")


def __dir__() -> list[str]:
    """For completion and `help`: the Python API, too."""
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext doce`"""
    from doce.notebook.magics import load

    load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext doce`"""
    from doce.notebook.magics import unload

    unload(shell)
