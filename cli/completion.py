"""kfn completion: the shell completion script, made by click."""

import click


@click.command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
def command(shell: str) -> None:
    """Print a completion script: `source <(kfn completion bash)`."""
    from click.shell_completion import get_completion_class

    from cli.main import kfn

    completion = get_completion_class(shell)
    if completion is None:  # click ships all three
        raise click.UsageError(f"no completion for {shell}")
    click.echo(completion(kfn, {}, "kfn", "_KFN_COMPLETE").source())
