"""Completion for shells: `kmstwist completion bash` prints the script, and `etc/completion/` contains all scripts.

For zsh, Click's own script is used. Those for bash and fish are our own: bash splits words at `:`, which occurs in the
names of KMS hosts, and inserts a name with spaces as several words; for fish, Click's script cuts a name at its first
comma.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

VARIABLE = "_KMSTWIST_COMPLETE"

_BASH = r"""# Completion of kmstwist for bash.
%(complete_func)s() {
    local type value typed line=${COMP_LINE:0:COMP_POINT} current=${COMP_WORDS[COMP_CWORD]}
    typed=${line##* }
    while IFS=, read -r type value; do
        case $type in
        dir) compopt -o dirnames ;;
        file) compopt -o default ;;
        plain)
            # A quote that was begun takes the name as it is.
            case $current in
            \"* | \'*) ;;
            *) printf -v value %%q "$value" ;;
            esac
            # Text before a colon is not part of the word that bash replaces.
            case $COMP_WORDBREAKS in
            *:*) [[ $typed == *:* ]] && value=${value#"${typed%%"${typed##*:}"}"} ;;
            esac
            COMPREPLY+=("$value")
            ;;
        esac
    done < <(COMP_WORDS=$line COMP_CWORD=0 %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_FISH = """# Completion of kmstwist for fish.
function %(complete_func)s
    set -l words (commandline --current-process --cut-at-cursor)
    set -l word (commandline --current-token --cut-at-cursor)
    set -lx COMP_WORDS "$words"
    set -lx COMP_CWORD "$word"
    set -lx %(complete_var)s fish_complete
    for completion in (%(prog_name)s 2>/dev/null)
        # A name may have commas.
        set -l parts (string split --max 1 "," $completion)
        switch $parts[1]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
            case plain
                echo $parts[2]
        end
    end
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class Quiet(ShellComplete):
    """Offers nothing if the line cannot be parsed: options' defaults may need a file that does not exist."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        """The completions to offer."""
        try:
            return super().get_completions(args, incomplete)
        except click.ClickException:
            return []


class Zsh(Quiet, ZshComplete):
    """Completion for zsh."""


class Fish(Quiet, FishComplete):
    """Completion for fish."""

    source_template = _FISH


class Bash(Quiet, BashComplete):
    """Completion for bash: the line up to the cursor is split here, as a shell does."""

    source_template = _BASH

    @staticmethod
    def _check_version() -> None:
        """Do not check bash's version: the bash here need not be the one that reads the script."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor's, and the beginning of that word."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)
        begun = bool(words) and not (line[-1].isspace() and not line[:-1].endswith("\\") and is_closed(line))
        return (words[1:-1], words[-1]) if begun else (words[1:], "")


def is_closed(line: str) -> bool:
    """Whether every quote in the line is closed."""
    quote = ""
    escaped = False
    for each in line:
        if escaped:
            escaped = False
        elif each == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if each == quote else quote
        elif each in "\"'":
            quote = each
    return not quote


#: Each shell with its class, and the name its file has where shells look for it.
SHELLS: dict[str, tuple[type[ShellComplete], str]] = {
    "bash": (Bash, "kmstwist"),
    "zsh": (Zsh, "_kmstwist"),
    "fish": (Fish, "kmstwist.fish"),
}


def register() -> None:
    """Make click use our completion."""
    for made, _ in SHELLS.values():
        add_completion_class(made)


def script(shell: str) -> str:
    """The script for a shell."""
    made, _ = SHELLS[shell]
    # The script asks the command itself each time; it contains only the command's name.
    return made(click.Command("kmstwist"), {}, "kmstwist", VARIABLE).source().strip() + "\n"


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)), metavar="{" + "|".join(SHELLS) + "}")
def completion(shell: str) -> None:
    """Print what SHELL reads to complete kmstwist's command lines.

    Commands, options and values are completed. For bash in ~/.bashrc: eval "$(kmstwist completion bash)". The
    Debian package and `kmstwist service install` put it where the shells look for it.
    """
    click.echo(script(shell), nl=False)


def main(folder: str) -> None:
    """Write the script of each shell into a folder."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for shell, (_, name) in SHELLS.items():
        (Path(folder) / name).write_text(script(shell), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
