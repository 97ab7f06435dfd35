"""What is compared with what, and the goals: a group of engines takes turns at one piece of work."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

DISTURBED = 0.05  # of the processors' time that others may have in a round that counts
STEADY = 1.1  # by how much memory's speed may differ before and after a turn
# GB/s from which memory is fast, on a host where it has one speed now and another then: rounds in which it was have
# goals of their own, if there are so many of them.
FAST_MEMORY, ENOUGH = 56.0, 3


@dataclass(frozen=True)
class Work:
    """A question to a worker (see peer_worker.answer) and how many tokens it means."""

    name: str
    question: tuple[str | int, ...]
    tokens: int

    @property
    def context(self) -> float:
        """Tokens in the cache, on average over the steps of decoding."""
        what, *sizes = self.question
        return int(sizes[0]) + int(sizes[1]) / 2 if what == "decode" else 0.0


@dataclass(frozen=True)
class Rival:
    """An engine with a precision, what our speed is to be as a multiple of its, and so in fast memory."""

    engine: str
    kind: str
    goal: float | None = None
    fast_goal: float | None = None
    target: str = ""
    work: Work | None = None  # what it does, where that is not what we do

    @property
    def name(self) -> str:
        """As the table calls it."""
        engine = "own" if self.engine == "glassformer" else self.engine
        done = f", {self.work.name}" if self.work else ""
        return f"{engine} {self.kind} {self.target}".strip() + done


@dataclass(frozen=True)
class Group:
    """Our engine (with weights as `kind`) against rivals, and against reading bandwidth where `share` is a goal."""

    section: str
    work: Work
    kind: str
    rivals: tuple[Rival, ...] = ()
    share: float | None = None
    target: str = ""
    shape: str = "124m"

    @property
    def own(self) -> Rival:
        """Ourselves, as one of those that take turns."""
        return Rival("glassformer", self.kind, target=self.target)


def decode(context: int, new: int, name: str) -> Work:
    """Token by token after a context."""
    return Work(name, ("decode", context, new), new)


DECODE = decode(0, 128, "decode 128")
PREFILL = Work("prefill 512", ("prefill", 512), 512)
LONG, SHORT = decode(968, 56, "decode at 1,000"), decode(0, 56, "decode 56")
BATCH_TOKENS = 32

GROUPS = (
    Group("decode", DECODE, "q8", (Rival("llama.cpp", "q8_0", 1.3, 2.0), Rival("ctranslate2", "int8")), 0.92),
    Group("decode", DECODE, "q4", (Rival("llama.cpp", "q4_0", 1.4, 1.9),), 0.92),
    Group("decode", DECODE, "f16", (Rival("llama.cpp", "f16", 1.15, 1.45),), 0.92),
    Group("decode", DECODE, "f32", (Rival("llama.cpp", "f32", 1.25, 1.36), Rival("ctranslate2", "float32")), 0.92),
    Group("decode", DECODE, "bf16", (), 0.92),
    Group("decode", DECODE, "bf16-dot", (), 0.92),
    Group("prefill", PREFILL, "q8", (Rival("llama.cpp", "q8_0", 3.1), Rival("ctranslate2", "int8", 1.45))),
    Group("prefill", PREFILL, "q4", (Rival("llama.cpp", "q4_0", 2.6),)),
    Group("prefill", PREFILL, "f32", (Rival("llama.cpp", "f32", 1.5), Rival("ctranslate2", "float32", 1.35))),
    Group("prefill", PREFILL, "bf16-dot", (Rival("llama.cpp", "f16", 2.5),)),
    *(
        Group("batch", Work(f"batch of {count}", ("batch", count, BATCH_TOKENS), count * BATCH_TOKENS), "q8",
              (Rival("llama.cpp", "q8_0", goal),))
        for count, goal in ((4, 3.3), (16, 3.3), (32, 3.8))
    ),
    Group("context", LONG, "q8", (Rival("llama.cpp", "q8_0", 1.8), Rival("glassformer", "q8", 0.75, work=SHORT))),
    Group("avx2", DECODE, "q8", (Rival("glassformer", "q8", 0.97),), target="avx2"),
    Group("avx2", PREFILL, "q8", (Rival("glassformer", "q8", 0.42),), target="avx2"),
    Group("torch", decode(0, 32, "decode 32"), "f32", (Rival("torch", "f32"), Rival("onnxruntime", "f32"))),
    Group("torch", PREFILL, "f32", (Rival("torch", "f32"), Rival("onnxruntime", "f32"))),
    Group("xl", decode(0, 24, "XL: decode 24"), "q8", (Rival("llama.cpp", "q8_0", 1.15),), 0.92, shape="xl"),
    Group("xl", decode(0, 24, "XL: decode 24"), "q4", (Rival("llama.cpp", "q4_0", 1.15),), 0.92, shape="xl"),
    Group("xl", replace(PREFILL, name="XL: prefill 512"), "q8", (Rival("llama.cpp", "q8_0", 2.5),), shape="xl"),
    Group("xl", replace(PREFILL, name="XL: prefill 512"), "q4", (Rival("llama.cpp", "q4_0", 2.5),), shape="xl"),
)  # fmt: skip


@dataclass
class Turns:
    """What was measured in a group, round by round."""

    own: list[float] = field(default_factory=list)  # seconds
    rivals: dict[Rival, list[float]] = field(default_factory=dict)
    gigabytes: list[tuple[float, float]] = field(default_factory=list)  # before and after our turn
    others: list[float] = field(default_factory=list)  # the largest share of the processors that others had in a turn

    @property
    def quiet(self) -> list[int]:
        """Numbers of the rounds that others left alone; of all, where there are none."""
        rounds = [i for i, share in enumerate(self.others) if share <= DISTURBED]
        return rounds or list(range(len(self.gigabytes)))

    @property
    def bandwidth(self) -> float:
        """The median, in GB/s."""
        return statistics.median(speed for both in self.gigabytes for speed in both)

    def shares(self, bytes_per_second: Sequence[float]) -> list[float]:
        """Of the bandwidth, per quiet round. Those in which memory changed its speed are left out if others remain."""
        pairs = [(bytes_per_second[i], self.gigabytes[i]) for i in self.quiet]
        steady = [(v, both) for v, both in pairs if max(both) <= STEADY * min(both)]
        return [v / (1e9 * statistics.mean(both)) for v, both in steady or pairs]


def verdict(found: float, goal: float | None) -> str:
    """Whether a goal was met."""
    return "" if goal is None else "yes" if found >= goal else "no"


def rival_rows(group: Group, rival: Rival, turns: Turns) -> list[dict[str, object]]:
    """Our speed against a rival's: over all quiet rounds, and over those of them in which memory was fast."""
    rows = [rival_row(group, rival, turns, turns.quiet, rival.goal)]
    fast = [i for i in turns.quiet if min(turns.gigabytes[i]) >= FAST_MEMORY]
    if rival.fast_goal and len(fast) >= ENOUGH:
        rows.append(rival_row(group, rival, turns, fast, rival.fast_goal))
        rows[-1]["work"] = f"{group.work.name}, fast memory"
    return rows


def rival_row(
    group: Group, rival: Rival, turns: Turns, rounds: Sequence[int], goal: float | None
) -> dict[str, object]:
    """The best of each, and the median of the rounds' ratios."""
    theirs = rival.work or group.work
    own = [group.work.tokens / turns.own[i] for i in rounds]
    their = [theirs.tokens / turns.rivals[rival][i] for i in rounds]
    found = statistics.median(a / b for a, b in zip(own, their, strict=True))
    return row(group, rival.name, max(own), max(their), found, goal)


def share_row(group: Group, turns: Turns, facts: Mapping[str, int]) -> dict[str, object]:
    """What we read per second against what the machine can read, measured in the same round."""
    bytes_per_token = facts["weight_bytes"] + facts["token_bytes"] * group.work.context
    speeds = [group.work.tokens / s for s in turns.own]
    found = statistics.median(turns.shares([v * bytes_per_token for v in speeds]))
    limit = max(max(both) for both in turns.gigabytes) * 1e9 / bytes_per_token
    name = f"read bandwidth, {turns.bandwidth:.0f} GB/s"
    return row(group, name, max(speeds), limit, found, group.share)


def row(group: Group, against: str, own: float, their: float, ratio: float, goal: float | None) -> dict[str, object]:
    """A row of the table."""
    return {
        "work": group.work.name, "weights": f"{group.kind} {group.target}".strip(), "against": against,
        "tok/s": own, "theirs": their, "ratio": ratio, "of best": own / their if their else "",
        "goal": "" if goal is None else goal, "met": verdict(ratio, goal),
    }  # fmt: skip


def absent_row(group: Group, rival: Rival, why: str) -> dict[str, object]:
    """A row that says why there is no figure."""
    empty = row(group, f"{rival.name}: {why}", 0.0, 0.0, 0.0, rival.goal)
    return empty | dict.fromkeys(("tok/s", "theirs", "ratio", "of best", "met"), "")


# Texts of benchmarks/speculative.py that repeat their prompt, and the goals for these and for all others.
REPEATING, REPEATING_GOAL, OTHER_GOAL = ("code edit", "summary"), 1.8, 0.97


def lookup_row(found: Mapping[str, float | str]) -> dict[str, object]:
    """A row of benchmarks/speculative.py as one of ours: prompt lookup against plain greedy decoding."""
    name, ratio = str(found["text"]), float(found["ratio"])
    goal = REPEATING_GOAL if name in REPEATING else OTHER_GOAL
    own, plain = float(found["prompt lookup tok/s"]), float(found["plain tok/s"])
    work = Group("lookup", Work(f"lookup: {name}", ("lookup",), 0), "q8")
    return row(work, "own greedy without", own, plain, ratio, goal)


def selected(sections: Sequence[str]) -> list[Group]:
    """The groups of some sections."""
    return [group for group in GROUPS if group.section in sections]
