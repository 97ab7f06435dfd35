"""`glassformer evaluate`: perplexity of a text, and the divergence from another model or precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from glassformer.cli import terminal
from glassformer.cli.encoded import literal
from glassformer.cli.model_files import load_model
from glassformer.cli.options import (
    DTYPES,
    cache_dtype_option,
    common_options,
    dtype_option,
    json_option,
    threads_option,
)
from glassformer.cli.progress import shown_progress
from glassformer.cli.text_input import documents_of

if TYPE_CHECKING:
    from glassformer.generation.evaluate import Comparison, Divergence, Estimate, Evaluation
    from glassformer.model import Model

BEFORE = 8  # tokens of context shown before one where two models disagree


@click.command("evaluate", short_help="Measure perplexity, and KL divergence from another model or precision.")
@click.argument("arguments", nargs=-1, metavar="[MODEL] TEXT|FILE|-")
@click.option("--against", metavar="MODEL", help="The model that is taken as the truth (default: the same).")
@dtype_option
@click.option("--against-dtype", type=click.Choice(DTYPES), metavar="|".join(DTYPES),
              help="How its weights are held (default: as stored).")  # fmt: skip
@cache_dtype_option
@click.option("--context", type=click.IntRange(min=2), metavar="N",
              help="Tokens that are read together (default: as many as the model can).")  # fmt: skip
@click.option("--stride", type=click.IntRange(min=1), metavar="N",
              help="Tokens from one window to the next (default: half the context).")  # fmt: skip
@click.option("--separator", metavar="TEXT", help="Cut the text into documents here, each read on its own.")
@click.option("--worst", type=click.IntRange(min=0), default=10, metavar="N",
              help="How many tokens to list where the models are furthest apart (default: 10).")  # fmt: skip
@threads_option
@json_option
@common_options
def command(
    arguments: tuple[str, ...], against: str | None, dtype: str, against_dtype: str | None, cache_dtype: str,
    context: int | None, stride: int | None, separator: str | None, worst: int, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Print the perplexity of a text, with its standard error; MODEL as elsewhere (none: the one inside the package).

    With --against or --against-dtype also: the mean KL divergence per token from the other model's predictions in
    nats, the share of tokens where both find the same one most probable, and where they are furthest apart.

    \b
    glassformer evaluate ./gpt2 wiki.test.txt
    glassformer evaluate ./gpt2 wiki.test.txt --dtype q4 --against-dtype f32
    glassformer evaluate ./gpt2-q8 wiki.test.txt --against ./gpt2 --json

    A text longer than the context window is read in windows that overlap by context - stride tokens; each token but
    the first is scored once.

    The object of --json has tokens, context, stride, log_likelihood, perplexity, each with its standard error, and
    against: null, or perplexity, kl, same_top and worst (document, place, before, token, kl, top, against_top).
    """
    if not 1 <= len(arguments) <= 2:
        raise click.UsageError(f"expected a text, or a model and a text; found {len(arguments)} arguments")
    name = arguments[0] if len(arguments) == 2 else None
    documents = documents_of(arguments[-1], separator)
    model = load_model(name, dtype, threads, cache_dtype)
    compared = against is not None or against_dtype is not None
    other = load_model(name if against is None else against, against_dtype or "auto", threads) if compared else None
    with shown_progress("evaluating", "tokens") as progress:
        found = model.evaluate(
            documents, against=other, context=context, stride=stride, worst=worst, progress=progress
        )  # fmt: skip
    if as_json:
        terminal.write_json(_json(found, model))
    else:
        terminal.write("".join(line + "\n" for line in _lines(found, model)))


def _lines(found: Evaluation, model: Model) -> list[str]:
    """The result for people."""
    lines = [
        f"tokens        {found.tokens:,} (windows of {found.context}, every {found.stride})",
        f"perplexity    {_shown(found.perplexity)}",
    ]
    other = found.comparison
    if other is None:
        return lines
    lines += [
        f"against       {_shown(other.perplexity)}",
        f"KL divergence {_shown(other.kl)} nats per token",
        f"same top      {100 * other.same_top.value:.2f} % ± {100 * other.same_top.error:.2f} %",
    ]
    if other.worst:
        lines += ["", "KL\ttoken\ttop\ttop of the other\tbefore it"]
    for each in other.worst:
        before, *tokens = (literal(text.encode()) for text in _texts(found, each, model))
        lines.append("\t".join([f"{each.kl:.4f}", *tokens, before]))
    return lines


def _shown(estimate: Estimate) -> str:
    if math.isnan(estimate.error):
        return f"{estimate.value:.6g} (one token: no error)"
    return f"{estimate.value:.6g} ± {estimate.error:.2g}"


def _texts(found: Evaluation, at: Divergence, model: Model) -> tuple[str, str, str, str]:
    """What stands before a token, the token, and the most probable one of either model; ids without a vocabulary."""
    ids = found.documents[at.document][max(0, at.place - BEFORE) : at.place]

    def text(ids: Sequence[int]) -> str:
        return " ".join(map(str, ids)) if model.tokenizer is None else model.tokenizer.decode(ids)

    return text(ids), text([at.id]), text([at.top]), text([at.against_top])


def _json(found: Evaluation, model: Model) -> dict[str, object]:
    """The object that `evaluate --json` prints; what is infinite or not known becomes null."""
    numbers = {"tokens": found.tokens, "context": found.context, "stride": found.stride}
    own = {**_estimate("log_likelihood", found.log_likelihood), **_estimate("perplexity", found.perplexity)}
    return {
        **numbers,
        **own,
        "against": None if found.comparison is None else _compared(found, found.comparison, model),
    }


def _compared(found: Evaluation, other: Comparison, model: Model) -> dict[str, object]:
    from glassformer.formats.strict_json import finite

    worst = []
    for each in other.worst:
        before, token, top, against_top = _texts(found, each, model)
        place = {"document": each.document, "place": each.place, "before": before, "token": token}
        worst.append({**place, "kl": finite(each.kl), "top": top, "against_top": against_top})
    estimates = {"perplexity": other.perplexity, "kl": other.kl, "same_top": other.same_top}
    return {**{key: x for name, each in estimates.items() for key, x in _estimate(name, each).items()}, "worst": worst}


def _estimate(name: str, estimate: Estimate) -> dict[str, float | None]:
    from glassformer.formats.strict_json import finite

    return {name: finite(estimate.value), f"{name}_error": finite(estimate.error)}
