"""Which episodes are used: by number, success, instruction and length; and bad ones."""

import logging

import foreign_data
import numpy as np
import pytest
from absl import logging as absl_logging

from glam_jax.errors import DataError
from glam_jax.own_data import choose

FORMATS = ("tfrecord", "array_record")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """(file format, whether one episode is bad) -> folder of a foreign dataset."""
    root = tmp_path_factory.mktemp("foreign")

    def spoil(index, state):
        if index == 2:
            state[7, 1] = np.nan

    made = {(f, False): foreign_data.write(root, f"good_{f}", True, f) for f in FORMATS}
    made["tfrecord", True] = foreign_data.write(root, "bad", True, "tfrecord", spoil)
    return made


@pytest.fixture
def make(foreign, tmp_path):
    """(file format, whether one is bad, changes of the key map) -> config."""

    def make(kind="tfrecord", bad=False, **arm):
        keys = foreign_data.key_map(foreign[kind, bad], True, **arm)
        return foreign_data.config(tmp_path / "data", keys, keys)

    return make


def numbers(config, split="train"):
    return [episode.seed for episode in foreign_data.read(config, split=split)]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("arm", "train", "heldout", "left"),
    [
        ({}, [0, 2, 3], [4], {"failed": 1}),
        ({"include_failed": True}, [0, 1, 2], [4], {}),
        ({"episodes": "1,3:5", "include_failed": True}, [1, 3], [4], {}),
        ({"episodes": "2:"}, [2, 3], [4], {}),
        (
            {"text": "episode_metadata/instruction", "text_has": "Reach 0"},
            [0, 2],
            [4],
            {"failed": 1, "another instruction": 1},
        ),
        ({"split": "train[:60%]", "heldout_split": "train[60%:]"}, [0, 2], [1], {"failed": 1}),
    ],
)
def test_episodes_are_chosen(make, kind, arm, train, heldout, left):
    config = make(kind, **({"include_failed": False} | arm))
    report = foreign_data.provide(config, episodes=len(train))
    assert numbers(config) == train
    assert numbers(config, "heldout") == heldout
    assert report["left_out"] == left


@pytest.mark.parametrize("kind", FORMATS)
def test_instructions_are_stored(make, kind):
    config = make(kind, text="episode_metadata/instruction")
    foreign_data.provide(config)
    found = [episode.instruction for episode in foreign_data.read(config)]
    assert found == ["reach 0", "reach 1", "reach 0", "reach 1"]


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({"episodes": "3:9"}, "episodes is '3:9', but there are 5: 0 to 4"),
        ({"episodes": "1-3"}, "episodes is '1-3', expected numbers and from:to"),
        ({"min_steps": 22}, "no episode is left; 5 too short"),
        ({"max_steps": 20}, "no episode is left; 5 too long"),
        ({"min_steps": 21, "include_failed": False}, "4 episodes, left out are 1 failed; 5 are"),
        ({"split": "train[:5q%]"}, "no split 'train.:5q%.'"),
    ],
)
def test_a_choice_that_leaves_too_few_is_named(make, arm, words):
    with pytest.raises(DataError, match=words):
        foreign_data.provide(make(**arm))


def test_bad_episodes_are_skipped_where_that_is_asked_for(make, caplog):
    with pytest.raises(DataError, match='episode 2.*step 7.*on_bad="skip" leaves such'):
        foreign_data.provide(make(bad=True))
    config = make(bad=True, on_bad="skip")
    absl_logging.get_absl_logger().addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING):
        report = foreign_data.provide(config, episodes=3)
    absl_logging.get_absl_logger().removeHandler(caplog.handler)
    assert numbers(config) == [0, 1, 3] and numbers(config, "heldout") == [4]
    assert len(report["skipped"]) == 1 and "train episode 2" in report["skipped"][0]
    assert "train episode 2" in caplog.text
    with pytest.raises(DataError, match="3 episodes can be used, 4 are wanted; 1 were bad"):
        foreign_data.provide(config, episodes=4)


def test_numbers_of_episodes():
    assert choose.numbers("", 3) == [0, 1, 2]
    assert choose.numbers("2, 0:2", 3) == [2, 0, 1]
