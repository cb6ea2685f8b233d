"""The programs that projects need on this machine: found, or fetched into the user's cache."""

from doce.toolchain.chain import Tool, Toolchain

__all__ = ["Tool", "Toolchain"]
