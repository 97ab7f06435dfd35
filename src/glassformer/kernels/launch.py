"""How threads run compiled kernels: a list of launches, a barrier after each, and the loop of a waiting worker."""

from glassformer.simd import Pointer, atomic_add, atomic_load, atomic_store, barrier, call_entry, i64, kernel, pause

# Places in the control block, an array of i64; what one thread writes often has a cache line (8 numbers) of its own.
GENERATION, STOP, LAUNCHES, COUNT = 0, 8, 9, 10
ARRIVALS = 16
PARKED, SEEN = 24, 25  # of thread 0; each further thread 8 on
RECORD = 3  # a launch: address of the entry, address of its arguments, number of tasks


def control_size(threads: int) -> int:
    """Numbers in the control block for so many threads."""
    return PARKED + 8 * (threads + 1)


@kernel
def run_launches(launches: Pointer[i64], count: i64, arrivals: Pointer[i64], thread: i64, threads: i64) -> None:
    """One thread's share of each launch: the same tasks in every run, and nobody goes on before all have finished."""
    for i in range(count):
        record = launches + i * RECORD
        tasks = record[2]
        begin = tasks * thread // threads
        end = tasks * (thread + 1) // threads
        if begin < end:
            call_entry(record[0], record[1], begin, end)
        barrier(arrivals, threads)


@kernel
def lead(control: Pointer[i64], launches: Pointer[i64], count: i64, threads: i64) -> i64:
    """Announce launches to the workers; then take part, or, where some are parked, return how many: wake them, then `join`."""
    control[COUNT] = count
    atomic_add(control + GENERATION, 1)
    parked = i64(0)
    for thread in range(1, threads):
        parked += atomic_load(control + PARKED + 8 * thread)
    if parked == 0:
        run_launches(launches, count, control + ARRIVALS, 0, threads)
    return parked


@kernel
def join(control: Pointer[i64], launches: Pointer[i64], count: i64, threads: i64) -> None:
    """The leader's own share after it woke the parked workers."""
    run_launches(launches, count, control + ARRIVALS, 0, threads)


@kernel
def work(control: Pointer[i64], launches: Pointer[i64], thread: i64, threads: i64, spins: i64) -> i64:
    """Run what the leader announces; return 0 to be parked after waiting for so many turns in vain, 1 to end.

    A worker says that it parks, then looks once more: either it sees the new generation, or the leader sees its flag.
    """
    seen = control + SEEN + 8 * thread
    parked = control + PARKED + 8 * thread
    atomic_store(parked, 0)
    waited = i64(0)
    while True:
        if atomic_load(control + STOP) != 0:
            return 1
        generation = atomic_load(control + GENERATION)
        if generation != seen[0]:
            seen[0] = generation
            run_launches(launches, control[COUNT], control + ARRIVALS, thread, threads)
            waited = 0
        elif waited >= spins:
            atomic_store(parked, 1)
            if atomic_load(control + GENERATION) == seen[0]:
                return 0
            atomic_store(parked, 0)
        else:
            waited += 1
            pause()
    return 0
