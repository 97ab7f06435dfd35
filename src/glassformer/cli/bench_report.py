"""What `bench` prints: Markdown as llama-bench does it, CSV, or the object of `--json`."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glassformer.generation.bench import BenchReport, Speed

MIB, GB = 1 << 20, 1e9
HEADS = ("model", "weights", "size", "threads", "test", "tokens/s", "GB/s", "of read")


def as_json_object(report: BenchReport) -> dict[str, object]:
    """The object that `bench --json` prints; times in seconds, sizes in bytes."""
    machine = report.machine
    return {
        **report.facts,
        "tests": [_test(speed) for speed in report.speeds],
        "load": report.load,
        "first_call": report.first_call,
        "first_token": report.first_token,
        "tokenize_per_token": report.tokenize,
        "sample_greedy": report.sample_greedy,
        "sample": report.sample,
        "resident_bytes": report.resident,
        "machine": {"read_gb_s": machine.gigabytes, "fma_gflop_s": machine.gigaflops, "dot_gop_s": machine.gigaops},
    }


def _test(speed: Speed) -> dict[str, object]:
    decoded = speed.test.kind == "decode"
    return {
        "test": speed.test.name,
        "kind": speed.test.kind,
        "tokens": speed.test.tokens,
        "sequences": speed.test.sequences,
        "seconds": list(speed.seconds),
        "tokens_per_second": speed.mean,
        "deviation": speed.deviation,
        "gb_s": speed.read_rate if decoded else None,
        "share_of_read": speed.share if decoded else None,
    }


def as_csv(report: BenchReport) -> str:
    """One line per test, the facts repeated on each."""
    out = io.StringIO()
    whole = as_json_object(report)
    shared = {key: value for key, value in whole.items() if not isinstance(value, (list, dict))}
    rows = [{**shared, **_test(speed)} for speed in report.speeds]
    for row in rows:
        row["seconds"] = " ".join(f"{seconds:.6f}" for seconds in row["seconds"])  # type: ignore[attr-defined]
    writer = csv.DictWriter(out, list(rows[0]) if rows else list(shared), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def as_markdown(report: BenchReport) -> str:
    """Two tables: the tests, and what surrounds them."""
    lines = [_line(HEADS), _line(["---"] * 4 + ["---:"] * 4)]
    facts = report.facts
    shared = (facts["model"], facts["weights"], f"{_number(facts['weight_bytes']) / MIB:.1f} MiB", facts["threads"])
    for speed in report.speeds:
        decoded = speed.test.kind == "decode"
        read = (f"{speed.read_rate:.1f}", f"{100 * speed.share:.0f} %") if decoded else ("", "")
        lines.append(_line([*shared, speed.test.name, f"{speed.mean:.2f} ± {speed.deviation:.2f}", *read]))
    lines += ["", _line(["", ""]), _line(["---", "---"])]
    lines += [_line([name, value]) for name, value in _surroundings(report).items()]
    return "\n".join(lines) + "\n"


def _surroundings(report: BenchReport) -> dict[str, str]:
    """What llama-bench leaves out, for people."""
    facts, machine = report.facts, report.machine
    tokenize = "no vocabulary" if report.tokenize is None else f"{1e9 * report.tokenize:.0f} ns per token"
    return {
        "load": f"{report.load:.3f} s",
        "first step": f"{report.first_call:.3f} s, with compiling what is not cached",
        "time to first token": f"{1e3 * report.first_token:.1f} ms",
        "tokenize": tokenize,
        "sample": f"{1e6 * report.sample:.0f} us per token, the most probable {1e6 * report.sample_greedy:.0f} us",
        "resident memory": f"{report.resident / 1e6:.0f} MB",
        "memory read": f"{machine.gigabytes:.1f} GB/s",
        "arithmetic": f"{machine.gigaflops:.0f} GFLOP/s in f32, {machine.gigaops:.0f} GOP/s of int8 dot products",
        "processor": f"{facts['processor']} ({facts['target']}), {facts['threads']} threads on {facts['processors']} "
                     f"processors{', pinned' if facts['pinned'] else ''}",
        "versions": f"glassformer {facts['glassformer']}, python {facts['python']}, numpy {facts['numpy']}, "
                    f"llvmlite {facts['llvmlite']}",
    }  # fmt: skip


def _line(cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"  # type: ignore[attr-defined]


def _number(value: object) -> float:
    assert isinstance(value, int)
    return value
