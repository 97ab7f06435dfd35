"""Safetensors files that nobody vouches for: a table of name, bytes, whether to accept them, and why.

Where the reference parser decides otherwise, the case says so in `reference` and gives the reason. Everything is made
in code, so that each case shows what is wrong with it.
"""

from dataclasses import dataclass

FLOAT = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'


@dataclass(frozen=True)
class Case:
    """One file: `accept` is our decision, `reference` the other parser's where it differs, for `reason`."""

    name: str
    data: bytes
    accept: bool
    reference: bool | None = None
    reason: str = ""

    @property
    def expected_of_reference(self) -> bool:
        return self.accept if self.reference is None else self.reference


def file(header: str | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A file of a header, its length (or a false one) and tensor bytes."""
    text = header.encode() if isinstance(header, str) else header
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(fields: str, size: int = 4) -> bytes:
    """A file with one tensor `a` of the given JSON fields and `size` bytes of zeros."""
    return file(f'{{"a":{{{fields}}}}}', bytes(size))


def shaped(shape: str, size: int = 4, dtype: str = "F32") -> bytes:
    return tensor(f'"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{size}]', size)


def placed(offsets: str, size: int = 4) -> bytes:
    return tensor(f'"dtype":"F32","shape":[1],"data_offsets":{offsets}', size)


def extra(value: str) -> bytes:
    """A good tensor with an unknown field of the given JSON value."""
    return tensor(f'"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":{value}')


def two(first: str, second: str, size: int) -> bytes:
    """A file with F32 tensors `a` and `b` of one element at the given offsets."""
    return file(
        f'{{"a":{{"dtype":"F32","shape":[1],"data_offsets":{first}}},'
        f'"b":{{"dtype":"F32","shape":[1],"data_offsets":{second}}}}}',
        bytes(size),
    )


def _length_cases() -> list[Case]:
    return [
        Case("empty file", b"", False),
        Case("seven bytes", b"1234567", False),
        Case("header length 0", file(""), False),
        Case("eight zero bytes", bytes(8), False),
        Case("header length 2^64-1", file("{}", length=2**64 - 1), False),
        Case("header length 2^63", file("{}", length=2**63), False),
        Case("header length 100,000,001", file("{}", length=100_000_001), False),
        Case("header length 100,000,000, past the end", file("{}", length=100_000_000), False),
        Case("header one byte past the end", file("{}", length=3), False),
        Case("header cut off", file(f'{{"a":{FLOAT}}}', bytes(4))[:20], False),
        Case("a Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", False),
        Case("a zip archive", b"PK\x03\x04" + bytes(60), False),
    ]


def _text_cases() -> list[Case]:
    name = f":{FLOAT}}}".encode()
    return [
        Case("byte ff", file(b"\xff"), False),
        Case("overlong slash", file(b'{"\xc0\xaf"' + name, bytes(4)), False),
        Case("surrogate in UTF-8", file(b'{"\xed\xa0\x80"' + name, bytes(4)), False),
        Case("beyond U+10FFFF", file(b'{"\xf4\x90\x80\x80"' + name, bytes(4)), False),
        Case("UTF-8 cut off", file(b'{"\xf0\x9f\x98"' + name, bytes(4)), False),
        Case("byte order mark", file("\ufeff{}"), False),
        Case("UTF-16", file("{}".encode("utf-16-le")), False),
        Case("lone surrogate escape in a name", file(f'{{"\\ud800":{FLOAT}}}', bytes(4)), False),
        Case("lone low surrogate escape", file(f'{{"\\udC00":{FLOAT}}}', bytes(4)), False),
        Case("lone surrogate escape in an unknown field", extra('"\\ud800"'), False),
        Case("surrogates in the wrong order", extra('"\\ude00\\ud83d"'), False),
        Case("surrogate pair escape", file(f'{{"\\ud83d\\ude00":{FLOAT}}}', bytes(4)), True),
        Case("escaped backslash before ud800", file(f'{{"\\\\ud800":{FLOAT}}}', bytes(4)), True),
        Case("bad hex in an escape", file(f'{{"\\u00g0":{FLOAT}}}', bytes(4)), False),
        Case("unknown escape", file(f'{{"\\x41":{FLOAT}}}', bytes(4)), False),
        Case("raw control character", file(f'{{"a\n":{FLOAT}}}', bytes(4)), False),
        Case("escaped NUL in a name", file(f'{{"a\\u0000":{FLOAT}}}', bytes(4)), True),
        Case("DEL in a name", file(f'{{"a\x7f":{FLOAT}}}', bytes(4)), True),
        Case("name beyond ASCII", file(f'{{"é漢😀":{FLOAT}}}', bytes(4)), True),
        Case("empty name", file(f'{{"":{FLOAT}}}', bytes(4)), True),
        Case("very long name", file(f'{{"{"n" * 100_000}":{FLOAT}}}', bytes(4)), True),
    ]


def _json_cases() -> list[Case]:
    last_wins = "the reference keeps the last of two equal keys; one of them would be lost in silence"
    float_name = f'{{"a":{FLOAT},'
    return [
        Case("open brace", file("{"), False),
        Case("list at top level", file("[]"), False),
        Case("string at top level", file('"a"'), False),
        Case("null", file("null"), False),
        Case("trailing junk", file("{}x"), False),
        Case("two objects", file("{}{}"), False),
        Case("padding of NUL", file("{}\0\0"), False),
        Case("comment", file("{}//"), False),
        Case("single quotes", file("{'a':1}"), False),
        Case("unquoted key", file("{a:1}"), False),
        Case("trailing comma", file(f"{float_name[:-1]},}}", bytes(4)), False),
        Case("unclosed string", file('{"a'), False),
        Case("unclosed string of escaped quotes", file('{"' + '\\"' * 50_000), False),
        Case("duplicate tensor", file(f"{float_name}{float_name[1:-1]}}}", bytes(4)), False, True, last_wins),
        Case("duplicate tensor, escaped", file(f'{float_name}"\\u0061":{FLOAT}}}', bytes(4)), False, True, last_wins),
        Case("duplicate field", extra('0,"dtype":"F32"'), False),
        Case("duplicate unknown field", extra('0,"x":1'), False, True, last_wins),
        Case("duplicate metadata", file('{"__metadata__":{},"__metadata__":{}}'), False),
        Case("duplicate metadata key", file('{"__metadata__":{"k":"1","k":"2"}}'), False, True, last_wins),
        Case("NaN", extra("NaN"), False),
        Case("Infinity", extra("-Infinity"), False),
        Case("1e400", extra("1e400"), False),
        Case("-1e400", extra("-1e400"), False),
        Case("1e-400", extra("1e-400"), True),
        Case("5000 digits", extra("9" * 5000), False),
        Case("5000 digits in a shape", shaped(f"[{'9' * 5000}]"), False),
        Case("400 digits", extra("9" * 400), False),
        Case("300 digits", extra("9" * 300), True),
        Case("leading zero", shaped("[01]"), False),
        Case("bare minus", extra("-"), False),
        Case("deep list", file("[" * 100_000), False),
        Case("deep objects", file('{"a":' * 100_000), False),
        Case("deep unknown field", extra("[" * 100_000 + "]" * 100_000), False),
        Case("127 deep", extra("[" * 125 + "]" * 125), True),
        Case("128 deep", extra("[" * 126 + "]" * 126), False),
        Case("brackets in a string are not nesting", extra('"' + "[" * 5000 + '"'), True),
    ]


def _field_cases() -> list[Case]:
    as_list = "the reference reads a list as the fields in order; the format describes an object"
    as_enum = "the reference reads a variant as a one-key object; the format describes a string"
    good = '"dtype":"F32","shape":[1],"data_offsets":[0,4]'
    rows = [(f"shape {text}", shaped(text), False) for text in ("null", "1", "{}", '"1"', "[[1]]", '["1"]', "[null]")]
    rows += [(f"shape {text}", shaped(text), False) for text in ("[true]", "[-1]", "[1.0]", "[1e0]", "[-0]", "[0.5]")]
    rows += [(f"offsets {text}", placed(text), False) for text in ("null", "{}", "4", "[]", "[0]", "[0,4,4]", "[0,4,]")]
    rows += [(f"offsets {text}", placed(text), False) for text in ("[0,4.0]", '["0",4]', "[false,4]", "[-0,4]")]
    rows += [(f"without {key}", tensor(good.replace(key, "y")), False) for key in ("dtype", "shape", "data_offsets")]
    types = ('"F31"', '"f32"', "null", "1", "[]")
    rows += [(f"dtype {text}", tensor(good.replace('"F32"', text)), False) for text in types]
    rows += [(f"tensor {text}", file(f'{{"a":{text}}}'), False) for text in ("null", "1", '"F32"', "[]", "{}")]
    meta = [("{}", True), ('{"k":"v"}', True), ("null", True), ("[]", False), ('"v"', False), ("1", False)]
    meta += [('{"k":1}', False), ('{"k":null}', False), ('{"k":["v"]}', False), ('{"k":{}}', False), ('{"":""}', True)]
    rows += [(f"metadata {text}", file(f'{{"__metadata__":{text}}}'), accept) for text, accept in meta]
    cases = [Case(*row) for row in rows]
    cases.append(Case("tensor as a list", file('{"a":["F32",[1],[0,4]]}', bytes(4)), False, True, as_list))
    cases.append(Case("dtype as an object", tensor(good.replace('"F32"', '{"F32":null}')), False, True, as_enum))
    cases.append(Case("a tensor in place of metadata", file(f'{{"__metadata__":{FLOAT}}}', bytes(4)), False))
    return cases


def _layout_cases() -> list[Case]:
    return [
        Case("first start not 0", placed("[1,5]", 5), False),
        Case("end before begin", placed("[4,0]"), False),
        Case("hole", two("[0,4]", "[5,9]", 9), False),
        Case("overlap", two("[0,4]", "[3,7]", 7), False),
        Case("same range twice", two("[0,4]", "[0,4]", 4), False),
        Case("span too long", placed("[0,5]", 5), False),
        Case("span too short", placed("[0,3]", 3), False),
        Case("zero span", placed("[0,0]", 0), False),
        Case("offsets beyond the file", placed("[0,4]", 2), False),
        Case("offsets 2^64-1", placed("[18446744073709551612,18446744073709551615]"), False),
        Case("offsets 2^64", placed("[0,18446744073709551616]"), False),
        Case("trailing byte", placed("[0,4]", 5), False),
        Case("trailing bytes and no tensor", file("{}", b"x"), False),
        Case("two bytes short", two("[0,4]", "[4,8]", 6), False),
        Case("metadata then trailing bytes", file('{"__metadata__":{}}', bytes(4)), False),
        Case("empty tensor off its place", two("[0,4]", "[2,2]", 4).replace(b"[1]", b"[0]", 2), False),
        Case("shape 2^64", shaped("[18446744073709551616]", 0), False),
        Case("shape 2^64-1", shaped("[18446744073709551615]", 0), False),
        Case("shape wraps to 4 bytes", shaped("[4611686018427387905]"), False),
        Case("product wraps to 0", shaped("[4294967296,4294967296]", 0), False),
        Case("product wraps, then 0", shaped("[4294967296,4294967296,0]", 0), False),
        Case("bits wrap to 0", shaped("[2305843009213693952]", 0), False),
        Case("bits wrap to 32", shaped("[576460752303423489]", 4), False),
        Case("many dimensions that overflow", shaped(f"[{','.join(['65536'] * 1000)}]", 0), False),
        Case("half a byte", shaped("[3]", 2, "F4"), False),
        Case("half a byte, rounded down", shaped("[3]", 1, "F4"), False),
        Case("six bits", shaped("[1]", 1, "F6_E2M3"), False),
    ]


def _good_cases() -> list[Case]:
    nan = (0x7FC00000).to_bytes(4, "little")
    good = '"shape":[1],"data_offsets":[0,4],"dtype":"F32"'
    cases = [
        Case("empty object", file("{}"), True),
        Case("padding of spaces", file("{}      "), True),
        Case("padding of all white space", file(" \t\r\n{} \t\r\n"), True),
        Case("scalar", shaped("[]"), True),
        Case("zero-size", shaped("[0]", 0), True),
        Case("zero-size in many dimensions", shaped("[3,0,5]", 0), True),
        Case("zero-size beyond NumPy's indices", shaped("[0,18446744073709551615]", 0), True),
        Case("zero first, then a product beyond 2^64", shaped("[0,4294967296,4294967296]", 0), True),
        Case("dimensions beyond NumPy's 64", shaped(f"[{','.join(['1'] * 65)}]"), True),
        Case("keys in another order", tensor(good), True),
        Case("tensors in another order than their bytes", two("[4,8]", "[0,4]", 8), True),
        Case("empty tensor between two", _empty_between(), True),
        Case("unknown fields", extra('[{"u":1e5},null,true]'), True),
        Case("NaN in the data", file(f'{{"a":{FLOAT}}}', nan), True),
        Case("infinity in the data", file(f'{{"a":{FLOAT}}}', b"\0\0\x80\x7f"), True),
        Case("BOOL of 2", file('{"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}', b"\2"), True),
        Case("float off its alignment", _unaligned(), True),
        Case("three elements of four in F6", shaped("[4]", 3, "F6_E3M2"), True),
        Case("pairs of F4", shaped("[3,2]", 3, "F4"), True),
    ]
    sizes = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2, "I32": 4, "U32": 4, "F32": 4}
    sizes |= {"C64": 8, "F64": 8, "I64": 8, "U64": 8}
    sizes |= dict.fromkeys(("F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 1)
    cases += [Case(f"every type: {name}", shaped("[3]", 3 * size, name), True) for name, size in sizes.items()]
    return cases


def _empty_between() -> bytes:
    header = (
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]},'
        '"c":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
    )
    return file(header, bytes(8))


def _unaligned() -> bytes:
    first = '"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    header = f'{{{first},"a":{{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}}}'
    return file(header, bytes(5))


CORPUS: list[Case] = [
    *_length_cases(),
    *_text_cases(),
    *_json_cases(),
    *_field_cases(),
    *_layout_cases(),
    *_good_cases(),
]
