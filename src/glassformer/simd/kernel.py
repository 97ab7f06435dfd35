"""`@kernel`: from a Python function to machine code that can be called, shown, cached and run as Python."""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from glassformer.simd import reference
from glassformer.simd.cache import default_folder, language_fingerprint, object_cache
from glassformer.simd.errors import OperandError, TargetError
from glassformer.simd.native import link, optimise
from glassformer.simd.signature import (
    ENTRY,
    SLOT_FORMATS,
    bind_lanes,
    check_entry,
    code_signature,
    fix_lanes,
    value_signature,
)
from glassformer.simd.table import Operand, Static, literal_fits
from glassformer.simd.target import Target, find_target, load_llvm, runnable_targets
from glassformer.simd.types import PointerValue, Value, i64, is_type

if TYPE_CHECKING:
    from glassformer.simd import tree

_build_lock = threading.RLock()


class Kernel:
    """A function of the kernel language.

    Calling it with arrays and numbers runs it on this machine. Keyword-only parameters are compile-time constants.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if not inspect.isfunction(function):
            raise OperandError(f"a kernel is a plain Python function, not {function!r}")
        self.function = function
        self.name = function.__name__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        self.variants: dict[tuple[Any, ...], Variant] = {}

    @cached_property
    def annotations(self) -> tuple[dict[str, Any], Any, dict[str, Any]]:
        """Types of the parameters, of the result, and the constants' defaults (inspect's `empty` where none)."""
        try:
            hints = inspect.get_annotations(self.function, eval_str=True)
            declared = inspect.signature(self.function).parameters
        except Exception as error:  # annotations given as text are evaluated, which may raise anything
            raise OperandError(f"{self.name}: its annotations cannot be read: {error}") from None
        parameters, constants = {}, {}
        for name, parameter in declared.items():
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                constants[name] = parameter.default
            elif parameter.kind is not parameter.POSITIONAL_OR_KEYWORD or parameter.default is not parameter.empty:
                raise OperandError(
                    f"{self.name}: parameter {name}: a kernel has neither * parameters nor defaults of run-time ones"
                )
            elif not is_type(hints.get(name)):
                raise OperandError(f"{self.name}: parameter {name} needs a machine type, such as {name}: i64")
            else:
                parameters[name] = hints[name]
        result = hints.get("return")
        if result is not None and not is_type(result):
            raise OperandError(f"{self.name}: it returns {result!r}, which is no machine type such as i64")
        return parameters, result, constants

    def specialise(self, **constants: Any) -> Variant:
        """The kernel with its compile-time constants decided."""
        return self.variants.get(self._key(constants, 1)) or self._variant(self._complete(constants), 1)

    def _key(self, constants: dict[str, Any], lanes: int) -> tuple[Any, ...]:
        """Tells variants apart; 1, 1.0 and True are three constants."""
        key = (*((name, type(value), value) for name, value in constants.items()), lanes)
        try:
            hash(key)
        except TypeError:
            raise OperandError(f"{self.name}: constants are numbers, types, tuples, operations and kernels, "
                               f"not {constants}") from None  # fmt: skip
        return key

    def _complete(self, constants: dict[str, Any]) -> dict[str, Any]:
        known = self.annotations[2]
        unknown = [name for name in constants if name not in known]
        out = {**known, **constants}
        missing = [name for name, value in out.items() if value is inspect.Parameter.empty]
        if unknown or missing:
            raise OperandError(f"{self.name}: constants {missing} are missing, {unknown} are unknown")
        return out

    def _variant(self, constants: dict[str, Any], lanes: int) -> Variant:
        return self.variants.setdefault(self._key(constants, lanes), Variant(self, constants, lanes))

    def instantiate(self, operands: Sequence[Operand], constants: dict[str, Any]) -> tree.Function:
        """The typed tree for a call from another kernel."""
        parameters = self.annotations[0]
        if len(operands) != len(parameters):
            raise OperandError(f"takes {len(parameters)} operands ({', '.join(parameters)}), got {len(operands)}")
        variant = self._variant(self._complete(constants), bind_lanes(parameters, operands))
        for operand, (name, kind) in zip(operands, variant.parameters.items(), strict=True):
            if isinstance(operand, Static) and not literal_fits(operand.value, kind.scalar):
                raise OperandError(f"{name} is {kind.name}, which {operand.value!r} does not fit")
            if is_type(operand) and operand is not kind and (operand.scalar is not kind.scalar or operand.lanes != 1):  # type: ignore[union-attr]
                raise OperandError(f"{name} is {kind.name}, the operand is {operand.name}")  # type: ignore[union-attr]
        return variant.function

    def __call__(self, *args: Any, **constants: Any) -> Any:
        if reference.running() or any(isinstance(a, Value) for a in args):
            return self._as_python(args, constants)
        return self.specialise(**constants)(*args)

    def _as_python(self, args: Sequence[Any], constants: dict[str, Any]) -> Any:
        """A call within reference mode: operands and result come to their types, as they do in machine code."""
        parameters, result, _ = self.annotations
        if len(args) != len(parameters):
            raise OperandError(
                f"{self.name} takes {len(parameters)} operands ({', '.join(parameters)}), got {len(args)}"
            )
        lanes = bind_lanes(parameters, [type(a) if isinstance(a, Value) else Static(a) for a in args])
        kinds = [fix_lanes(kind, lanes) for kind in parameters.values()]
        values = [a if isinstance(a, kind) else kind(a) for a, kind in zip(args, kinds, strict=True)]
        with reference.inside(lanes):
            made = self.function(*values, **self._complete(constants))
        kind = fix_lanes(result, lanes)
        return made if kind is None or isinstance(made, kind) else kind(made)

    def tree(self, **constants: Any) -> str:
        """The typed tree as text."""
        from glassformer.simd import tree

        return tree.show(self.specialise(**constants).function)

    def ir(self, target: str | None = None, **constants: Any) -> str:
        """LLVM IR as emitted, before optimisation."""
        from glassformer.simd.emit import emit_module

        return emit_module(self.specialise(**constants).function, find_target(target))

    def assembly(self, target: str | None = None, **constants: Any) -> str:
        """Assembly of the optimised kernel."""
        return str(self.specialise(**constants).compile_for(find_target(target), "emit_assembly"))

    def __repr__(self) -> str:
        return f"<kernel {self.name}>"


def kernel(function: Callable[..., Any]) -> Kernel:
    """Declare a kernel; nothing is parsed or compiled before it is used."""
    return Kernel(function)


class Variant:
    """A kernel with its constants decided: what has a tree, a key and machine code."""

    def __init__(self, owner: Kernel, constants: dict[str, Any], lanes: int) -> None:
        self.owner, self.constants, self.lanes = owner, constants, lanes
        self.loaded: dict[str, Loaded] = {}
        self._building = False

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """Types of the parameters, lanes decided."""
        return {name: fix_lanes(kind, self.lanes) for name, kind in self.owner.annotations[0].items()}

    @cached_property
    def function(self) -> tree.Function:
        """The typed tree. Parsing is needed for this alone, so a kernel that is in the cache never pays for it."""
        from glassformer.simd.frontend import build

        with _build_lock:  # held again by calls within this one
            if self._building:
                raise OperandError(f"{self.owner.name} calls itself; kernels are inlined, so recursion has no end")
            self._building = True
            try:
                result = fix_lanes(self.owner.annotations[1], self.lanes)
                return build(self.owner.function, self.parameters, result, self.constants, self.lanes)
            finally:
                self._building = False

    def compile_for(self, target: Target, emit: str = "emit_object", symbol: str = ENTRY) -> Any:
        """Optimise for a target and emit an object or assembly."""
        from glassformer.simd.emit import emit_module

        return optimise(emit_module(self.function, target, symbol), target, emit)

    def key(self, target: Target) -> str:
        """Names the machine code: the kernel's own code and all it uses, constants, target, versions."""
        parts = [
            language_fingerprint(), str(load_llvm().llvm_version_info), sys.implementation.cache_tag or "",
            target.name, target.triple, target.cpu, target.llvm_features, code_signature(self.owner),
            repr([(n, value_signature(v, set())) for n, v in self.constants.items()]), str(self.lanes),
        ]  # fmt: skip
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def load(self, target: Target | None = None) -> Loaded:
        """Machine code in this process, from the cache or compiled now."""
        target = target or find_target()
        if target.name not in self.loaded:
            check_entry(self.owner.name, self.parameters, self.owner.annotations[1])
            if target.name not in runnable_targets():
                raise TargetError(f"this machine cannot run {target.name}; it runs {', '.join(runnable_targets())}")
            store, key = object_cache(default_folder()), self.key(target)
            symbol = f"{ENTRY}_{key}"  # all objects share one linker, so each has a name of its own
            code = store.read(key)
            if code is None:
                code = self.compile_for(target, symbol=symbol)
                store.write(key, code)
            self.loaded[target.name] = Loaded(self, link(code, symbol))
        return self.loaded[target.name]

    def __call__(self, *args: Any, begin: int = 0, end: int = 0, target: Target | None = None) -> int | None:
        """Run on this thread; arrays for pointers, Python numbers for the rest (`begin`, `end` by position or name)."""
        if len(args) not in (slots := len(self.parameters), slots - len({"begin", "end"} & self.parameters.keys())):
            raise OperandError(f"{self.owner.name}({', '.join(self.parameters)}) got {len(args)} arguments")
        if reference.wanted():
            full = [*args, begin, end][: len(self.parameters)] if len(args) < slots else args
            result = reference.run(self.owner.function, self.parameters, full, self.constants)
            return None if result is None else int(result)
        loaded = self.load(target)
        if len(args) > len(loaded.names):
            begin, end = args[-2:]
        outcome = loaded.entry(loaded.pack(args[: len(loaded.names)]), begin, end)
        return outcome if self.owner.annotations[1] is i64 else None


class Loaded:
    """A variant's machine code, ready to be called: `entry(arguments, begin, end)`."""

    def __init__(self, variant: Variant, address: int) -> None:
        self.address = address
        prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64)
        self.entry: Callable[[bytes, int, int], int] = prototype(self.address)
        slots = {n: k for n, k in variant.parameters.items() if not (n in ("begin", "end") and k is i64)}
        self.names = tuple(slots)
        self.pointers = tuple(issubclass(k, PointerValue) for k in slots.values())
        self.kinds: tuple[type[Value], ...] = tuple(slots.values())
        self.format = struct.Struct(
            "<" + "".join("Q" if issubclass(k, PointerValue) else SLOT_FORMATS[k.name] for k in slots.values())
        )
        self.kernel_name = variant.owner.name

    def pack(self, args: Sequence[Any]) -> bytes:
        """Arguments as the block that the entry reads; arrays become their addresses."""
        try:
            return self.format.pack(*[address_of(a) if p else a for a, p in zip(args, self.pointers, strict=True)])
        except (struct.error, AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            expected = ", ".join(f"{n}: {k.name}" for n, k in zip(self.names, self.kinds, strict=True))
            found = ", ".join(type(a).__name__ if p else repr(a) for a, p in zip(args, self.pointers, strict=False))
            raise OperandError(f"{self.kernel_name}({expected}) cannot take ({found}): {error}") from None


def address_of(array: Any) -> int:
    """The address of an array's first element (an int is an address already, None is 0)."""
    if array is None:
        return 0
    if isinstance(array, int):
        return array
    return int(array.__array_interface__["data"][0])
