"""doce turns a sentence into a running, deployed website."""

__version__ = "0.1.0"
