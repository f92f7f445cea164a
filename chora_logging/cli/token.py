"""`chora-logging token`: makes a token for `serve`."""

from __future__ import annotations

import json

import click

from chora_logging.web.tokens import make_token, parse_tokens


@click.command("token")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def command(name: str | None, as_json: bool) -> None:
    """Make a token of 256 random bits, for those who may read what `serve` serves.

    With a NAME it is a line for a file with several tokens: to change them without an outage, add the new
    one, restart the server, give it to its users, and take the old one away.

    \b
    Examples:
      chora-logging token > token
      chora-logging token dashboard >> tokens
    """
    token = make_token()
    line = token if name is None else f"{name} {token}"
    parse_tokens("NAME", line)
    click.echo(json.dumps({"token": token, **({"name": name} if name else {})}) if as_json else line)
