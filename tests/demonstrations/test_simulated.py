"""Collecting with a stand-in for simulation: the same episodes come out however it is run."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from glam_jax import config, schema
from glam_jax.data import dataset
from glam_jax.data.recording import Recording
from glam_jax.demonstrations import gather, partial, simulated
from glam_jax.display import contact_sheet
from glam_jax.errors import DataError
from glam_jax.sim.robots import ROBOTS

LAYOUT = schema.Layout(arms=1, image_size=8, has_actions=True)
RECORDING = Recording("lifting", "kinova", LAYOUT)


class Demonstrator:
    """Episodes from seeds; every fifth seed fails; can stop like a killed run."""

    def __init__(self, calls=10**6, fails=lambda seed: seed % 5 == 3, version="one"):
        self.calls, self.fails, self.version, self.seeds = calls, fails, version, []

    def __call__(self, seeds):
        if len(self.seeds) >= self.calls:
            raise KeyboardInterrupt
        self.seeds.append(list(seeds))
        made = [schema.fake_episode(LAYOUT, 4 + seed % 3, int(seed)) for seed in seeds]
        for episode in made:
            episode.success = not self.fails(episode.seed)
            episode.simulator_version = self.version
        return made

    def expert(self, task, source, image_size):
        return simulated.Expert(LAYOUT, self, 4, self.version)


def run(root, wanted, heldout=2, demonstrator=None):
    make = (demonstrator or Demonstrator()).expert
    return simulated.collect("lifting", "kinova", wanted, heldout, 8, root, make_expert=make)


def held(root, split="train"):
    return dataset.read(dataset.dataset_path(root, RECORDING), split, RECORDING)


def assert_same(root, other):
    for split in dataset.SPLITS:
        for one, two in zip(held(root, split), held(other, split), strict=True):
            assert one.seed == two.seed
            for name in one.steps:
                assert one.steps[name].tobytes() == two.steps[name].tobytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A data root collected in one go: 10 and 2 episodes."""
    root = tmp_path_factory.mktemp("whole")
    return root, run(root, 10)


def test_keeps_the_first_successes_and_reports(whole):
    root, report = whole
    assert [e.seed for e in held(root)] == [0, 1, 2, 4, 5, 6, 7, 9, 10, 11]
    assert [e.seed for e in held(root, "heldout")] == [900_000, 900_001]
    assert all(e.success for e in held(root))
    assert report["episodes"] == report["recorded"] == {"train": 10, "heldout": 2}
    assert report["success_rate"] == {"train": 10 / 12, "heldout": 1.0}
    assert sorted(p.name for p in root.iterdir()) == [RECORDING.name]
    assert (root / RECORDING.name / "contact_sheet.png").stat().st_size > 1000


@pytest.mark.parametrize("calls", [0, 1, 2, 3])
def test_an_interrupted_run_ends_with_the_same_bytes(whole, tmp_path, calls):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 10, demonstrator=Demonstrator(calls))
    second = Demonstrator()
    run(tmp_path, 10, demonstrator=second)
    assert_same(whole[0], tmp_path)
    whole_run = Demonstrator()
    run(tmp_path / "again", 10, demonstrator=whole_run)
    assert second.seeds == whole_run.seeds[calls:]


def test_a_larger_number_adds_without_repeating(whole, tmp_path):
    run(tmp_path, 5, heldout=1)
    second = Demonstrator()
    report = run(tmp_path, 10, demonstrator=second)
    assert_same(whole[0], tmp_path)
    assert report["recorded"] == {"train": 5, "heldout": 1}
    assert min(seed for call in second.seeds for seed in call) > 5


def test_held_out_episodes_alone_and_training_episodes_later(whole, tmp_path):
    assert run(tmp_path, 0)["episodes"] == {"train": 0, "heldout": 2}
    assert (tmp_path / RECORDING.name / "contact_sheet.png").exists()
    run(tmp_path, 10)
    assert_same(tmp_path, whole[0])


def test_enough_episodes_are_used_as_they_are(whole):
    unused = Demonstrator()
    report = run(whole[0], 7, demonstrator=unused)
    assert not unused.seeds and report["recorded"] == {"train": 0, "heldout": 0}
    assert len(held(whole[0])) == 10


def test_a_damaged_part_is_made_again(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 10, demonstrator=Demonstrator(2))
    (first, _) = sorted((tmp_path / f"{RECORDING.name}.partial").iterdir())
    first.write_bytes(first.read_bytes()[:1000])
    run(tmp_path, 10)
    assert_same(whole[0], tmp_path)


def test_an_expert_that_fails_stops_the_run(tmp_path):
    failing = Demonstrator(fails=lambda seed: seed % 5 != 0)
    with pytest.raises(DataError, match="3 of 12 demonstrations succeed.*before seed 12"):
        run(tmp_path, 100, demonstrator=failing)
    never = Demonstrator(fails=lambda seed: True)
    with pytest.raises(DataError, match="0 of 10"):
        run(tmp_path / "never", 1, demonstrator=never)


@pytest.mark.parametrize("wanted", [5, 10])
def test_episodes_of_another_simulator_are_refused(tmp_path, wanted):
    run(tmp_path, 5)
    with pytest.raises(DataError, match="simulator_version is 'one', but this is 'two'; remove"):
        run(tmp_path, wanted, demonstrator=Demonstrator(version="two"))
    assert len(held(tmp_path)) == 5


def test_parts_of_another_simulator_are_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 10, demonstrator=Demonstrator(calls=1))
    with pytest.raises(DataError, match="partial: simulator_version is 'one', but this is 'two'"):
        run(tmp_path, 10, demonstrator=Demonstrator(version="two"))


def test_a_broken_demonstration_is_named(tmp_path):
    class Broken(Demonstrator):
        def __call__(self, seeds):
            made = super().__call__(seeds)
            made[1].steps["action"][2] = np.nan
            return made

    with pytest.raises(DataError, match="seed 1, step 2, key 'action'"):
        run(tmp_path, 4, demonstrator=Broken())


def test_every_source_has_its_own_seeds():
    first = sorted(seed for of_split in schema.FIRST_SEED.values() for seed in of_split.values())
    assert np.diff(first).min() >= 25_000 and 1_000_000 - first[-1] >= 25_000
    for of_split in schema.FIRST_SEED.values():
        assert set(of_split) == set(ROBOTS)


def test_an_unknown_source_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown source 'panda'; known: kinova, kinova_real, umi"):
        simulated.collect("lifting", "panda", 1, 1, 8, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_run_sees_the_views_that_it_names_and_the_data_have_all(tmp_path):
    whole = schema.Layout(1, 8, True, views=("front", "overhead", "wrist"))

    def demonstrate(seeds):
        return [schema.fake_episode(whole, 4, int(seed)) for seed in seeds]

    def expert(*_):
        return simulated.Expert(whole, demonstrate, 4, "none")

    simulated.collect("lifting", "kinova", 2, 1, 8, tmp_path, expert)
    made = ConfigDict(config.make("lifting", "method=mip").to_dict())
    made.image_size, made.data.target, made.data.root = 8, "kinova", str(tmp_path)
    for views, expected in ((("wrist", "front"), ("front", "wrist")), ((), whole.views)):
        made.data.views = views
        source = gather.target(made)
        (episode,) = source.read("train", 1)
        assert episode.views == source.layout.views == expected
        assert source.recording.layout == whole and source.make_env().layout == source.layout


def test_parts_hold_what_was_given(tmp_path):
    made = Demonstrator()([7, 8])
    part = partial.save(tmp_path, "train", 7, 2, made)
    assert partial.find(tmp_path, "train", 7) == part and part.attempts == 2
    for one, two in zip(part.episodes(), made, strict=True):
        assert (one.seed, one.source, one.simulator_version) == (two.seed, "kinova", "one")
        np.testing.assert_array_equal(one.steps["mask_front"], two.steps["mask_front"])
    assert partial.find(tmp_path, "train", 9) is None
    assert list(partial.save(tmp_path, "train", 9, 3, []).episodes()) == []


def test_contact_sheet_outlines_masks():
    episode = schema.fake_episode(LAYOUT, 3)
    episode.steps["image_front"][:] = 0
    episode.steps["mask_front"][:] = 0
    episode.steps["mask_front"][1, 2:5, 2:5] = 1
    strip = contact_sheet.strip(episode, "front", np.array([0, 1]))
    size = contact_sheet.SCALE
    assert strip.shape == (8 * size, 16 * size, 3)
    outlined = strip.any(-1)
    # A square of 3 x 3 enlarged pixels in the second frame; its rim is outlined.
    side = 3 * size
    assert outlined.sum() == 4 * (side - 1)
    assert outlined[2 * size, (8 + 2) * size] and not outlined[3 * size, (8 + 3) * size]
