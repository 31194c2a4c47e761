"""Arrays that grow: in memory, which is not copied, or in a file."""

import mmap
import pathlib

import chex
import numpy as np
import pytest

from glam_jax.data import spill


def blocks(count=9, rows=300):
    drawn = np.random.default_rng(0).integers(0, 256, (count, rows, 3, 5))
    return drawn.astype(np.uint8)


def grown(blocks, spill_at=None):
    growing = spill.Growing((3, 5), np.uint8)
    for index, block in enumerate(blocks):
        if index == spill_at:
            growing.spill()
            assert growing.held_bytes == 0
        growing.add(block)
    return growing.finish()


def test_rows_in_memory_are_aligned_and_followed_by_zeros():
    found, expected = grown(blocks()), np.concatenate(blocks())
    chex.assert_shape(found, (spill.padded(2700), 3, 5))
    np.testing.assert_array_equal(found[:2700], expected)
    assert not found[2700:].any() and found.ctypes.data % 64 == 0


@pytest.mark.parametrize("at", [0, 4])
def test_rows_in_a_file_are_the_same(at):
    found, expected = grown(blocks(), at), np.concatenate(blocks())
    assert isinstance(found, spill.FileRows) and len(found) == 2700
    index = np.array([[0, 2699], [1500, 299]])
    np.testing.assert_array_equal(found.take(index), expected[index], strict=True)


def test_memory_that_cannot_grow_in_place_is_copied(monkeypatch):
    class Fixed(mmap.mmap):
        def resize(self, size):
            raise SystemError("mmap: resizing not available--no mremap()")

    monkeypatch.setattr(spill.mmap, "mmap", Fixed)
    np.testing.assert_array_equal(grown(blocks())[:2700], np.concatenate(blocks()))


def test_rows_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(5, 3\), expected \(3, 5\)"):
        spill.Growing((3, 5), np.uint8).add(np.zeros((2, 5, 3), np.uint8))


@pytest.mark.parametrize("rows", [1, 1024, 1025, 4095, 4097, 165_000])
def test_padding_is_at_most_an_eighth(rows):
    padded = spill.padded(rows)
    assert rows <= padded <= max(1024, rows * 9 / 8)
    assert spill.padded(padded) == padded


def test_growing_takes_no_second_copy():
    def resident() -> int:
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    if not pathlib.Path("/proc/self/statm").exists():
        pytest.skip("only Linux says what a process holds")
    block, growing = np.ones((100, 1 << 16), np.uint8), spill.Growing((1 << 16,), np.uint8)
    before, most = resident(), 0
    for _ in range(20):
        growing.add(block)
        most = max(most, resident() - before)
    whole = growing.finish()
    most = max(most, resident() - before)
    assert whole[:2000].all() and most < 1.2 * 2000 * (1 << 16)
