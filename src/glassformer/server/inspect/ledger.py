"""Where the time of a text goes: what `glassformer profile` prints, of the text on the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glassformer.kernels.attention import KEYS
from glassformer.kernels.catalog import Entry, catalog
from glassformer.runtime.profile import Listing, Profile
from glassformer.server.errors import RequestError
from glassformer.server.fields import Asked
from glassformer.server.inspect.operations import sites_of
from glassformer.server.inspect.session import Session
from glassformer.simd.kernel import Variant

LEDGER_KEYS = ("run", "new_tokens")
ASSEMBLY_KEYS = ("operation",)
MOST_NEW_TOKENS = 256
WARM_UP = 2  # new tokens for which plans are recorded before anything is noted


def ledger(session: Session, asked: Asked) -> dict[str, Any]:
    """Read a run's text again and decode some tokens, everything warm, and say what each operation took."""
    run, model = session.runs.find(asked.string("run", 40)), session.model
    room = model.config.n_positions - len(run.ids)
    if room < 1:
        raise RequestError("the text fills the context window, so nothing can be decoded; shorten it", param="run")
    count = min(asked.integer("new_tokens", 1, MOST_NEW_TOKENS, 16), room)
    model.generate(list(run.ids), max_new_tokens=min(WARM_UP, count), do_sample=False, ignore_eos=True)
    with model.profile() as found:
        model.generate(list(run.ids), max_new_tokens=count, do_sample=False, ignore_eos=True)
    network: Any = model.network
    entries = catalog()
    parts = {"prefill": part(found.prefill, entries), "decode": part(found.decode, entries)}
    start = found.replays[0].began
    steps = [[(each.began - start) / 1e9, (each.ended - start) / 1e9, each.rows] for each in found.replays]
    memory = [[(moment - start) / 1e9, size] for moment, size in found.memory]
    block = {"cache_block_bytes": network.layout.block_stride, "cache_block_tokens": KEYS}
    return {**parts, "steps": steps, "memory": memory, **block, "tokens": len(run.ids), "new_tokens": count}


def part(profile: Profile, entries: dict[str, Entry]) -> dict[str, Any]:
    """A part of a profile as `glassformer profile --json` prints it, with each operation's kernel and its place."""
    if not profile.replays:
        return {"passes": 0, "operations": [], "layers": []}
    found: dict[str, Any] = profile.as_json()
    names = [line["name"] for line in found["operations"]]
    for line in found["operations"]:
        line["sites"] = sites_of(line["name"], names)
        entry = kernel_of(line["name"], entries)
        line["kernel"] = entry and entry.name
        line["place"] = entry and entry.place
    return found


def kernel_of(operation: str, entries: dict[str, Entry]) -> Entry | None:
    """The kernel that an operation's name ends in, before its number."""
    return next((entries[word] for word in reversed(operation.split()) if word in entries), None)


def assembly(session: Session, asked: Asked) -> dict[str, Any]:
    """The machine code of an operation of the latest plans, as the ledger names it, and its source."""
    name = asked.string("operation", 200)
    variant = dict(reversed(list(variants(session)))).get(name)
    if variant is None:
        raise RequestError(f"no plan has the operation {name[:80]!r}; measure first", status=404, param="operation")
    network: Any = session.model.network
    executor = network.ops.executor
    constants = {key: str(value) for key, value in variant.constants.items()}
    text = str(variant.compile_for(executor.target, "emit_assembly"))
    return {"operation": name, "kernel": variant.owner.name, "target": executor.target.name, "constants": constants,
            "assembly": text}  # fmt: skip


def variants(session: Session) -> Iterable[tuple[str, Variant]]:
    """Operation and kernel of every launch of the network's plans, the latest used first."""
    network: Any = session.model.network
    for step in reversed(list(network.steps.steps.values())):
        plan = step.plan
        names = tuple(kernel.owner.name for kernel in plan.kernels)
        listing = Listing(names, plan.scopes, plan.costs, plan.records[:, 3] == 0)
        yield from zip(listing.operations, plan.kernels, strict=True)
