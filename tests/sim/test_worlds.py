"""Every task by every robot: made, reset, stepped through by its expert, and seen."""

import jax
import numpy as np
import pytest
from demonstrated import SEEDS, demonstrations, replayed, success_rate

from glam_jax import config, schema
from glam_jax.sim import experts
from glam_jax.sim.env import make_env
from glam_jax.sim.robots import ROBOTS
from glam_jax.sim.tasks import TASKS

pytestmark = pytest.mark.slow

every_task = pytest.mark.parametrize("task", sorted(TASKS))


@every_task
@pytest.mark.parametrize("robot", sorted(ROBOTS))
def test_at_least_95_percent_of_demonstrations_succeed_and_are_seen(task, robot):
    env, found = make_env(task, robot), demonstrations(task, robot)
    assert len(found) == len(SEEDS) and success_rate(task, robot) >= 0.95
    assert len({len(one.success) for one in found}) > 10  # no two alike
    widths = {name: shape for name, (shape, _) in env.layout.step_arrays().items()}
    for one in found:
        assert 40 < len(one.success) <= env.plan_steps < env.horizon + 1
        assert one.ee_pose.shape == (len(one.success), *widths["ee_pose"])
        if robot != "umi":
            assert one.action.shape == (len(one.success), *widths["action"])

    ends = jax.tree.map(lambda x: x[[0, -1]], found[0].sight)
    images = experts.render_frames(env, ends)
    for view in schema.VIEWS:
        assert images[f"image_{view}"].shape == (2, *widths[f"image_{view}"])
        assert np.std(images[f"image_{view}"]) > 10  # something is there
        shown = images[f"mask_{view}"].mean(axis=(1, 2, 3))
        assert np.all((shown > 0.002) & (shown < 0.3)), shown


@every_task
def test_recorded_actions_replayed_open_loop_repeat_the_motion_and_succeed(task):
    robot = config.TASKS[task].target
    result = replayed(task, robot)
    assert result.success.mean() >= 0.95
    ways = result.ee_position.reshape(*result.ee_position.shape[:2], -1, 3)
    for one, way in zip(demonstrations(task, robot), ways, strict=True):
        shown = one.ee_pose.reshape(len(one.ee_pose), len(way[0]), -1)[..., :3]
        # Other programs differ in the last bits, which contacts amplify: the way there alone.
        np.testing.assert_allclose(way[:30], shown[:30], atol=1e-3)
