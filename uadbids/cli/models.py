"""`uadbids models [NAME]`."""

from typing import Annotated

import typer


def models(
    name: Annotated[str | None, typer.Argument(help="Show the card of this model.")] = None,
) -> None:
    """List the packaged models, or show the card of one."""
    from uadbids.run.models import list_models, show_model

    for line in [show_model(name)] if name else list_models():
        typer.echo(line)
