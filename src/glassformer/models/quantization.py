"""From a model in Hugging Face form to a folder whose weights need no work at loading: `glassformer quantize`."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from glassformer.errors import GlassformerError
from glassformer.formats.safetensors_writer import flush_folder, stream_safetensors
from glassformer.formats.sharded import SINGLE_NAME, open_weights
from glassformer.formats.sharded import Weights as WeightFiles
from glassformer.models.config import GPT2Config, read_config
from glassformer.models.hub import SMALL_FILES
from glassformer.models.load import checked_names
from glassformer.models.locate import locate
from glassformer.models.packed_weights import DTYPES, arrays_of, declared_tensors, metadata_of
from glassformer.models.reader import Progress, Reader, table_kind
from glassformer.runtime.engine import Ops
from glassformer.runtime.executor import Eager
from glassformer.runtime.packed import STORED, stored_kind


class QuantizeError(GlassformerError):
    """A model that cannot be written where it was asked for."""


@dataclass(frozen=True)
class Quantized:
    """What was written: the folder, the type of its weights, bytes of the weights before and after."""

    folder: Path
    dtype: str
    bytes_before: int
    bytes_after: int


def quantize(
    source: str | os.PathLike[str] | None,
    target: str | os.PathLike[str],
    *,
    dtype: str = "q8",
    force: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Quantized:
    """Write a model's folder with weights in the layout of the kernels, which `load` maps and uses in place.

    One tensor at a time is in memory. A new folder appears whole or not at all; one that exists gets the new files one
    by one, each whole, the weights last.

    Args:
        source: as for `glassformer.load`.
        target: the folder to write.
        dtype: q8, q4, f32, f16 or bf16; the embedding and the head of a q4 model are held in 8 bits.
        force: whether `target` may hold files already, of which those of a model are replaced.
        threads: worker threads; None: as many as the process may use.
        progress: told the bytes of weights read so far, and in all.

    Raises:
        QuantizeError: `target` is in the way, or `source` is packed already.
        GlassformerError: whatever loading the source raises; a disk that refuses.
    """
    if dtype not in DTYPES:
        raise QuantizeError(f"dtype {dtype!r} is unknown; choose from {', '.join(DTYPES)}")
    folder, goal = locate(source), Path(target)
    check_target(folder, goal, force)
    config = read_config(folder)
    with open_weights(folder) as files:
        if files.is_packed:
            raise QuantizeError(f"{files.path}: these weights are packed already; give the model they were made from")
        # Renaming a folder made beside the target is one step. One that exists is kept: somebody may be working in it.
        place = goal if goal.is_dir() else aside(goal)
        try:
            place.mkdir(parents=True, exist_ok=True)
            copy_small_files(folder, place)
            write_weights(files, config, place / SINGLE_NAME, dtype, Ops(Eager(threads)), progress)
            if place is not goal:
                place.replace(goal)
                flush_folder(goal.parent)
        except OSError as error:
            raise QuantizeError(f"{goal}: cannot write it: {error.strerror or error}") from None
        finally:
            if place is not goal:
                shutil.rmtree(place, ignore_errors=True)
        before = sum(files.nbytes(name) for name in files)
    return Quantized(goal, dtype, before, (goal / SINGLE_NAME).stat().st_size)


def check_target(source: Path, target: Path, force: bool) -> None:
    """Refuse to write over anything that was not given up."""
    if target.name.endswith(".safetensors"):
        raise QuantizeError(f"{target}: expected a folder to write to, which gets {SINGLE_NAME} and the small files")
    if not target.exists():
        return
    if not target.is_dir():
        raise QuantizeError(f"{target}: this is a file; expected a folder to write to")
    if target.resolve() == source.resolve():
        raise QuantizeError(f"{target}: this is the model itself; write to another folder")
    if not force and any(target.iterdir()):
        raise QuantizeError(f"{target}: the folder is not empty; give another, or --force to replace its model")


def aside(goal: Path) -> Path:
    """A name beside the goal that nobody uses."""
    return goal.with_name(f".{goal.name}.{secrets.token_hex(4)}.part")


def copy_small_files(source: Path, target: Path) -> None:
    """Copy configuration, vocabulary and licences; each appears whole.

    Those of a model that was there before go: its vocabulary, in another form, might come first.
    """
    names = [name for name in SMALL_FILES if (source / name).is_file()]
    names += sorted(each.name for each in source.glob("LICEN[CS]E*") if each.is_file())
    for name in names:
        part = aside(target / name)
        try:
            with part.open("xb") as file:
                file.write((source / name).read_bytes())
                file.flush()
                os.fsync(file.fileno())
            part.replace(target / name)
        finally:
            part.unlink(missing_ok=True)
    for name in set(SMALL_FILES).difference(names):
        (target / name).unlink(missing_ok=True)


def write_weights(
    files: WeightFiles, config: GPT2Config, path: Path, dtype: str, ops: Ops, progress: Progress | None
) -> None:
    """Write the file of packed weights, tensor by tensor."""
    config, names = checked_names(files, config)
    table = names["wpe.weight"]
    held = table_kind(dtype, stored_kind(files.dtype(table), table))
    kind = next(name for name, each in STORED.items() if each is held)
    declared = declared_tensors(config, dtype, kind)
    reader = Reader(files, names, dtype, ops, progress)

    def arrays() -> Iterator[npt.NDArray[Any]]:
        for name, parts in declared.items():
            yield from arrays_of(reader.tensor(name), parts)

    stream_safetensors(path, [each for parts in declared.values() for each in parts], arrays(), metadata_of(dtype))
