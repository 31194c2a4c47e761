"""What a run keeps of its demonstrations in memory."""

from glam_jax import schema
from glam_jax.demonstrations import gather


def test_heldout_episodes_take_their_part_of_the_budget():
    layout = schema.Layout(arms=1, image_size=8, has_actions=False)
    episode = schema.fake_episode(layout, 5)
    each = sum(array.nbytes for array in episode.steps.values())
    found = gather._held({"kinova": [episode, episode], "umi": [episode]}, "kinova")
    assert found == 5 * each
