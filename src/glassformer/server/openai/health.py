"""/health and /metrics: whether the server is well, and what it does."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from glassformer.server.openai.service import Service

KIND = "text/plain; version=0.0.4; charset=utf-8"
GAUGES = ("waiting", "running", "blocks", "free_blocks", "prefix_blocks", "tokens_per_second", "uptime")


async def health(service: Service, request: Request) -> Response:
    """That the server answers, and how many requests are before it; 503 where its engine has ended."""
    found, alive = service.engine.metrics(), service.engine.alive
    said = {"status": "ok" if alive else "ended", "model": service.name}
    return JSONResponse(
        said | {"running": found.running, "waiting": found.waiting}, status_code=200 if alive else 503
    )


async def metrics(service: Service, request: Request) -> Response:
    """Numbers in the text format of Prometheus."""
    lines = [*engine_lines(service), *answer_lines(service)]
    return PlainTextResponse("\n".join(lines) + "\n", media_type=KIND)


def engine_lines(service: Service) -> Iterator[str]:
    """What the engine counts; `glassformer.generation.serving_metrics` says what each is."""
    for name, value in vars(service.engine.metrics()).items():
        gauge = name in GAUGES
        full = f"glassformer_engine_{name}" + ("" if gauge else "_total")
        yield f"# TYPE {full} {'gauge' if gauge else 'counter'}"
        yield f"{full} {value:.10g}"


def answer_lines(service: Service) -> Iterator[str]:
    """What was asked and answered."""
    counters = service.counters
    yield "# TYPE glassformer_http_open gauge"
    yield f"glassformer_http_open {counters.open}"
    yield "# TYPE glassformer_http_answers_total counter"
    for (place, status), count in sorted(counters.answers.items()):
        yield f'glassformer_http_answers_total{{endpoint="{place}",status="{status}"}} {count}'
    yield "# TYPE glassformer_http_seconds_total counter"
    for place, seconds in sorted(counters.seconds.items()):
        yield f'glassformer_http_seconds_total{{endpoint="{place}"}} {seconds:.6f}'
    for name in ("prompt_tokens", "completion_tokens"):
        yield f"# TYPE glassformer_http_{name}_total counter"
        yield f"glassformer_http_{name}_total {getattr(counters, name)}"
