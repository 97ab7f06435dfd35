"""An engine that continues many texts at once, for requests from any thread: one thread of its own drives the model."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import TypeVar, cast

from glassformer.generation.asked import Asked
from glassformer.generation.batcher import Batcher, Live, PagedNetwork
from glassformer.generation.errors import OptionsError
from glassformer.generation.live_stream import LiveStream
from glassformer.generation.model import TextModel
from glassformer.generation.network import decoder_of
from glassformer.generation.options import is_int, is_number
from glassformer.generation.prefix_cache import PrefixCache
from glassformer.generation.prompt import Prompt
from glassformer.generation.scheduler import Limits, Request
from glassformer.generation.sequence_memory import SequenceMemory
from glassformer.generation.serving_errors import BusyError, ClosedError, ServingError
from glassformer.generation.serving_metrics import Metrics
from glassformer.runtime.kv_cache import KVPool

Result = TypeVar("Result")
Command = Callable[[], None]
PLANS = 64 << 20  # bytes of plans: those of long prompts and of many texts take turns
STOPPED = "the engine was stopped before this request had ended"


@dataclass(frozen=True)
class ServingConfig:
    """What an engine may use.

    Attributes:
        limits: how much is done at a time.
        cache_bytes: memory for keys and values, in whole blocks; it becomes real as it is first used.
        prefix_bytes: how much of it may hold what is known of ended requests, for those that begin alike; None: all
            that running requests do not need; 0: nothing is kept.

    Raises:
        OptionsError: naming every field that is out of range.
    """

    limits: Limits = field(default_factory=Limits)
    cache_bytes: int = 1 << 30
    prefix_bytes: int | None = None

    def __post_init__(self) -> None:
        problems = []
        if not (is_int(self.cache_bytes) and self.cache_bytes >= 1):
            problems.append(f"cache_bytes is {self.cache_bytes!r}; it must be a whole number of at least 1")
        if self.prefix_bytes is not None and not (is_int(self.prefix_bytes) and self.prefix_bytes >= 0):
            problems.append(f"prefix_bytes is {self.prefix_bytes!r}; it must be a whole number of at least 0, or None")
        if problems:
            raise OptionsError(problems)


class Engine:
    """Serves one model until it is closed; also a context manager, which stops it.

    Each request gets the tokens, to the bit, that it gets alone. A model with interventions is served as well; what it
    computes is then not shared between requests.
    """

    def __init__(self, model: TextModel, config: ServingConfig | None = None) -> None:
        self.model, self.config = model, config or ServingConfig()
        memory = memory_for(model, self.config)
        network = cast(PagedNetwork, model.network)
        network.keep_plans(PLANS)
        self.batcher = Batcher(network, memory, self.config.limits)
        self._started = time.monotonic()
        self._changed = threading.Condition()
        self._commands: deque[Command] = deque()
        self._jobs: deque[Callable[[], bool]] = deque()
        self._entering = 0  # requests among the commands
        self._closing = self._stopping = False
        self._thread = threading.Thread(target=self._run, name="glassformer-engine", daemon=True)
        self._thread.start()

    def submit(
        self, prompt: Prompt, asked: Asked | None = None, *, priority: int = 0, timeout: float | None = None,
        notify: Callable[[], None] | None = None,
    ) -> LiveStream:  # fmt: skip
        """Let a prompt be continued.

        Args:
            prompt: text or ids, as for `TextModel.generate`.
            asked: how; see `glassformer.generation.asked.Asked`.
            priority: lower numbers come first, whenever they come.
            timeout: seconds after which the request ends with a DeadlineError, wherever it stands.
            notify: called in the engine's thread when steps or the end have arrived in the stream, once for all of them
                and all streams that have the same one; it must return soon.

        Raises:
            BusyError: if too many requests wait.
            TooLongError: if the memory could not hold the text even alone.
            ClosedError: if the engine takes no requests any more.
            OptionsError, PromptError, ContextError: as `TextModel.generate`.
        """
        problems = [] if is_int(priority) else [f"priority is {priority!r}; it must be a whole number"]
        if timeout is not None and not (is_number(timeout) and timeout > 0):
            problems.append(f"timeout is {timeout!r}; it must be a number of seconds above 0, or None")
        if problems:
            raise OptionsError(problems)
        text, seed = self.model.continuation(prompt, asked or Asked())
        deadline = inf if timeout is None else time.monotonic() + timeout
        request = Request(list(text.prompt), text.capacity, priority, deadline)
        stream = LiveStream(
            text.prompt, seed, cancel=lambda: self._tell(partial(self.batcher.cancel, live)), notify=notify
        )
        live = Live(request, text, stream, since=time.perf_counter())
        try:
            self._enter(live)
        except ServingError:
            self.batcher.counts.rejected += 1
            raise
        return stream

    def call(self, job: Callable[[], Result]) -> Future[Result]:
        """Run a function in the engine's thread, between two steps: the model does nothing else meanwhile.

        There is a step between two functions, so that texts go on however many functions come.

        Raises:
            ClosedError: if the engine takes no requests any more.
        """
        future: Future[Result] = Future()
        with self._changed:
            self._check_open()
            self._jobs.append(partial(self._work, job, future))
            self._changed.notify()
        return future

    def metrics(self) -> Metrics:
        """The state at this moment."""
        batcher, now = self.batcher, time.monotonic()
        memory, scheduler = batcher.memory, batcher.scheduler
        return Metrics(
            waiting=len(scheduler.waiting) + self._entering,
            running=len(scheduler.running),
            blocks=memory.pool.blocks,
            free_blocks=len(memory.pool.free),
            prefix_blocks=0 if memory.prefixes is None else len(memory.prefixes),
            prompt_tokens=memory.asked_tokens,
            known_tokens=memory.known_tokens,
            tokens_per_second=batcher.rate.per_second(now),
            uptime=now - self._started,
            **vars(batcher.counts),
        )

    @property
    def alive(self) -> bool:
        """Whether its thread goes on: until it is closed, or broke by a mistake."""
        return self._thread.is_alive()

    def drain(self, timeout: float | None = None) -> bool:
        """Take no more requests and let those that are here end; whether they did so within the seconds given."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """End all requests within a step, each with a ClosedError, and let the thread end."""
        with self._changed:
            self._closing = self._stopping = True
            self._changed.notify()
        self._thread.join()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _check_open(self) -> None:
        if self._closing:
            raise ClosedError("the engine is shutting down and takes no more requests")

    def _enter(self, live: Live) -> None:
        self.batcher.memory.check_fits(live.request)
        with self._changed:
            self._check_open()
            waiting = len(self.batcher.scheduler.waiting) + self._entering
            if waiting >= self.config.limits.waiting:
                raise BusyError(f"{waiting} requests wait already; try again later", retry_after=1.0)
            self._entering += 1
            self._commands.append(partial(self._begin, live))
            self._changed.notify()

    def _tell(self, command: Command) -> None:
        with self._changed:
            self._commands.append(command)
            self._changed.notify()

    # ------------------------------------------------------------ in the engine's thread

    def _run(self) -> None:
        try:
            while self._wait():
                self._turn()
        except BaseException as error:  # a mistake of ours, of which nobody is to wait for the end
            self._break(error)
            raise

    def _turn(self) -> None:
        """What was asked meanwhile, and a step."""
        while self._commands:
            self._commands.popleft()()
        while self._jobs and not self._jobs.popleft()():
            pass  # those that nobody waits for any more take no turn
        if self._stopping:
            self.batcher.stop(ClosedError(STOPPED))
        else:
            self.batcher.guarded(list(self.batcher.live.values()), self.batcher.step)

    def _break(self, error: BaseException) -> None:
        """Tell all who wait that the thread ends."""
        with self._changed:
            self._closing = self._stopping = True
        for left in (*self._commands, *self._jobs):
            with suppress(Exception):
                left()
        self.batcher.stop(
            ServingError(f"the engine broke: {type(error).__name__}: {error}; please report this, and start it anew")
        )

    def _wait(self) -> bool:
        """Sleep until there is something to do; whether there is, before the end."""
        with self._changed:
            while not (self._commands or self._jobs or self.batcher.live):
                if self._closing:
                    return False
                self._changed.wait()
        return True

    def _begin(self, live: Live) -> None:
        self.batcher.counts.submitted += 1
        with self._changed:
            self._entering -= 1
        try:
            self.batcher.add(live)
        except ServingError as error:  # requests that lost their memory have filled the queue since
            self.batcher.refuse(live, error)

    def _work(self, job: Callable[[], Result], future: Future[Result]) -> bool:
        if self._stopping:
            future.cancel()
        if not future.set_running_or_notify_cancel():
            return False
        try:
            future.set_result(job())
        except BaseException as error:
            future.set_exception(error)
        return True


def memory_for(model: TextModel, config: ServingConfig) -> SequenceMemory:
    """Memory of the configured size.

    Raises:
        OptionsError: if it does not hold one block.
        ServingError: for a network whose caches lie in no pool.
    """
    if not hasattr(model.network, "layout"):
        raise ServingError(
            f"a {type(model.network).__name__} cannot be served: its caches do not lie in the blocks of a pool; "
            "load a model, or continue several prompts with Model.generate"
        )
    layout = cast(PagedNetwork, model.network).layout
    blocks = config.cache_bytes // layout.block_stride
    if blocks < 1:
        raise OptionsError([f"cache_bytes is {config.cache_bytes}; a block of this model takes {layout.block_stride}"])
    pool = KVPool(layout, blocks)
    kept = blocks if config.prefix_bytes is None else config.prefix_bytes // layout.block_stride
    # A network that wraps another may change what a token's keys and values depend on, such as the prompt's length.
    shared = kept > 0 and decoder_of(model.network) is not None
    return SequenceMemory(pool, PrefixCache(pool, kept) if shared else None)
