"""`glassformer bench`: how fast a model runs on this machine."""

from __future__ import annotations

from typing import Any

import click

from glassformer.cli import terminal
from glassformer.cli.model_files import load_model
from glassformer.cli.options import common_options, dtype_option, json_option, model_option, threads_option

OUTPUTS = ("markdown", "csv", "json")


class Counts(click.ParamType[tuple[int, ...]]):
    """Whole numbers up to a largest one, with commas between, such as 128,512; zeros are left out."""

    name = "N[,N...]"

    def __init__(self, most: int) -> None:
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        words = str(value).split(",")
        if not all(word.isascii() and word.isdecimal() and len(word) < 10 for word in words):
            self.fail(f"{value!r} is not a list of whole numbers such as 16,64.", param, ctx)
        numbers = tuple(dict.fromkeys(int(word) for word in words if int(word) > 0))
        if max(numbers, default=0) > self.most:
            self.fail(f"{max(numbers)} is more than {self.most}.", param, ctx)
        return numbers


@click.command("bench", short_help="Measure how fast a model runs on this machine.")
@model_option
@click.option("-p", "--prompt-tokens", type=Counts(10**6), help="Prompt lengths to read, 0 for none (default: 512).")
@click.option("-n", "--new-tokens", type=Counts(10**6), help="Tokens to decode from empty, 0 for none (default: 128).")
@click.option("-b", "--batch", type=Counts(256), default="1", show_default=True, help="Sequences to decode at once.")
@click.option("-r", "--repetitions", type=click.IntRange(1, 1000), default=5, show_default=True, metavar="N",
              help="How often each is measured.")  # fmt: skip
@click.option("--warmup", type=click.IntRange(0, 1000), default=1, show_default=True, metavar="N",
              help="How often each runs before, unmeasured.")  # fmt: skip
@click.option("-o", "--output", type=click.Choice(OUTPUTS), default="markdown", show_default=True,
              help="Form of the results.")  # fmt: skip
@dtype_option
@threads_option
@json_option
@common_options
def command(
    model: str | None, prompt_tokens: tuple[int, ...] | None, new_tokens: tuple[int, ...] | None,
    batch: tuple[int, ...], repetitions: int, warmup: int, output: str, dtype: str, threads: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Measure reading prompts and decoding in tokens per second, mean ± standard deviation, as llama-bench does.

    pp512 reads a prompt of 512 tokens; tg128 decodes 128 tokens from empty. GB/s is what decoding reads of weights and
    cache, `of read` its share of what the machine reads at that moment. Also measured: load, first step, time to the
    first token, tokenizing, choosing a token, memory.

    \b
    glassformer bench
    glassformer bench -m ./gpt2 --dtype q8 -p 128,512 -n 128 -b 1,16 -o csv

    The object of --json has the facts of model and machine, tests, load, first_call, first_token, tokenize_per_token,
    sample_greedy, sample, resident_bytes and machine; times in seconds.
    """
    from glassformer import __version__
    from glassformer.cli import bench_report
    from glassformer.generation.bench import BenchOptions, bench

    if prompt_tokens == () and new_tokens == ():
        raise click.UsageError("there is nothing to measure; -p or -n has to be above 0")
    if not batch:
        raise click.UsageError("-b is at least 1")
    options = BenchOptions(prompt_tokens, new_tokens, batch, repetitions, warmup)
    report = bench(lambda: load_model(model, dtype, threads), options)
    report.facts["glassformer"] = __version__
    if as_json or output == "json":
        terminal.write_json(bench_report.as_json_object(report))
    else:
        terminal.write(bench_report.as_csv(report) if output == "csv" else bench_report.as_markdown(report))
