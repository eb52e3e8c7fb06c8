"""The command line."""

from uadbids.cli.app import main

__all__ = ["main"]
