"""The process runtime: services as child processes of this machine. For the demo, tests, and a laptop without an engine.

It gives no isolation: what runs here can do what this user can.
"""

from doce.process.runtime import ProcessRuntime

__all__ = ["ProcessRuntime"]
