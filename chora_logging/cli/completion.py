"""`chora-logging completion`: prints the script for shell completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from chora_logging.cli.commands import PROGRAM, commands

#: The variable through which the script asks the program; click's rule gives its name.
_VARIABLE = f"_{PROGRAM.replace('-', '_').upper()}_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that makes a shell complete commands, options and file names.

    \b
    For every new shell, add to
      ~/.bashrc                   eval "$(chora-logging completion bash)"
      ~/.zshrc                    eval "$(chora-logging completion zsh)"
      ~/.config/fish/config.fish  chora-logging completion fish | source

    \b
    Example:
      eval "$(chora-logging completion bash)"
    """
    kind = get_completion_class(shell)
    assert kind is not None, f"click has no completion for {shell}"
    click.echo(kind(commands, {}, PROGRAM, _VARIABLE).source())
