"""`--edit`: interventions that a command's model runs with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from glassformer.model import Model

Function = TypeVar("Function", bound=Callable[..., Any])


def edit_option(function: Function) -> Function:
    """The flag."""
    text = "Change the model as it runs, by interventions in a file of JSON. May be repeated."
    return click.option("--edit", "edits", multiple=True, metavar="FILE", help=text)(function)


def edited(model: Model, files: Sequence[str]) -> Model:
    """The model with the interventions of the files, in their order; the model itself where there is none.

    Raises:
        DocumentError: for a file that holds no interventions.
        IntrospectionError: for some that do not fit the model.
    """
    if not files:
        return model
    from glassformer.introspect.documents import read_interventions

    return model.edited(*(each for file in files for each in read_interventions(Path(file))))
