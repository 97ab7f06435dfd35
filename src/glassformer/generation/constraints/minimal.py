"""Which states of a deterministic automaton are the same (Hopcroft 1971)."""

from collections.abc import Collection, Sequence


def blocks(rows: Sequence[dict[int, int]], accepting: Collection[int]) -> list[int]:
    """For every state the number of its block: those of one block accept the same texts.

    Args:
        rows: for each state, symbol -> next state; what is missing accepts nothing more.
        accepting: states in which a text may end.
    """
    before: dict[int, dict[int, list[int]]] = {}  # symbol -> state -> states that lead to it
    arrivals: list[set[int]] = [set() for _ in rows]  # of each state the symbols that lead to it
    for state, row in enumerate(rows):
        for symbol, after in row.items():
            before.setdefault(symbol, {}).setdefault(after, []).append(state)
            arrivals[after].add(symbol)
    final = set(accepting)
    parts = [part for part in (final, set(range(len(rows))) - final) if part]
    block = [0] * len(rows)
    for number, part in enumerate(parts):
        for state in part:
            block[state] = number
    # All blocks have to be looked at: missing edges make a block of their own that nobody splits by.
    waiting = {(number, symbol) for number in range(len(parts)) for symbol in before}
    while waiting:
        number, symbol = waiting.pop()
        sources = before[symbol]
        hit: dict[int, set[int]] = {}
        part = parts[number]
        found = part if len(part) < len(sources) else sources.keys() & part
        for state in found:
            for source in sources.get(state, ()):
                hit.setdefault(block[source], set()).add(source)
        for split, inside in hit.items():
            if len(inside) < len(parts[split]):
                _split(parts, block, split, inside, waiting, arrivals)
    return block


def _split(
    parts: list[set[int]], block: list[int], number: int, inside: set[int],
    waiting: set[tuple[int, int]], arrivals: Sequence[Collection[int]],
) -> None:  # fmt: skip
    """Make two blocks of one, and note what has to be looked at again."""
    rest = parts[number] - inside
    small, large = (inside, rest) if len(inside) < len(rest) else (rest, inside)
    parts[number] = large
    fresh = len(parts)
    parts.append(small)
    for state in small:
        block[state] = fresh
        for symbol in arrivals[state]:
            # The smaller half is enough: if the whole waits, its number stands for the larger.
            waiting.add((fresh, symbol))
