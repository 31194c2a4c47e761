"""Joint trajectories: what a policy commands, against the expert from the same start."""

import numpy as np
from etils import epath

from glam_jax import files
from glam_jax.display import charts
from glam_jax.evaluation.rollout import Rollout
from glam_jax.sim import experts
from glam_jax.sim.env import Env

FILE = "joints.json"
EXPERT = "expert"


def compare(env: Env, result: Rollout) -> dict:
    """Commands in a rollout's first world, and the expert's from the same start.

    Args:
      env: the world of the rollout, of a robot with joint targets.
      result: see `rollout`.

    Returns:
      For JSON: `hz`, commands a second; `seed` of the start; `success`; `policy` (T, A), up to its
      success or the last finite command, and `expert` (T', A), the whole plan: joint targets in
      rad and gripper commands from 0 to 1, of each arm in turn.
    """
    seeds = np.resize(result.seeds[:1], experts.batch()).astype(np.uint32)
    _, planned = experts.beginner(env)(seeds)
    done = result.actions[0, : result.steps[0]]
    finite = np.isfinite(done).all(axis=1)
    done = done if finite.all() else done[: finite.argmin()]
    return {
        "hz": env.control_hz,
        "seed": int(result.seeds[0]),
        "success": bool(result.success[0]),
        "policy": np.round(done.astype(float), 3).tolist(),
        "expert": np.round(np.asarray(planned[0], float), 3).tolist(),
    }


def save(folder: epath.Path, env: Env, result: Rollout) -> epath.Path:
    """Writes `compare` as joints.json and joints.png into a run's folder; returns the figure."""
    found = compare(env, result)
    files.write_json(folder / FILE, found)
    shown = {EXPERT: found["expert"], "policy": found["policy"]}
    return charts.joint_trajectories(folder / "joints.png", found["hz"], shown, reference=EXPERT)


def thin(found: dict, every: int = 2) -> dict:
    """The same with each `every`-th command: what a summary keeps."""
    commands = {name: found[name][::every] for name in ("policy", "expert")}
    return {**found, **commands, "hz": found["hz"] / every}
