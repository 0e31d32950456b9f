"""``mintage completion``: a script with which a shell completes commands and options."""

from typing import Annotated, Literal

from cyclopts import Parameter


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Which shell.")],
    /,
) -> int:
    """Print a script that lets a shell complete commands and options.

    bash: source <(mintage completion bash), in ~/.bashrc. zsh: write it to a file _mintage in a
    directory of $fpath. fish: write it to ~/.config/fish/completions/mintage.fish.
    """
    from mintage.cli.main import app  # it lists this command

    print(app.generate_completion(shell=shell))  # noqa: T201
    return 0
