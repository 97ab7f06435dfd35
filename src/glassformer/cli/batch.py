"""`glassformer batch`: every line of a file generated, scored or embedded, through death and resurrection."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

from glassformer.cli import terminal
from glassformer.cli.constraint_flags import ConstraintFlags, constraint_options
from glassformer.cli.generation_flags import GenerationFlags, generation_options
from glassformer.cli.model_files import load_model
from glassformer.cli.options import (
    cache_dtype_option,
    common_options,
    dtype_option,
    json_option,
    model_option,
    threads_option,
)
from glassformer.cli.progress import shown_progress
from glassformer.cli.session import Session
from glassformer.cli.text_input import InputTextError, say_what_ends_input
from glassformer.errors import GlassformerError

if TYPE_CHECKING:
    from glassformer.batch.lines import Line
    from glassformer.batch.local import Load
    from glassformer.batch.output import Output
    from glassformer.batch.pipe import Pipe
    from glassformer.batch.results import Result
    from glassformer.batch.run import Tally
    from glassformer.batch.terms import Terms
    from glassformer.batch.weights import Weights
    from glassformer.introspect.embedding import Pooling

DOING = {"generate": "generating", "score": "scoring", "embed": "embedding"}

INTERRUPTED = "interrupted; with --output, a run goes on where it was interrupted"
KEPT = "interrupted; the results so far are kept, and the same command goes on behind them"


class LinesFailedError(GlassformerError):
    """Some lines have errors instead of results."""


@dataclass(frozen=True)
class Plan:
    """What is done, with what, and where results go."""

    file: str
    output: Path | None
    restart: bool
    task: str
    pooling: Pooling
    flags: GenerationFlags
    load: Load
    weights: Weights
    ray: str | None
    quiet: bool


@click.command("batch", short_help="Generate, score or embed every line of a file.")
@click.argument("file")
@model_option
@click.option("--task", type=click.Choice(tuple(DOING)), default="generate", show_default=True,
              help="What is done with each line.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="OUT.jsonl",
              help="Where results go, so that a run that was killed goes on (default: standard output).")  # fmt: skip
@click.option("--restart", is_flag=True, help="Drop the results of an earlier run in --output, and begin anew.")
@click.option("--pooling", type=click.Choice(("mean", "last")), default="mean", show_default=True,
              help="With --task embed: the mean over a text's tokens, or the state of the last one.")  # fmt: skip
@click.option("--max-batch", type=click.IntRange(1, 1024), default=64, show_default=True, metavar="N",
              help="Lines that are continued at once.")  # fmt: skip
@click.option("--kv-memory", type=click.IntRange(1, 1 << 20), default=1024, show_default=True, metavar="MIB",
              help="Memory for keys and values of all lines.")  # fmt: skip
@click.option("--ray", metavar="ADDRESS",
              help="Let a Ray cluster do it, one engine a node: host:port of its head, or auto.")  # fmt: skip
@generation_options
@constraint_options
@dtype_option
@cache_dtype_option
@threads_option
@json_option
@common_options
@click.pass_obj
def command(
    session: Session, /, file: str, model: str | None, task: str, output: Path | None, restart: bool, pooling: str,
    max_batch: int, kv_memory: int, ray: str | None, dtype: str, cache_dtype: str, threads: int | None, as_json: bool,
    **values: Any,
) -> None:  # fmt: skip
    """Do every line of FILE (`-`: standard input), each an object of JSON, and write a line of JSON for each.

    \b
    glassformer batch prompts.jsonl --output results.jsonl -n 100 --temperature 0.8 --seed 1
    glassformer batch texts.jsonl --task score --output scores.jsonl

    Lines to generate have prompt or prompt_ids, lines to score or embed text or ids; any may have an id (or custom_id),
    which its result repeats. What else a line may say has the names of the flags: max_new_tokens, temperature, stop,
    seed and so on, and constraint, such as {"regex": "[0-9]+"}. It counts more than flags do.

    Results come as lines end; each has the number of its line. They are those of the line by itself, to the bit: the
    first line is drawn with the seed given, each later one with the next. A line that cannot be done has a result with
    error, and the run goes on; where there is one, the exit code is 1.

    With --output, the same command goes on where a run was killed, repeats nothing and loses nothing; OUT.jsonl.state
    holds what was asked. Without --seed one is drawn and kept there. With --ray, the nodes of a Ray cluster do the
    lines; each needs the package and the model's folder. See docs/scale-out.md.

    The summary goes to standard error; --json prints it as an object with lines, known (of an earlier run), errors,
    prompt_tokens, tokens, seconds and tokens_per_second.
    """
    from glassformer.batch.local import Load
    from glassformer.batch.weights import Weights

    if pooling != "mean" and task != "embed":
        raise click.UsageError("--pooling goes with --task embed")
    given = {"--restart": restart, "--json": as_json, "--ray": ray is not None}
    if output is None and any(given.values()):
        raise click.UsageError(f"{next(name for name in given if given[name])} goes with --output")
    weights, load = Weights(model, dtype, cache_dtype, threads), Load(max_batch, kv_memory << 20)
    flags = flags_of(values, task)
    run(Plan(file, output, restart, task, cast("Pooling", pooling), flags, load, weights, ray, session.quiet), as_json)


def flags_of(values: dict[str, Any], task: str) -> GenerationFlags:
    """How lines are continued that do not say it themselves."""
    constraint = ConstraintFlags(**{field.name: values[field.name] for field in fields(ConstraintFlags)}).constraint()
    given = {field.name: values[field.name] for field in fields(GenerationFlags) if field.name in values}
    flags = GenerationFlags(**given, constraint=constraint)
    flags.check()
    if task != "generate" and flags.asked():
        name = next(iter(flags.asked())).replace("_", "-")
        raise click.UsageError(f"--{name} says how texts are continued, and goes with --task generate alone")
    return flags


def run(plan: Plan, as_json: bool) -> None:
    """Do what is not done, and say how it went.

    Raises:
        LinesFailedError: if there are lines with errors.
    """
    from glassformer.batch.done import Done, count_rest
    from glassformer.batch.lines import read_lines
    from glassformer.batch.output import Output
    from glassformer.batch.pipe import Pipe
    from glassformer.batch.run import Tally

    with ExitStack() as stack:
        source = stack.enter_context(opened(plan.file))
        output = None if plan.output is None else stack.enter_context(Output(plan.output, restart=plan.restart))
        if output is not None:
            output.check_apart(source)
        done = Done.none() if output is None else output.done
        pipe = None if source.seekable() else Pipe(source.fileno())
        total = count_rest(source, done) if pipe is None else None
        terms = terms_of(plan, output)
        if output is not None:
            output.check(terms.described())
        tally = Tally(known=len(done), failed=done.failed)
        if total != 0:
            lines = done.rest(read_lines(pipe or source))
            write(plan, results_of(plan, terms, lines, output, pipe), output, tally, total)
        if output is not None:
            output.drop()  # an input without lines has begun nothing
    report(plan, tally, as_json)


def results_of(
    plan: Plan, terms: Terms, lines: Iterator[Line], output: Output | None, pipe: Pipe | None
) -> Generator[Result]:
    """The results of lines, by a cluster or by this machine; the output is told of the model before the first."""
    from glassformer.batch import cluster, local

    def begin(identity: str) -> None:
        if output is not None:
            output.begin(terms.described() | {"model": identity})

    weights = plan.weights
    if plan.ray is not None:
        return cluster.results_of(cluster.Cluster(plan.ray, weights.everywhere(), terms, plan.load), lines, begin)
    model = partial(load_model, weights.path, weights.dtype, weights.threads, weights.cache_dtype)
    return local.results_of(model, lines, begin, terms, plan.load, local.never if pipe is None else pipe.idle)


def write(
    plan: Plan, results: Generator[Result], output: Output | None, tally: Tally, total: int | None
) -> None:  # fmt: skip
    """Write results, and show how far it is."""
    from glassformer.batch.run import write_results

    append = write_out if output is None else output.append
    told = output is None and terminal.is_terminal(sys.stdout)  # results show by themselves how far it is
    try:
        with closing(results), shown_progress(DOING[plan.task], "lines") as shown:
            write_results(results, append, tally, lambda count: None if told else shown(count, total))
    except KeyboardInterrupt:
        terminal.finish_line()
        terminal.note(INTERRUPTED if output is None else KEPT)
        raise click.Abort from None


def write_out(data: bytes) -> None:
    """A result to standard output."""
    terminal.write(data.decode())


@contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """The input."""
    if file == "-":
        if sys.stdin is None:
            raise InputTextError("standard input is closed; give a file, or pipe lines in")
        say_what_ends_input()
        yield sys.stdin.buffer
        return
    try:
        source = Path(file).open("rb")  # noqa: SIM115
    except OSError as error:
        raise InputTextError(f"{file}: cannot read it: {error.strerror or error}; give a file or -") from error
    with source:
        yield source


def terms_of(plan: Plan, output: Output | None) -> Terms:
    """What decides the results, with the seed of the run before where none is given."""
    from glassformer.batch.terms import Terms
    from glassformer.generation.asked import Asked
    from glassformer.generation.rng import fresh_seed

    begun = None if output is None or output.begun is None else output.begun.get("seed")
    seed = plan.flags.seed if plan.flags.seed is not None else begun if isinstance(begun, int) else fresh_seed()
    return Terms(cast(Any, plan.task), Asked(**plan.flags.asked()), seed, plan.pooling)


def report(plan: Plan, tally: Tally, as_json: bool) -> None:
    """The summary; an error where lines have errors."""
    if as_json:
        terminal.write_json({
            "lines": tally.known + tally.lines, "known": tally.known, "errors": tally.failed,
            "prompt_tokens": tally.prompt_tokens, "tokens": tally.tokens, "seconds": round(tally.seconds, 3),
            "tokens_per_second": round(tally.tokens_per_second, 1),
        })  # fmt: skip
    elif not plan.quiet:
        terminal.note(summary(tally))
    if tally.failed:
        where = "their output" if plan.output is None else str(plan.output)
        raise LinesFailedError(
            f"{tally.failed:,} of {tally.known + tally.lines:,} lines have an error instead of a result; see {where}"
        )


def summary(tally: Tally) -> str:
    """One line for people."""
    known = f" ({tally.known:,} of them before)" if tally.known else ""
    if tally.known and not tally.lines:
        return f"[{tally.known:,} lines{known} · nothing to do · {tally.failed:,} errors]"
    parts = [
        f"{tally.known + tally.lines:,} lines{known}",
        f"{tally.prompt_tokens:,} tokens read",
        f"{tally.tokens:,} written",
        f"{tally.tokens_per_second:,.0f} tokens/s",
        f"{tally.failed:,} errors",
    ]
    return "[" + " · ".join(parts) + "]"
