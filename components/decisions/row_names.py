"""Row commitments of a batch, made by a process of their own.

A commitment is three short hashes, which Python makes one row after the other on one core; on a
second core they cost a scored row nothing. Tables go over as Arrow streams, names come back as raw
bytes, each behind its length; the row key goes over first and is in no argument.
"""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from itertools import islice
from types import TracebackType
from typing import IO, Self

import pyarrow as pa

from components.contract.errors import ProcessError
from components.lineage.commitments import COMMITMENT_BYTES, commit_rows, encode_rows

_LENGTH = 8


class RowNames:
    """The commitments of the rows of one batch, in order, a table at a time.

    Two rows that look alike get different ones, by their place among their copies: so the tables
    must be those of the whole batch from its first row on. Use as a context manager.
    """

    def __init__(self, key: bytes) -> None:
        self._worker = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # an error's message may quote a cell
        )
        self._send(key)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._worker.kill()
        self._worker.communicate()

    def next(self, rows: pa.Table) -> pa.Array:
        """Commitments of the next rows, as 32-byte binaries.

        Raises:
            ProcessError: the worker is gone.
        """
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            stream.write_table(rows)
        self._send(sink.getvalue())
        named = _receive(self._worker.stdout)
        if named is None or len(named) != rows.num_rows * COMMITMENT_BYTES:
            raise ProcessError("the process that commits to rows broke down")
        return pa.Array.from_buffers(
            pa.binary(COMMITMENT_BYTES), rows.num_rows, [None, pa.py_buffer(named)]
        )

    def _send(self, content: bytes | pa.Buffer) -> None:
        try:
            _write(self._worker.stdin, content)
        except BrokenPipeError as error:
            raise ProcessError("the process that commits to rows broke down") from error


def _write(stream: IO[bytes] | None, content: bytes | pa.Buffer) -> None:
    assert stream is not None  # noqa: S101 (opened as a pipe)
    view = memoryview(content)
    stream.write(len(view).to_bytes(_LENGTH, "big"))
    stream.write(view)
    stream.flush()


def _receive(stream: IO[bytes] | None) -> bytes | None:
    """The next message; None at the end."""
    assert stream is not None  # noqa: S101 (opened as a pipe)
    head = stream.read(_LENGTH)
    return stream.read(int.from_bytes(head, "big")) if len(head) == _LENGTH else None


def _work(source: IO[bytes], target: IO[bytes]) -> None:
    """Answer one table after the other until the other end is closed."""
    key = _receive(source)
    if key is None:
        return
    waiting: deque[pa.Table] = deque()

    def encoded() -> Iterator[bytes]:
        while waiting:
            yield from encode_rows(waiting.popleft())

    committed: Iterator[bytes] | None = None
    while (content := _receive(source)) is not None:
        with pa.ipc.open_stream(content) as stream:
            table = stream.read_all()
        waiting.append(table)
        # One generator for the whole batch: it counts the copies of each row.
        committed = committed or commit_rows(key, encoded())
        _write(target, b"".join(islice(committed, table.num_rows)))


if __name__ == "__main__":
    _work(sys.stdin.buffer, sys.stdout.buffer)
