"""The Docker runtime: every service of a project in a container of its own, on a network of its project."""

from doce.docker.runtime import DockerRuntime

__all__ = ["DockerRuntime"]
