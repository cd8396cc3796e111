"""Walk the coded blocks of a sequential JPEG: one that runs past its 64th coefficient is damaged (ITU-T T.81 F.2.2).

Decoders cut such a block off without a word, and every block after it has another brightness or colour.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from connector.photo.jpeg import DHT, SOS, Segment
from connector.photo.limits import damaged

_SEQUENTIAL = frozenset({0xC0, 0xC1})
# The first byte is written by itself, so that the search leaps from one to the next.
_RESTART = re.compile(rb"\xff\xff*[\xd0-\xd7]")
# So many bytes are looked up at once, and so many after them, of which at most 2,100 are taken by what begins before.
_CHUNK, _MARGIN = 1 << 15, 1 << 12
# Of a picture with more coded bytes only the first are walked: 0.2 ms a kilobyte, and thumbnailPhoto holds 100 at most.
_MOST_BYTES = 128 * 1024
_MOST_BLOCKS = 10
# What is looked up after the last byte, which fills with ones.
_FILLING = array("H", b"\xff\xff" * 8 * _MARGIN)
# Steps in a block of 64 coefficients: to its end, and for a code that none of the table's is.
_END_OF_BLOCK, _NO_CODE = 128, 64
_MOST_BITS_DC, _MOST_BITS_AC = 11, 10


class CodeTable(NamedTuple):
    """Contain, for all 16 bits that may come next, how many bits a coefficient takes and how far it steps."""

    lengths: bytes
    steps: bytes


class Block(NamedTuple):
    """Contain the tables of a block: of its DC and its AC coefficients, and of groups that begin with one of them."""

    dc: CodeTable
    ac: CodeTable
    from_dc: CodeTable
    from_ac: CodeTable


def check_blocks(segments: Iterable[Segment]) -> None:
    """Refuse a JPEG with a block that holds more than 64 coefficients, or a code that no table has."""
    tables: dict[int, CodeTable] = {}
    frame = b""
    for marker, payload, tail in segments:
        if marker == DHT:
            tables.update(_code_tables(payload))
        elif marker in _SEQUENTIAL:
            frame = payload
        elif marker == SOS and frame[:1] == b"\x08":
            plan = _plan(frame, payload, tables)
            if plan and _overruns(tail, plan):
                raise damaged("The JPEG's coded pixels are damaged (a block has more than 64 coefficients).")


@lru_cache(maxsize=8)  # nearly all programs write the same tables
def _code_tables(payload: bytes) -> dict[int, CodeTable]:
    """Return the tables of a segment, numbered as they are there: 0x10 and more for AC."""
    tables: dict[int, CodeTable] = {}
    position = 0
    while position + 17 <= len(payload):
        number, counts = payload[position], payload[position + 1 : position + 17]
        values = payload[position + 17 : position + 17 + sum(counts)]
        position += 17 + sum(counts)
        lengths, steps = bytearray(), bytearray()
        code_lengths = [bits for bits, count in enumerate(counts, start=1) for _ in range(count)]
        for value, bits in zip(values, code_lengths, strict=False):
            width = 1 << (16 - bits)
            lengths += bytes((bits + (value & 15),)) * width
            steps += bytes((_step(value, is_ac=number > 15),)) * width
        tables[number] = CodeTable(_filled(lengths, 1), _filled(steps, _NO_CODE))
    return tables


def _filled(table: bytearray, value: int) -> bytes:
    return bytes(table[: 1 << 16].ljust(1 << 16, bytes((value,))))


def _step(value: int, *, is_ac: bool) -> int:
    run, bits = value >> 4, value & 15
    if not is_ac:
        return 1 if value <= _MOST_BITS_DC else _NO_CODE
    if not bits:
        return {0: _END_OF_BLOCK, 15: 16}.get(run, _NO_CODE)
    return run + 1 if bits <= _MOST_BITS_AC else _NO_CODE


@lru_cache(maxsize=16)
def _grouped(first: CodeTable, ac: CodeTable) -> CodeTable:
    """Return a table of one coefficient and of as many AC ones as 16 bits hold whole, up to the end of their block.

    Steps are added up: an end of block is told from coefficients that ran past it by the sum.
    """
    import numpy as np

    taken, sums = (np.frombuffer(part, np.uint8).astype(np.uint16) for part in first)
    lengths, steps = (np.frombuffer(part, np.uint8) for part in ac)
    bits = np.arange(1 << 16, dtype=np.uint32)
    while True:
        following = ((bits << np.minimum(taken, 16)) & 0xFFFF).astype(np.uint16)
        fits = (sums < 64) & (taken + lengths[following] <= 16)
        if not fits.any():
            return CodeTable(taken.astype(np.uint8).tobytes(), sums.astype(np.uint8).tobytes())
        taken[fits] += lengths[following[fits]]
        sums[fits] += steps[following[fits]]


def _plan(frame: bytes, header: bytes, tables: Mapping[int, CodeTable]) -> list[Block]:
    """Return the tables of the blocks that follow each other again and again; empty if one is not there."""
    samplings = dict(zip(frame[6::3], frame[7::3], strict=False))
    count = header[0]
    plan: list[Block] = []
    for component, selected in zip(header[1 : 1 + 2 * count : 2], header[2 : 2 + 2 * count : 2], strict=False):
        dc, ac = tables.get(selected >> 4), tables.get(0x10 | selected & 15)
        if dc is None or ac is None:
            return []
        sampling = samplings.get(component, 0x11) if count > 1 else 0x11
        plan += [Block(dc, ac, _grouped(dc, ac), _grouped(ac, ac))] * ((sampling >> 4) * (sampling & 15))
    return plan if len(plan) <= _MOST_BLOCKS else []


def _overruns(coded: bytes, plan: list[Block]) -> bool:
    data, intervals = _joined(coded)
    first, after = 0, -1
    bits = array("H")
    for start, stop in intervals:
        position = start
        while stop - position >= 8:  # fewer are filling
            if not first <= position < after:
                first, after = position, position + 8 * _CHUNK
                bits = _looked_up(data, first)
            position = first + _walked(bits, plan, position - first, limit=min(after, stop - 7) - first)
            if position < first:
                return True
    return False


def _walked(bits: array[int], plan: list[Block], position: int, *, limit: int) -> int:
    """Return the position after the rounds of blocks that begin before the limit; negative if a block has no end."""
    tables = [(*block.from_dc, *block.from_ac, block) for block in plan]
    while position < limit:
        for begin_lengths, begin_steps, lengths, steps, block in tables:
            begin = position
            code = bits[position]
            position += begin_lengths[code]
            step = begin_steps[code]
            while step < 64:
                code = bits[position]
                step += steps[code]
                position += lengths[code]
            if step != 64 and not _END_OF_BLOCK <= step < _END_OF_BLOCK + 64:  # the block ends within a group
                position = _walked_singly(bits, block, begin)
                if position < 0:
                    return -1
    return position


def _walked_singly(bits: array[int], block: Block, position: int) -> int:
    """Return the position after a block, coefficient by coefficient; negative if it has no end."""
    code = bits[position]
    position += block.dc.lengths[code]
    step = block.dc.steps[code]
    while step < 64:
        code = bits[position]
        step += block.ac.steps[code]
        position += block.ac.lengths[code]
    return -1 if 64 < step < _END_OF_BLOCK else position


def _joined(coded: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """Return the bytes without stuffing and restart markers, and first and last bit of each interval."""
    parts = [part.replace(b"\xff\0", b"\xff") for part in _RESTART.split(coded[:_MOST_BYTES].rstrip(b"\xff"))]
    intervals, start = [], 0
    for part in parts:
        intervals.append((start, start + 8 * len(part)))
        start += 8 * len(part)
    if len(coded) > _MOST_BYTES:  # nothing that begins is cut off
        intervals[-1] = (intervals[-1][0], start - 8 * _MARGIN)
    return b"".join(parts), intervals


def _looked_up(data: bytes, first: int) -> array[int]:
    """Return, for every bit from `first` on, that bit and the 15 after it."""
    import numpy as np

    taken = data[first >> 3 : (first >> 3) + _CHUNK + _MARGIN]
    octets = np.frombuffer(taken + b"\xff\xff", np.uint8).astype(np.uint32)
    three = (octets[:-2] << 16) | (octets[1:-1] << 8) | octets[2:]
    bits = np.empty((len(three), 8), np.uint16)
    for shift in range(8):
        bits[:, shift] = three >> (8 - shift)
    return array("H", bits.ravel()[first & 7 :].tobytes()) + _FILLING
