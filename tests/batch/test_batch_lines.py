"""Lines of an input: whatever bytes they are, one at a time, each with its number and digest."""

import io

import pytest

from glassformer.batch import lines
from glassformer.batch.done import Done, count_rest
from glassformer.batch.errors import InputError
from glassformer.batch.lines import digest_of, read_lines
from glassformer.batch.output import Output
from glassformer.batch.results import Result


def read(data: bytes) -> list[tuple[int, bytes]]:
    return [(line.number, line.data) for line in read_lines(io.BytesIO(data))]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n\r\n  \n\t", []),
        (b"a", [(1, b"a")]),
        (b"a\r\n\r\n\nb\n", [(1, b"a"), (4, b"b")]),
        (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", [(1, b"a"), (2, b"\xef\xbb\xbfb")]),
        (b"\xef\xbb\xbf\n\xff\xfe\x00\n", [(2, b"\xff\xfe\x00")]),
        (b"a\rb\x0bc\xe2\x80\xa8d\n", [(1, b"a\rb\x0bc\xe2\x80\xa8d")]),
    ],
)
def test_lines_have_numbers_and_bytes(data, expected):
    assert read(data) == expected


def test_digests_are_those_of_the_bytes_without_the_end():
    found = [line.digest for line in read_lines(io.BytesIO(b"ab\r\nab\nabc"))]
    assert found == [digest_of(b"ab"), digest_of(b"ab"), digest_of(b"abc")]
    assert len(set(found)) == 2


def test_a_line_that_is_too_long_is_known_and_not_held(monkeypatch):
    monkeypatch.setattr(lines, "MOST_BYTES", 10)
    data = b"0123456789\n" + b"x" * 35 + b"\n" + b"y" * 11 + b"\nshort\n" + b"z" * 40
    found = list(read_lines(io.BytesIO(data)))
    assert [(line.number, line.too_long, line.data) for line in found] == [
        (1, False, b"0123456789"), (2, True, b""), (3, True, b""), (4, False, b"short"), (5, True, b"")
    ]  # fmt: skip
    again = list(read_lines(io.BytesIO(data.replace(b"xx\n", b"xy\n"))))
    assert [a.digest == b.digest for a, b in zip(found, again, strict=True)] == [True, False, True, True, True]


def done_of(tmp_path, data: bytes, numbers: list[int]) -> Done:
    """As if lines of an input had results."""
    with Output(tmp_path / "out.jsonl") as output:
        output.begin({"task": "generate"})
        for line in read_lines(io.BytesIO(data)):
            if line.number in numbers:
                output.append(Result.of(line, {"text": ""}).data)
    with Output(tmp_path / "out.jsonl") as output:
        return output.done


def test_what_is_done_is_passed_over(tmp_path):
    data = b"a\nb\n\nc\nd\n"
    done = done_of(tmp_path, data, [4, 1])
    assert [line.number for line in done.rest(read_lines(io.BytesIO(data)))] == [2, 5]
    assert count_rest(io.BytesIO(data + b"e\n"), done) == 3  # an input may have grown
    assert [line.number for line in Done.none().rest(read_lines(io.BytesIO(data)))] == [1, 2, 4, 5]


def test_a_file_is_counted_from_where_it_stands():
    file = io.BytesIO(b"a\nb\nc\n")
    file.readline()
    assert count_rest(file, Done.none()) == 2
    assert file.read() == b"b\nc\n"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (b"a\nb\n\nC\nd\n", "line 4 of the input is not what it was"),
        (b"x\na\nb\n\nc\nd\n", "line 1 of the input is not what it was"),
        (b"a\nb\n\n\nd\n", "line 4 of the input has a result, and is empty"),
        (b"a\nb\n", "the input ends before line 4, which has a result already"),
        (b"", "the input ends before line 1"),
    ],
)
def test_another_input_is_refused(tmp_path, changed, message):
    done = done_of(tmp_path, b"a\nb\n\nc\nd\n", [1, 4])
    with pytest.raises(InputError, match=message):
        count_rest(io.BytesIO(changed), done)
