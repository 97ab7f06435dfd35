"""Weights that lie in a file just as the kernels read them, so that the mapped file is memory to compute with.

`docs/quantized-format.md` describes the file: names, types, shapes and metadata.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy.typing as npt

from glassformer.errors import GlassformerError
from glassformer.formats.safetensors_writer import Declared
from glassformer.formats.sharded import PACKED_FORMAT
from glassformer.formats.sharded import Weights as WeightFiles
from glassformer.formats.strict_json import brief
from glassformer.models.config import GPT2Config, expected_tensors
from glassformer.models.reader import TRANSPOSED, Held, Progress, assemble, by_size, is_matrix, matrix_bits
from glassformer.models.weights import Matrix, Weights
from glassformer.runtime.layout import BLOCK, GROUP, code_shape, packed_shape, scale_shape
from glassformer.runtime.packed import KINDS, QUANTIZED, STORED, PackedMatrix, Table
from glassformer.runtime.quantized import QuantizationError, QuantizedMatrix

LAYOUT = "1"
"""Changes with any change to what the kernels read; files of another layout are refused."""

DTYPES = (*QUANTIZED, *KINDS)
TABLE_TYPES = tuple(name for name in STORED if name != "F64")
HEAD = "lm_head.weight"


class PackedWeightsError(GlassformerError):
    """A file of packed weights that cannot be used."""


def metadata_of(dtype: str) -> dict[str, str]:
    """What a file of weights held as `dtype` says about itself."""
    return {"format": PACKED_FORMAT, "layout": LAYOUT, "dtype": dtype, "group_size": str(GROUP), "block": str(BLOCK)}


def declared_tensors(config: GPT2Config, dtype: str, table: str) -> dict[str, list[Declared]]:
    """What a file holds for each of the architecture's tensors, in the order of the file.

    Matrices come first: each takes a multiple of 64 bytes, so all of them are aligned.

    Args:
        config: the sizes.
        dtype: how matrices are held: q8, q4, f32, f16 or bf16.
        table: the position table's type in the file's terms, such as "F32".

    Raises:
        QuantizationError: matrices whose inputs do not make whole groups.
    """
    shapes = expected_tensors(config)
    matrices = [name for name in by_size(shapes) if is_matrix(name, shapes[name])]
    declared = {name: declared_matrix(name, (shapes[name][0], shapes[name][1]), dtype) for name in matrices}
    for name in by_size(shapes):
        if name not in declared:
            declared[name] = [Declared(name, "F32" if len(shapes[name]) == 1 else table, shapes[name])]
    return declared


def declared_matrix(name: str, shape: tuple[int, int], dtype: str) -> list[Declared]:
    """The tensors that a packed matrix takes."""
    inputs, outputs = sizes(name, shape)
    if dtype not in QUANTIZED:
        return [Declared(name + ".packed", dtype.upper(), packed_shape(inputs, outputs))]
    if inputs % GROUP:
        raise QuantizationError(f"{name} has {inputs} inputs; {dtype} needs a multiple of {GROUP}: use f16 or f32")
    return [
        Declared(name + ".codes", "U8", code_shape(inputs, outputs, matrix_bits(name, dtype))),
        Declared(name + ".scales", "F16", scale_shape(inputs, outputs)),
    ]


def sizes(name: str, shape: tuple[int, int]) -> tuple[int, int]:
    """(inputs, outputs) of a matrix by its shape in the architecture."""
    return (shape[1], shape[0]) if name in TRANSPOSED else shape


def arrays_of(held: Held, declared: list[Declared]) -> list[npt.NDArray[Any]]:
    """A tensor's arrays as they are declared."""
    if isinstance(held, QuantizedMatrix):
        arrays: list[npt.NDArray[Any]] = [held.codes, held.scales]
    else:
        arrays = [held.data if isinstance(held, PackedMatrix | Table) else held]
    return [array.reshape(each.shape) for array, each in zip(arrays, declared, strict=True)]


def read_packed(
    files: WeightFiles, config: GPT2Config, dtype: str, progress: Progress | None = None
) -> tuple[GPT2Config, Weights]:
    """The weights of a network over mapped files, which stay open as long as these are used.

    Returns:
        The configuration, its head tied if the files hold none, and the weights.

    Raises:
        PackedWeightsError: another layout, tensors that are not those of the configuration, or held otherwise than
            `dtype` asks.
    """
    where = str(files.path)
    stored = check_metadata(files.metadata, where)
    if dtype not in ("auto", stored):
        raise PackedWeightsError(
            f"{where}: the weights are packed as {stored} and cannot be held as {dtype}; load them as they are, or "
            "load the model that they were made from"
        )
    config = tied_as_packed(files, config)
    table = files.dtype("wpe.weight") if "wpe.weight" in files else "F32"
    declared = declared_tensors(config, stored, table if table in TABLE_TYPES else "F32")
    check_declared(files, [each for group in declared.values() for each in group])
    total = sum(files.nbytes(name) for name in files)
    for done in files.fetch():
        if progress is not None:
            progress(min(done, total), total)  # the header counts for nothing
    shapes = expected_tensors(config)
    taken = {name: taken_from(files, name, shapes[name], parts, stored) for name, parts in declared.items()}
    return config, assemble(config, taken)


def tied_as_packed(files: WeightFiles, config: GPT2Config) -> GPT2Config:
    """The configuration with the head untied if the files hold one of its own."""
    apart = any(HEAD + end in files for end in (".codes", ".packed"))
    return replace(config, tie_word_embeddings=False) if apart else config


def check_metadata(metadata: dict[str, str], where: str) -> str:
    """The `dtype` that a file says its weights are held as."""
    dtype = metadata.get("dtype")
    for key, value in metadata_of(str(dtype)).items():
        if metadata.get(key, "") != value and key != "dtype":
            raise PackedWeightsError(
                f"{where}: packed weights with {key} {brief(metadata.get(key))}, expected {value}: another version of "
                "Glassformer wrote them; run `glassformer quantize` again"
            )
    if dtype not in DTYPES:
        raise PackedWeightsError(
            f"{where}: packed weights of dtype {brief(dtype)}, expected one of {', '.join(DTYPES)}"
        )
    return dtype


def check_declared(files: WeightFiles, declared: list[Declared]) -> None:
    """Check that files hold exactly these tensors."""
    problems = []
    for each in declared:
        expected = f"{each.dtype} {list(each.shape)}"
        if each.name not in files:
            problems.append(f"{each.name} {expected} is missing")
        elif (files.dtype(each.name), files.shape(each.name)) != (each.dtype, each.shape):
            found = f"{files.dtype(each.name)} {brief(list(files.shape(each.name)))}"
            problems.append(f"{each.name} is {found}, expected {expected}")
    known = {each.name for each in declared}
    problems += [f"{brief(name)} belongs to no tensor of the configuration" for name in files if name not in known]
    if problems:
        shown = problems[:20] + ([f"and {len(problems) - 20} more"] if len(problems) > 20 else [])
        raise PackedWeightsError(f"{files.path}: packed tensors and configuration disagree: {'; '.join(shown)}")


def taken_from(
    files: WeightFiles, name: str, shape: tuple[int, ...], declared: list[Declared], dtype: str
) -> Matrix | Table | npt.NDArray[Any]:
    """One tensor over the mapped files."""
    arrays: list[npt.NDArray[Any]] = [files.raw(each.name) for each in declared]
    if is_matrix(name, shape):
        inputs, outputs = sizes(name, (shape[0], shape[1]))
        flat = [array.reshape(-1) for array in arrays]
        if dtype in QUANTIZED:
            return QuantizedMatrix(flat[0], flat[1], inputs, outputs, matrix_bits(name, dtype))
        return PackedMatrix(flat[0], KINDS[dtype], inputs, outputs)
    if len(shape) == 1:
        return arrays[0]
    return Table(arrays[0], STORED[declared[0].dtype], *shape)
