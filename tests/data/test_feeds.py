"""Batches: what they hold, that both modes agree, and that they follow from (seed, step)."""

import dataclasses
import errno
import functools
import tempfile
import tracemalloc

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glam_jax import schema
from glam_jax.data import feeds, spill
from glam_jax.errors import DataError

LAYOUT = schema.Layout(arms=1, image_size=4, has_actions=True)
AUXILIARY = schema.Layout(arms=1, image_size=4, has_actions=False)
VIEWS = LAYOUT.views
LENGTHS = {"target": (6, 9, 5), "auxiliary": (7, 5)}


def traced(layout, length, number):
    """An episode whose every value tells its episode and its step: 100 * number + step."""
    episode = schema.fake_episode(layout, length, seed=number)
    for name, (shape, dtype) in layout.step_arrays().items():
        value = 100 * number + np.arange(length)
        value = value % 2 if name.startswith("mask") else value
        steps = np.broadcast_to(value.reshape(-1, *[1] * len(shape)), (length, *shape))
        episode.steps[name] = steps.astype(dtype)
    return episode


def episodes():
    target = [traced(LAYOUT, n, i) for i, n in enumerate(LENGTHS["target"])]
    auxiliary = [traced(AUXILIARY, n, 10 + i) for i, n in enumerate(LENGTHS["auxiliary"])]
    return target, auxiliary


@pytest.fixture(scope="module")
def store():
    return feeds.Store(*episodes())


@pytest.fixture(scope="module")
def labels(store):
    """Labels that name their transition: the pose's value at the transition's first frame."""
    return store.arrays["ee_pose"][store.transition_frames(), :3]


def windows(store, resident=True, share=0.5, seed=0, modality="rgb", batch=8, time=3):
    return feeds.WindowFeed(store, feeds.Draw(batch, share, seed, resident, 3), time, modality)


def chunks(store, labels, resident=True, share=0.5, batch=8, chunk=4):
    return feeds.ChunkFeed(store, feeds.Draw(batch, share, 0, resident, 3), labels, chunk)


# Of one type as well as of one value.
assert_same = functools.partial(chex.assert_trees_all_equal, strict=True)


def batch_of(feed, step):
    return jax.tree.map(np.asarray, jax.jit(feed.assemble)(feed.fetch(step), step))


@pytest.mark.parametrize("resident", [True, False])
def test_weights_say_how_often_windows_are_drawn(resident):
    episodes = [traced(LAYOUT, 6, 0), traced(LAYOUT, 6, 1)]
    auxiliary = [traced(AUXILIARY, n, 10 + i) for i, n in enumerate((7, 5, 9))]
    weighted = feeds.Store(episodes, auxiliary, weights=(1, 1, 3, 0, 1))
    batch = batch_of(windows(weighted, resident, batch=4000), 0)
    first = batch["ee_pose"][:, 0, 0] // 100
    share = {number: (first == number).mean() for number in (0, 1, 10, 11, 12)}
    # Windows of three frames: 5 of weight 3, 3 of weight 0, 7 of weight 1.
    np.testing.assert_allclose([share[0], share[1]], 0.25, atol=0.04)
    np.testing.assert_allclose(share[10], 0.5 * 15 / 22, atol=0.04)
    np.testing.assert_allclose(share[12], 0.5 * 7 / 22, atol=0.04)
    assert share[11] == 0
    plain = feeds.Store(episodes, auxiliary)
    assert plain.weights is None and plain.cumulative_of(2, True) is None


def test_store_keeps_every_frame_once_and_aligned(store):
    chex.assert_shape(store.arrays["rgb"], (32, 2, 4, 4, 3))
    assert store.arrays["rgb"].dtype == np.uint8
    assert store.arrays["rgb"].ctypes.data % 64 == 0
    assert len(store.transition_frames()) == 32 - 5
    assert not store.arrays["action"][20:].any()
    assert store.nbytes(["mask"]) == 32 * 4 * 2, "a byte for each row of four pixels"
    frames = np.array([[3, 20], [31, 0]])
    stored = [one.steps for episodes in episodes() for one in episodes]
    for modality, name in (("rgb", "image"), ("mask", "mask")):
        each = [np.concatenate([steps[f"{name}_{view}"] for steps in stored]) for view in VIEWS]
        np.testing.assert_array_equal(
            store.pictures(modality, frames), np.stack(each, axis=1)[frames], strict=True
        )


@pytest.mark.parametrize("side", [4, 8, 13])
def test_masks_are_bits_and_come_back_as_they_were(side):
    layout = dataclasses.replace(LAYOUT, image_size=side)
    episode = schema.fake_episode(layout, 6)
    assert 0 < episode.steps["mask_front"].mean() < 1
    feed = feeds.WindowFeed(feeds.Store([episode]), feeds.Draw(4, 1.0, 0, True), 2, "mask")
    batch = batch_of(feed, 0)
    first = [
        int(np.flatnonzero((episode.steps["ee_pose"] == pose).all(axis=1))[0])
        for pose in batch["ee_pose"][:, 0]
    ]
    expected = np.stack([episode.steps[f"mask_{view}"] for view in VIEWS], axis=1)
    np.testing.assert_array_equal(batch["image"][:, 0], expected[first], strict=True)


@pytest.mark.parametrize("modality", ["rgb", "mask"])
def test_window_batches_have_the_shapes_of_the_schema(store, modality):
    batch = batch_of(windows(store, modality=modality), 0)
    expected = schema.window_batch_shapes(LAYOUT, 8, 3, modality)
    assert {k: (v.shape, v.dtype) for k, v in batch.items()} == expected


def test_windows_are_consecutive_frames_of_one_episode(store):
    feed = windows(store, batch=32)
    for step in range(5):
        batch = batch_of(feed, step)
        value = batch["ee_pose"][..., 0]
        np.testing.assert_array_equal(np.diff(value, axis=1), 1)
        np.testing.assert_array_equal(batch["image"][..., 0, 0, 0, 0], value % 256)
        target = batch["is_target"] == 1
        assert (value[target] < 1000).all() and (value[~target] >= 1000).all()
        np.testing.assert_array_equal(batch["action"][target][..., 0], value[target])
        assert not batch["action"][~target].any() and not batch["proprio"][~target].any()


def test_every_window_is_drawn(store):
    feed = windows(store, batch=64)
    seen = np.concatenate([batch_of(feed, step)["ee_pose"][:, 0, 0] for step in range(10)])
    expected = [100 * i + t for i, n in enumerate(LENGTHS["target"]) for t in range(n - 2)]
    expected += [
        1000 + 100 * i + t for i, n in enumerate(LENGTHS["auxiliary"]) for t in range(n - 2)
    ]
    assert set(seen) == set(expected)


@pytest.mark.parametrize("modality", ["rgb", "mask"])
def test_resident_and_streaming_windows_agree(store, modality):
    resident, streaming = (windows(store, mode, modality=modality) for mode in (True, False))
    for step in range(4):
        assert_same(batch_of(resident, step), batch_of(streaming, step))


def test_resident_and_streaming_chunks_agree(store, labels):
    resident, streaming = (chunks(store, labels, mode) for mode in (True, False))
    for step in range(4):
        assert_same(batch_of(resident, step), batch_of(streaming, step))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_streaming_feed_gathers_several_batches_at_once(store, labels, count):
    pairs = [
        [make(mode) for mode in (True, False)]
        for make in (functools.partial(windows, store), functools.partial(chunks, store, labels))
    ]
    for resident, streaming in pairs:
        fetched = streaming.fetch(5, count)
        for step in range(5, 5 + count):
            found = jax.tree.map(np.asarray, jax.jit(streaming.assemble)(fetched, step))
            assert_same(found, batch_of(resident, step))
        with pytest.raises(ValueError, match="found 4 steps, expected at most 3"):
            streaming.fetch(5, 4)


def test_batches_follow_from_seed_and_step(store):
    resumed, other = windows(store), windows(store, seed=1)
    assert_same(batch_of(windows(store), 7), batch_of(resumed, 7))
    start = batch_of(resumed, 7)["ee_pose"]
    assert (start != batch_of(resumed, 8)["ee_pose"]).any()
    assert (start != batch_of(other, 7)["ee_pose"]).any()


def test_a_traced_step_draws_what_a_plain_one_does(store):
    feed = windows(store)
    fetched = feed.fetch(0)
    traced_step = jax.jit(feed.assemble)(fetched, jnp.int32(5))
    assert_same(jax.tree.map(np.asarray, traced_step), batch_of(feed, 5))


def test_streaming_fetch_moves_data_explicitly(store):
    feed = windows(store, resident=False)
    with jax.transfer_guard("disallow"):
        feed.fetch(0)


def test_chunks_are_padded_with_the_last_transition(store, labels):
    feed = chunks(store, labels, batch=32)
    ends = {100 * i + n - 2 for i, n in enumerate(LENGTHS["target"])}
    ends |= {1000 + 100 * i + n - 2 for i, n in enumerate(LENGTHS["auxiliary"])}
    padded = 0
    for step in range(4):
        batch = batch_of(feed, step)
        expected = schema.chunk_batch_shapes(LAYOUT, 32, 4, 3)
        assert {k: (v.shape, v.dtype) for k, v in batch.items()} == expected
        for row in range(32):
            observed = batch["ee_pose"][row, 0]
            last = min(end for end in ends if end >= observed)
            ideal = observed + np.arange(4)
            np.testing.assert_array_equal(batch["valid"][row], ideal <= last)
            np.testing.assert_array_equal(batch["label"][row, :, 0], np.minimum(ideal, last))
            if batch["is_target"][row]:
                np.testing.assert_array_equal(batch["action"][row, :, 0], np.minimum(ideal, last))
            else:
                assert not batch["action"][row].any()
            padded += int((batch["valid"][row] == 0).any())
    assert padded


@pytest.mark.parametrize("views", [("wrist",), ("front", "overhead"), ("wrist", "a", "front")])
def test_images_keep_their_views_apart_and_in_order(views):
    layout = dataclasses.replace(LAYOUT, views=views)
    episode = schema.fake_episode(layout, 3)
    store = feeds.Store([episode])
    assert store.layout == layout and layout.views == tuple(sorted(views))
    chunk = next(feeds.chunk_batches(store, 2, 1))
    assert "label" not in chunk
    window = batch_of(windows(store, share=1.0, modality="mask", batch=1), 0)
    for i, view in enumerate(layout.views):
        np.testing.assert_array_equal(chunk["image"][:, i], episode.steps[f"image_{view}"][:2])
        np.testing.assert_array_equal(window["image"][0, :, i], episode.steps[f"mask_{view}"])


def test_sources_with_other_cameras_are_refused():
    target = [traced(LAYOUT, 6, 0)]
    one = schema.fake_episode(dataclasses.replace(AUXILIARY, views=("front",)), 5, source="umi")
    with pytest.raises(DataError, match="umi.*views is .'front',., expected .'front', 'overhead'"):
        feeds.Store(target, [one])
    moved = dataclasses.replace(traced(AUXILIARY, 6, 0), cameras="table 2")
    with pytest.raises(DataError, match="cameras is 'table 2', expected 'none'"):
        feeds.Store(target, [moved])


def test_target_alone_needs_no_auxiliary():
    store = feeds.Store([traced(LAYOUT, 6, 0)])
    labels = store.transition_actions()
    np.testing.assert_array_equal(labels[:, 0], np.arange(5))
    batch = batch_of(chunks(store, labels, share=1.0, batch=4, chunk=2), 0)
    np.testing.assert_array_equal(batch["label"], batch["action"])
    assert batch["is_target"].all()
    assert batch_of(windows(store, share=1.0), 0)["is_target"].all()


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.75, 1.0])
def test_target_rows_are_spread_evenly(share):
    rows = feeds.target_rows(32, share)
    assert rows.sum() == max(1, round(32 * share))
    shards = rows.reshape(4, 8).sum(axis=1)
    assert shards.max() - shards.min() <= 1
    assert not feeds.target_rows(32, 0.0).any()


@pytest.mark.parametrize("batch", [4, 27, 40])
def test_all_transitions_in_order(store, batch):
    batches = list(feeds.transition_batches(store, batch, "mask"))
    assert {b["image"].shape for b in batches} == {(batch, 2, 2, 4, 4, 1)}
    joined = {k: np.concatenate([b[k] for b in batches]) for k in batches[0]}
    real = joined["real"] == 1
    assert real.sum() == 27 and real[:27].all()
    pose = joined["ee_pose"][real]
    np.testing.assert_array_equal(pose[:, 0], store.arrays["ee_pose"][store.transition_frames()])
    np.testing.assert_array_equal(pose[:, 1] - pose[:, 0], 1)
    np.testing.assert_array_equal(joined["is_target"][real], pose[:, 0, 0] < 1000)


def test_short_episodes_are_an_error(store):
    with pytest.raises(ValueError, match="target episode 2 has 5 frames.*window's 6"):
        windows(store, time=6)


def test_share_without_auxiliary_is_an_error():
    with pytest.raises(ValueError, match="no auxiliary episodes"):
        windows(feeds.Store([traced(LAYOUT, 6, 0)]))


def test_bad_arguments(store, labels):
    with pytest.raises(ValueError, match="target_share is 1.5"):
        windows(store, share=1.5)
    with pytest.raises(ValueError, match="unknown modality 'depth'"):
        windows(store, modality="depth")
    with pytest.raises(AssertionError, match="shape"):
        chunks(store, labels[1:])
    with pytest.raises(AssertionError, match="shape"):
        chunks(store, labels[:, 0])
    with pytest.raises(ValueError, match="target episodes"):
        feeds.Store([])


def test_sources_that_do_not_go_together_are_refused():
    target = [traced(LAYOUT, 6, 0)]
    other = schema.fake_episode(schema.Layout(1, 8, False), 5, source="umi")
    with pytest.raises(DataError, match="umi.*'image_front'.*8, 8, 3.*expected.*4, 4, 3.*kinova"):
        feeds.Store(target, [other])
    other = schema.fake_episode(schema.Layout(2, LAYOUT.image_size, False), 5, source="umi")
    with pytest.raises(DataError, match="umi.*number of arms is 2, expected 1 as in .*kinova"):
        feeds.Store(target, [other])
    auxiliary = schema.Layout(1, LAYOUT.image_size, False)
    other = schema.fake_episode(auxiliary, 5, task="stack_two", source="umi")
    with pytest.raises(DataError, match="umi.*task is 'stack_two', expected 'lifting'"):
        feeds.Store(target, [other])
    other = schema.fake_episode(auxiliary, 5, source="umi")
    other.simulator_version = "before the cameras were moved"
    with pytest.raises(DataError, match="umi.*simulator_version is 'before the cameras"):
        feeds.Store(target, [other])


def test_a_third_source_is_used_without_the_actions_it_was_recorded_with():
    target, third = traced(LAYOUT, 6, 0), traced(LAYOUT, 4, 1)
    umi = schema.fake_episode(schema.Layout(1, LAYOUT.image_size, False), 5, source="umi")
    store = feeds.Store([target], [third, umi])
    assert store.targets == 1 and store.lengths.tolist() == [6, 4, 5]
    assert target.steps["action"].any() and third.steps["action"].any()
    for name in schema.TARGET_ONLY:
        np.testing.assert_array_equal(store.arrays[name][:6], target.steps[name])
        assert not store.arrays[name][6:].any()
    np.testing.assert_array_equal(store.arrays["ee_pose"][6:10], third.steps["ee_pose"])


def test_images_kept_in_a_file_give_the_same_batches(store, labels, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    filed = feeds.Store(*episodes(), memory_bytes=sum(a.nbytes for a in store.arrays.values()) - 1)
    assert isinstance(filed.arrays["rgb"], spill.FileRows) and filed.arrays["rgb"].nbytes == (
        store.arrays["rgb"].nbytes
    )
    assert isinstance(filed.arrays["mask"], np.ndarray), "below the limit"
    for step in range(2):
        assert_same(*(batch_of(windows(one, False), step) for one in (store, filed)))
        pair = (chunks(s, labels, False) for s in (store, filed))
        assert_same(*(batch_of(feed, step) for feed in pair))
    pairs = zip(*(feeds.transition_batches(s, 8, "rgb") for s in (store, filed)), strict=True)
    for one, other in pairs:
        assert_same(one, other)
    bare = feeds.Store(*episodes(), memory_bytes=0)
    assert isinstance(bare.arrays["mask"], spill.FileRows)
    pair = (windows(one, False, modality="mask") for one in (store, bare))
    assert_same(*(batch_of(feed, 0) for feed in pair))
    with pytest.raises(IndexError, match="rows 0 to 32 of an array of 32"):
        filed.arrays["rgb"].take(np.array([0, len(filed.arrays["rgb"])]))
    assert not list(tmp_path.iterdir()), "the file has no name that a killed run would leave"


def test_memory_of_images_in_a_file_does_not_grow_with_the_episodes():
    target, umi = (schema.Layout(1, 32, has_actions) for has_actions in (True, False))

    def peak(count: int) -> int:
        more = (schema.fake_episode(umi, 20, i, source="umi") for i in range(count))
        tracemalloc.start()
        feed = windows(feeds.Store([schema.fake_episode(target, 20)], more, memory_bytes=0), False)
        for step in range(3):
            feed.fetch(step)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)  # what is made once: compilation
    images = sum(np.prod(shape) for shape, kind in umi.step_arrays().values() if kind == np.uint8)
    assert peak(100) - peak(10) < 0.1 * 90 * 20 * images


def test_a_full_disk_says_where_frames_are_kept(monkeypatch):
    class Full:
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(OSError, match="No space left on device.*TMPDIR") as found:
        feeds.Store(*episodes(), memory_bytes=0)
    assert found.value.errno == errno.ENOSPC
