"""What a run keeps of its demonstrations in memory, and that they are long enough for it."""

import pytest

from glam_jax import config, schema
from glam_jax.data.store import Store
from glam_jax.demonstrations import gather
from glam_jax.errors import DataError


def test_heldout_episodes_take_their_part_of_the_budget():
    layout = schema.Layout(arms=1, image_size=8, has_actions=False)
    episode = schema.fake_episode(layout, 5)
    each = sum(array.nbytes for array in episode.steps.values())
    found = gather._held({"kinova": [episode, episode], "umi": [episode]}, "kinova")
    assert found == 5 * each


def test_episodes_must_be_as_long_as_windows_and_chunks():
    layout = schema.Layout(arms=1, image_size=8, has_actions=True)
    shorter, longer = (schema.fake_episode(layout, length) for length in (9, 16))
    data = gather.Data(Store([longer, shorter]), {}, {"kinova_real": [shorter, longer]})
    made = config.make("lifting")
    made.policy.chunk, made.pretrain.window = 15, 9
    gather.check_lengths(made, data)
    made.policy.chunk = 16
    said = "policy.chunk is 16, but the longest held-out episode of kinova_real has 15 transitions"
    with pytest.raises(DataError, match=f"{said}; expected at most 15$"):
        gather.check_lengths(made, data)
    made.pretrain.window = 10
    said = "pretrain.window is 10, but a training episode has 9 frames; expected at most 9$"
    with pytest.raises(DataError, match=said):
        gather.check_lengths(made, data)
