"""How threads share a compiled kernel: tasks are claimed from a counter, and the leader waits until all are done.

The counter and the launch's generation are one word, so that a claim succeeds only while its launch is the current
one. A worker that the system lets wait takes nothing and holds nobody up, which a barrier of all threads would. Who
runs a task never shows in its result: each output element belongs to one task and has one order of computation.
"""

from glassformer.simd import (
    Pointer,
    atomic_add,
    atomic_load,
    atomic_store,
    call_entry,
    cast,
    clock,
    compare_exchange,
    i64,
    kernel,
    pause,
    prefetch,
    static_range,
    u8,
)

# Places in the control block, an array of i64; what threads write often has a cache line (8 numbers) of its own.
WORD = 0  # generation * 2^32 + next task
DONE = 8  # tasks finished
STOP, ACTIVE = 16, 17  # the pool ends; a list of launches is under way
ENTRY, ARGUMENTS, TASKS, SHARE = 24, 25, 26, 27
LAUNCH, THREADS = 28, 29  # where launches are timed: number of the current one in its list; threads of the pool
AHEAD, PART = 30, 31  # weights that come next: where they are, and how far one thread's part is behind the other's
HERE = 18  # the address of this block
# Of thread 0; each further thread 8 on. Beside it: the weights that the thread last asked for, and how many bytes.
PARKED = 32
ASKED_OF, ASKED = 1, 2
NEXT_BITS = 32
CLOSED = (1 << NEXT_BITS) - 1
# Where launches are timed, there is room behind the control block, for each thread and each of TIMED launches: the
# ticks at which the thread began its first task and ended its last, and how many it worked. 0: it did not take part.
TIMED = 1024  # launches of a list at most
BEGAN, ENDED, WORKED, TIMES = 0, 1, 2, 3
# A launch in a list: entry, arguments, tasks, the part of what is left that a claim takes, as 1 / number (0: the leader
# does all, unannounced), and the AHEAD and PART to be announced with it.
RECORD = 6
REACH = 256 << 10  # bytes that a thread asks for ahead, well within its own cache
LINES = 8  # of 64 bytes, that it asks for between two looks at what is to be done


def control_size(threads: int) -> int:
    """Numbers in the control block for so many threads."""
    return PARKED + 8 * threads


def timed_size(threads: int) -> int:
    """Numbers in a control block with room for times."""
    return control_size(threads) + TIMED * TIMES * threads


@kernel
def wait(control: Pointer[i64], thread: i64) -> None:
    """Ask for some of the weights that this thread is likely to read next, or let a moment pass.

    Memory would rest while a thread waits. A wrong address does no harm: a prefetch never faults.
    """
    own = control + PARKED + 8 * thread
    ahead = atomic_load(control + AHEAD)
    part = atomic_load(control + PART)
    if own[ASKED_OF] != ahead:
        own[ASKED_OF] = ahead
        own[ASKED] = 0
    if own[ASKED] < min(part, REACH):
        place = cast(control, u8) + (ahead - control[HERE] + thread * part + own[ASKED])
        for line in static_range(LINES):
            prefetch(place + 64 * line, 2)
        own[ASKED] = own[ASKED] + 64 * LINES
    else:
        pause()


@kernel
def run_tasks(
    control: Pointer[i64], thread: i64, number: i64, entry: i64, arguments: i64, first: i64, last: i64, *, PROFILE: bool
) -> None:
    """Run tasks of a launch, `number` in its list, and write down when, where launches are timed."""
    if PROFILE:
        began = clock()
        call_entry(entry, arguments, first, last)
        ended = clock()
        times = control + (PARKED + 8 * control[THREADS] + TIMES * (thread * TIMED + number))
        prefetch(times + 8 * TIMES)  # of launches to come: weights have swept them out of the caches
        if times[WORKED] == 0:
            times[BEGAN] = began
        times[ENDED] = ended
        times[WORKED] = times[WORKED] + max(ended - began, 1)
    else:
        call_entry(entry, arguments, first, last)


@kernel
def share(control: Pointer[i64], generation: i64, thread: i64, *, PROFILE: bool = False) -> None:
    """Claim and run tasks of a launch until none is left or it is over.

    ENTRY, ARGUMENTS and LAUNCH are read behind a successful claim alone: the leader does not touch them before that
    claim is done.
    """
    while True:
        word = atomic_load(control + WORD)
        first = word & CLOSED
        tasks = atomic_load(control + TASKS)
        if (word >> NEXT_BITS) != generation or first >= tasks:
            return
        # Large claims first, which read memory in long runs, and ever smaller ones, so that all end together.
        # (SHARE is 0 before the first launch, which a worker with an old word may meet.)
        last = first + max((tasks - first) // max(atomic_load(control + SHARE), 1), 1)
        # Had the leader begun to write the next launch since the word was read, the exchange fails: it closes the word
        # before it writes TASKS, and both writes are atomic, so whoever saw the new number finds the word closed.
        if compare_exchange(control + WORD, word, word + (last - first)) == word:
            number = control[LAUNCH] if PROFILE else i64(0)
            run_tasks(control, thread, number, control[ENTRY], control[ARGUMENTS], first, last, PROFILE=PROFILE)
            atomic_add(control + DONE, last - first)


@kernel
def announce(control: Pointer[i64], record: Pointer[i64]) -> i64:
    """Make a launch the current one: close the word, write the launch, open the word. The new generation."""
    generation = (atomic_load(control + WORD) >> NEXT_BITS) + 2
    atomic_store(control + WORD, ((generation - 1) << NEXT_BITS) | CLOSED)
    control[ENTRY] = record[0]
    control[ARGUMENTS] = record[1]
    atomic_store(control + TASKS, record[2])
    atomic_store(control + SHARE, record[3])
    atomic_store(control + AHEAD, record[4])
    atomic_store(control + PART, record[5])
    atomic_store(control + DONE, 0)
    atomic_store(control + WORD, generation << NEXT_BITS)
    return atomic_load(control + WORD) >> NEXT_BITS  # not `generation`, which is one bit too long after 2^30 launches


@kernel
def replay(control: Pointer[i64], records: Pointer[i64], count: i64, *, PROFILE: bool = False) -> None:
    """The leader: run a list of launches, each after the one before it is done, with whatever workers are awake."""
    for i in range(count):
        record = records + i * RECORD
        if record[3] == 0:
            run_tasks(control, 0, i, record[0], record[1], 0, record[2], PROFILE=PROFILE)
        else:
            if PROFILE:
                control[LAUNCH] = i  # nobody reads it: the launch before is done
            share(control, announce(control, record), 0, PROFILE=PROFILE)
            while atomic_load(control + DONE) < record[2]:
                wait(control, 0)


@kernel
def work(control: Pointer[i64], thread: i64, spins: i64, *, PROFILE: bool = False) -> i64:
    """A worker: take part in launches; return 0 to be parked after so many turns without one, 1 to end.

    None parks while a list is under way, since only the next list would wake it: a leader that the system lets wait, or
    that does a long launch alone, must not lose its workers for the rest of a prompt. A worker says that it parks, then
    looks once more. One that parks just as a list comes is missed until the next, which costs time and nothing else.
    """
    parked = control + PARKED + 8 * thread
    atomic_store(parked, 0)
    seen = i64(-1)
    waited = i64(0)
    while True:
        if atomic_load(control + STOP) != 0:
            return 1
        generation = atomic_load(control + WORD) >> NEXT_BITS
        if generation != seen:
            seen = generation
            share(control, generation, thread, PROFILE=PROFILE)
            waited = i64(0)
        elif waited < spins or atomic_load(control + ACTIVE) != 0:
            waited += 1
            wait(control, thread)
        else:
            atomic_store(parked, 1)
            if (atomic_load(control + WORD) >> NEXT_BITS) == seen and atomic_load(control + ACTIVE) == 0:
                return 0
            atomic_store(parked, 0)
    return 0  # type: ignore[unreachable]


@kernel
def run_lists(records: Pointer[i64], starts: Pointer[i64], begin: i64, end: i64) -> None:
    """A task is a list of launches, those from starts[task] to below starts[task + 1], one after the other.

    records: [launches, RECORD], of which SHARE, AHEAD and PART are not looked at.
    """
    for task in range(begin, end):
        for i in range(starts[task], starts[task + 1]):
            record = records + i * RECORD
            call_entry(record[0], record[1], 0, record[2])
