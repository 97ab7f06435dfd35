"""Each engine runs in a process of its own, so that no engine's threads, settings or memory disturb another's; the
driver asks one at a time, by a JSON object a line, and the others sleep.

    python benchmarks/peer_worker.py ENGINE KIND FOLDER THREADS
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glassformer.models.config import read_config


class PeerError(Exception):
    """An engine that is not installed, or that failed; the message says which."""


class Worker:
    """The driver's end: starts the process of an engine, asks, waits.

    others: the share of the processors that others had during the last question; 0 where the system does not tell.
    """

    def __init__(self, engine: str, kind: str, folder: Path, threads: int, target: str = "") -> None:
        self.name = f"{engine} {kind} {target}".strip()
        quiet = {"TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
        environment = os.environ | quiet | ({"GLASSFORMER_TARGET": target} if target else {})
        command = [sys.executable, __file__, engine, kind, str(folder), str(threads)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
        self.others = 0.0
        self.facts: dict[str, Any] = self.receive()

    def ask(self, what: str, *arguments: object) -> Any:
        """One question, and its answer."""
        assert self.process.stdin
        start, busy = time.perf_counter(), busy_seconds()
        self.process.stdin.write(json.dumps([what, *arguments]) + "\n")
        self.process.stdin.flush()
        reply = self.receive()
        elapsed = (time.perf_counter() - start) * (os.cpu_count() or 1)
        self.others = max(0.0, busy_seconds() - busy - reply["processor"]) / elapsed
        return reply["answer"]

    def receive(self) -> dict[str, Any]:
        """The next line; the end of the process, or an error in it, becomes a PeerError."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise PeerError(f"{self.name} ended with code {self.process.wait()}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            self.close()
            raise PeerError(reply["error"])
        return reply

    def close(self) -> None:
        """Let the process end."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def busy_seconds() -> float:
    """Time that all processors together have worked, or were taken away by a hypervisor."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _idle, _waiting, *rest = map(
        int, stat.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def engines() -> dict[str, Callable[[Path, Any, str, int], Any]]:
    """The engines by name; what they need is imported when they are made."""
    from peer_llama import LlamaCpp
    from peer_onnx import OnnxRuntime
    from peer_others import CTranslate2, Torch
    from peer_own import Glassformer, Memory

    return {"glassformer": Glassformer, "memory": Memory, "llama.cpp": LlamaCpp, "ctranslate2": CTranslate2,
            "onnxruntime": OnnxRuntime, "torch": Torch}  # fmt: skip


def token_ids(vocab_size: int, *shape: int) -> npt.NDArray[np.int32]:
    """The tokens that all engines are given, never the end of text."""
    return np.random.default_rng(shape).integers(1, vocab_size, shape).astype(np.int32)


def answer(engine: Any, vocab_size: int, question: list[Any]) -> Any:
    """What the engine says to a question."""
    what, *arguments = question
    if what == "logits":
        return engine.logits(token_ids(vocab_size, arguments[0])).tolist()
    if what == "prefill":
        return engine.prefill(token_ids(vocab_size, arguments[0]))
    if what == "decode":
        context, new = arguments
        return engine.generate(token_ids(vocab_size, context), token_ids(vocab_size, new))
    if what == "batch":
        sequences, new = arguments
        return engine.batch_decode(token_ids(vocab_size, sequences, new))
    if what == "bandwidth":
        return engine.read_bandwidth()
    raise PeerError(f"unknown question {what}")


def main() -> None:
    """Answer until the driver closes the pipe."""
    engine_name, kind, folder, threads = sys.argv[1:]
    say = sys.stdout.fileno()
    replies = os.fdopen(os.dup(say), "w", encoding="utf8")
    os.dup2(sys.stderr.fileno(), say)  # what libraries print must not come between the replies
    config = read_config(folder)

    def reply(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    try:
        engine = engines()[engine_name](Path(folder), config, kind, int(threads))
        reply(engine.facts())
        for line in sys.stdin:
            before = time.process_time()
            found = answer(engine, config.vocab_size, json.loads(line))
            reply({"answer": found, "processor": time.process_time() - before})
    except ImportError as error:
        reply({"error": f"not installed ({error.name})"})
    except Exception as error:
        reply({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
