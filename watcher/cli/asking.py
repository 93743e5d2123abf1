"""Asking whoever sits before the terminal."""

import sys

import typer

LEFT_ALONE = "nothing was changed"


def agreed(question: str, *, yes: bool) -> bool:
    """Ask on a terminal; scripts and --yes mean it."""
    if yes or not sys.stdin.isatty():
        return True
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:  # Ctrl-C or the end of input
        return False
