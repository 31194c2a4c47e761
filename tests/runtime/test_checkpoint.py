"""Checkpoints: bitwise round trips, and what happens when the disk lets us down."""

import resource
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from glam_jax.runtime import checkpoint, optim

OPTIMIZER = optim.make_optimizer(learning_rate=1e-2, steps=100, weight_decay=1e-4)
STATISTICS = {"ee_pose": {"mean": np.arange(3.0, dtype=np.float32), "std": np.ones(3)}}
METADATA = {"config": {"seed": 7, "method": "glam_o"}}


def make_state(step: int, width: int = 50) -> optim.TrainState:
    kernel = jax.random.normal(jax.random.key(step), (40, width))
    params = {"dense": {"kernel": kernel, "bias": jnp.full(width, float(step))}}
    state = optim.init_state(params, OPTIMIZER)
    return state.replace(step=jnp.int32(step), ema=jax.tree.map(lambda x: x / 3, params))


ABSTRACT = jax.eval_shape(lambda: make_state(1))


def save(directory, *steps):
    with checkpoint.Checkpoints(directory, statistics=STATISTICS, metadata=METADATA) as saved:
        for step in steps:
            saved.save(make_state(step))


def test_round_trip_is_bitwise(tmp_path):
    save(tmp_path / "run", 3)
    with checkpoint.Checkpoints(tmp_path / "run") as checkpoints:
        found = checkpoints.restore_latest(ABSTRACT)
    chex.assert_trees_all_equal(found, make_state(3))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(found))


def test_nothing_saved_is_none(tmp_path):
    with checkpoint.Checkpoints(tmp_path / "new") as checkpoints:
        assert checkpoints.restore_latest(ABSTRACT) is None
        assert checkpoints.steps() == []


def test_keeps_the_newest_two(tmp_path):
    save(tmp_path, 1, 2, 3)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [2, 3]


def test_saving_a_step_again_does_nothing(tmp_path):
    save(tmp_path, 1)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(make_state(1).replace(ema={}))
        chex.assert_trees_all_equal(checkpoints.restore_latest(ABSTRACT), make_state(1))


def test_state_donated_right_after_saving_is_saved_unchanged(tmp_path):
    """On CPU a writer's view of the state is the memory that a donated step writes to."""
    overwrite = jax.jit(lambda x: jax.tree.map(lambda leaf: leaf * 0, x), donate_argnums=0)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2, 3):
            state = make_state(step, width=20_000)
            checkpoints.save(state)
            jax.block_until_ready(overwrite(state))
        abstract = jax.eval_shape(lambda: make_state(1, width=20_000))
        found = checkpoints.restore_latest(abstract)
    chex.assert_trees_all_equal(found, make_state(3, width=20_000))


def test_inference_reads_the_average_alone(tmp_path):
    save(tmp_path, 1, 2)
    before = sorted(tmp_path.rglob("*"))
    found = checkpoint.restore_for_inference(tmp_path)
    assert found.step == 2 and found.metadata == METADATA
    chex.assert_trees_all_equal(found.params, make_state(2).ema)
    chex.assert_trees_all_equal(found.statistics, STATISTICS)
    assert found.statistics["ee_pose"]["mean"].dtype == np.float32
    assert sorted(tmp_path.rglob("*")) == before


def test_statistics_and_metadata_may_be_empty(tmp_path):
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(make_state(1))
    found = checkpoint.restore_for_inference(tmp_path)
    assert found.statistics == {} and found.metadata == {}


def largest(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def truncate(folder):
    file = largest(folder / "train")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_one_byte(folder):
    file = largest(folder / "ema" / "ocdbt.process_0")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def remove_file(folder):
    (folder / "train" / "manifest.ocdbt").unlink()


def remove_statistics(folder):
    shutil.rmtree(folder / "statistics")


def spoil_metadata(folder):
    (folder / "metadata" / "metadata").write_text("{")


DAMAGES = [truncate, flip_one_byte, remove_file, remove_statistics, spoil_metadata]


@pytest.mark.parametrize("damage", DAMAGES)
def test_corrupt_newest_falls_back_and_says_so(tmp_path, capsys, damage):
    save(tmp_path, 1, 2)
    damage(tmp_path / "2")
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        found = checkpoints.restore_latest(ABSTRACT)
        assert found.step == 1
        chex.assert_trees_all_equal(found, make_state(1))
        assert f"{tmp_path / '2'} is corrupt" in capsys.readouterr().out
        # The step can be trained and saved again, and the damaged one is still there to see.
        checkpoints.save(make_state(2))
        checkpoints.wait()
        chex.assert_trees_all_equal(checkpoints.restore_latest(ABSTRACT), make_state(2))
    assert (tmp_path / "corrupt_2").is_dir()


@pytest.mark.parametrize("damage", [flip_one_byte, spoil_metadata])
def test_inference_falls_back_and_changes_nothing(tmp_path, capsys, damage):
    save(tmp_path, 1, 2)
    damage(tmp_path / "2")
    assert checkpoint.restore_for_inference(tmp_path).step == 1
    assert "is corrupt" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2"]


def test_state_of_another_model_is_an_error_and_loses_nothing(tmp_path):
    save(tmp_path, 1, 2)
    other = jax.eval_shape(lambda: make_state(1, width=60))
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(checkpoint.CheckpointError, match=r"none of the checkpoints \[1, 2\]"):
            checkpoints.restore_latest(other)
        assert checkpoints.steps() == [1, 2]
        assert checkpoints.restore_latest(ABSTRACT).step == 2


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.*no such folder"):
        checkpoint.restore_for_inference(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="expected a checkpoint folder"):
        checkpoint.restore_for_inference(tmp_path)


def test_full_disk_keeps_the_checkpoint_before(tmp_path):
    """A limit on the size of files stands in for the full disk: writes fail half-way."""
    state = make_state(2, width=5_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    checkpoints = checkpoint.Checkpoints(tmp_path)
    checkpoints.save(make_state(1))
    checkpoints.wait()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        with pytest.raises(checkpoint.CheckpointError, match="step 1 is kept"):
            checkpoints.save(state)
            checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    checkpoints.close()
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.steps() == [1]
        chex.assert_trees_all_equal(checkpoints.restore_latest(ABSTRACT), make_state(1))


def test_half_written_folder_is_no_checkpoint_and_is_swept_away(tmp_path):
    save(tmp_path, 1)
    half = tmp_path / "2.orbax-checkpoint-tmp"
    shutil.copytree(tmp_path / "1", half)
    assert checkpoint.restore_for_inference(tmp_path).step == 1
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore_latest(ABSTRACT).step == 1
        checkpoints.save(make_state(3))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "3"]
