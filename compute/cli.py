"""The command line: finds the commands, and turns foreseen errors into a line and an exit code."""

from __future__ import annotations

import gc
import importlib
import sys
from pathlib import Path
from typing import Any

import click

from compute.commands.options import FAILED, INTERRUPTED, USAGE, stop
from compute.errors import RecountError, UsageError, unknown

_ASIDE = ("__init__", "options", "running", "transferring")


class Commands(click.Group):
    """The commands of `compute/commands/`, each imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the files that are commands."""
        folder = Path(__file__).parent / "commands"
        return sorted(file.stem for file in folder.glob("*.py") if file.stem not in _ASIDE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command by its name; UsageError with the nearest if there is none."""
        if cmd_name not in self.list_commands(ctx):
            raise unknown("command", cmd_name, self.list_commands(ctx))
        found: click.Command = importlib.import_module(f"compute.commands.{cmd_name}").command
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; turn our errors into a line and a code."""
        gc.set_threshold(100_000, 20, 20)  # a plan is tens of thousands of objects that all stay: do not search them
        try:
            return super().invoke(ctx)
        except UsageError as error:
            stop(f"error: {error}", USAGE)
        except RecountError as error:
            stop(f"error: {error}", FAILED)
        except KeyboardInterrupt:
            stop("interrupted: what was finished is kept; the same command goes on from there", INTERRUPTED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Turn experiment configs into a living report site."""


if __name__ == "__main__":
    sys.exit(main())
