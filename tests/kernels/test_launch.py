"""The control block that threads share, looked at from one thread."""

import numpy as np

from glassformer.kernels import launch
from glassformer.runtime.memory import aligned
from glassformer.simd import Pointer, i64, kernel
from glassformer.simd.kernel import address_of


@kernel
def note(claims: Pointer[i64], begin: i64, end: i64) -> None:
    """claims[0] counts claims, behind it lie where each began and ended."""
    number = claims[0]
    claims[1 + 2 * number] = begin
    claims[2 + 2 * number] = end
    claims[0] = number + 1


def claims_of(tasks: int, share: int) -> list[tuple[int, int]]:
    """Claims that a leader without workers makes of one launch."""
    control, claims = aligned(launch.control_size(1)), np.zeros(1 + 2 * (tasks + 1), np.int64)
    loaded = note.specialise().load()
    block = np.frombuffer(loaded.pack([claims]), np.uint8).copy()
    records = np.array([[loaded.address, address_of(block), tasks, share, 0, 0]], np.int64)
    launch.replay(control, records, 1)
    assert control[launch.DONE] == (tasks if share else 0)
    return [(int(a), int(b)) for a, b in claims[1 : 1 + 2 * claims[0]].reshape(-1, 2)]


def test_claims_cover_all_tasks_once_and_in_order() -> None:
    for tasks, share in ((1, 1), (10, 1), (10, 3), (10, 10), (10, 99), (64, 7)):
        claims = claims_of(tasks, share)
        assert [begin for begin, _ in claims] == [0, *(end for _, end in claims[:-1])]
        assert claims[-1][1] == tasks
        assert all(end - begin == max((tasks - begin) // share, 1) for begin, end in claims)


def test_claims_become_small_towards_the_end() -> None:
    sizes = [end - begin for begin, end in claims_of(100, 8)]
    assert sizes[:4] == [12, 11, 9, 8]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-8:] == [1] * 8


def test_share_0_is_one_claim() -> None:
    assert claims_of(10, 0) == [(0, 10)]


def test_a_late_worker_finds_a_closed_word_and_takes_nothing() -> None:
    """Between two launches, and after the last task of one, whatever the number of tasks says by then."""
    control = aligned(launch.control_size(2))
    for word in ((6 << 32) | launch.CLOSED, (6 << 32) | 100, (8 << 32) | 5):
        control[launch.WORD], control[launch.TASKS], control[launch.SHARE] = word, 100, 1
        control[launch.ENTRY] = control[launch.ARGUMENTS] = 0  # a call would be the end of this process
        launch.share(control, 6, 0)
        assert control[launch.WORD] == word
        assert control[launch.DONE] == 0


def test_the_share_may_still_be_missing_when_a_late_worker_comes() -> None:
    """Before the first launch it is 0, and the leader writes the number of tasks first."""
    control = aligned(launch.control_size(2))
    control[launch.TASKS] = 5
    control[launch.ENTRY] = note.specialise().load().address
    claims = np.zeros(100, np.int64)
    block = np.frombuffer(note.specialise().load().pack([claims]), np.uint8).copy()
    control[launch.ARGUMENTS] = address_of(block)
    launch.share(control, 0, 0)
    assert control[launch.DONE] == 5


def test_what_threads_write_lies_in_cache_lines_of_its_own() -> None:
    flags = [launch.PARKED + 8 * thread for thread in range(4)]
    written = [launch.WORD, launch.DONE, launch.STOP, *flags]
    assert len({place // 8 for place in written}) == len(written)
    assert launch.control_size(4) > max(flags)
    assert {launch.ENTRY // 8, launch.TASKS // 8}.isdisjoint(place // 8 for place in written)
