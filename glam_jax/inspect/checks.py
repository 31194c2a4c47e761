"""What can be wrong with an episode that has the right shapes: values, motion, images."""

import numpy as np

from glam_jax.schema import EE_DIM, Episode

# How far a stored rotation's axes may be from orthonormal.
ROTATION_TOLERANCE = 0.02
# A hand that moves faster than this between two steps has jumped: something is missing.
FASTEST_M_S = 3.0
# The same without a known rate: times the episode's 95th percentile, and at least this far.
_JUMP_FACTOR, _JUMP_M = 15.0, 0.03
# So many steps in a row with one and the same image, while the hand moves, is a stuck camera.
_STUCK_STEPS, _STUCK_M = 5, 0.02


def errors(episode: Episode) -> list[str]:
    """What makes an episode unusable, each with its step; empty if nothing does."""
    found = []
    for arm, pose in enumerate(arms(episode)):
        axes = pose[:, 3:9].reshape(-1, 2, 3)
        lengths = np.abs(np.linalg.norm(axes, axis=-1) - 1).max(1)
        product = np.abs((axes[:, 0] * axes[:, 1]).sum(1))
        off = np.maximum(lengths, product)
        if (step := _first(off > ROTATION_TOLERANCE)) is not None:
            found.append(
                f"step {step}, key 'ee_pose': rotation of arm {arm} is off by {off[step]:.2g}, "
                f"expected orthonormal columns"
            )
        outside = (pose[:, 9] < -1e-3) | (pose[:, 9] > 1 + 1e-3)
        if (step := _first(outside)) is not None:
            found.append(
                f"step {step}, key 'ee_pose': opening of arm {arm} is {pose[step, 9]:.3g}, "
                f"expected 0 to 1"
            )
    return found


def warnings(episode: Episode, rate_hz: float | None) -> list[str]:
    """What is odd about an episode: gaps in its motion, and images that do not change."""
    found = []
    for arm, pose in enumerate(arms(episode)):
        moved = np.linalg.norm(np.diff(pose[:, :3], axis=0), axis=1)
        if rate_hz:
            limit = FASTEST_M_S / rate_hz
        else:
            limit = max(_JUMP_FACTOR * np.quantile(moved, 0.95), _JUMP_M)
        if (step := _first(moved > limit)) is not None:
            found.append(
                f"step {step}: gap, arm {arm} is {moved[step] * 100:.0f} cm further a step later"
            )
    for view in episode.views:
        images = episode.steps[f"image_{view}"]
        if images.any() and (step := _stuck(images, episode)) is not None:
            found.append(f"step {step}: the {view} image stands still while the hand moves")
    return found


def arms(episode: Episode) -> list[np.ndarray]:
    """The end-effector pose (T, 10) of each arm."""
    pose = episode.steps["ee_pose"]
    return np.split(pose, pose.shape[1] // EE_DIM, axis=1)


def disagreement(episode: Episode, kind: str) -> tuple[np.ndarray, np.ndarray] | None:
    """How far the next state is from what an action asks for, and how far the state moves.

    Args:
      episode: with actions.
      kind: what an action is, see `schema.ACTION_KINDS`.

    Returns:
      (misses (T - 1, n), moves (T - 1, n)): |x_t+1 - a_t| and |x_t+1 - x_t|, in rad for joint
      positions and in m for poses; None where the two cannot be compared.
    """
    action, state = episode.steps["action"], episode.steps["proprio"]
    count = len(arms(episode))
    if kind == "joint_positions" and action.shape == state.shape:
        asked, found = (_each_arm(x, count, slice(0, -1)) for x in (action, state))
    elif kind in ("pose", "pose_delta") and action.shape[1] >= 3 * count:
        asked = _each_arm(action, count, slice(0, 3))
        found = _each_arm(episode.steps["ee_pose"], count, slice(0, 3))
    else:
        return None
    moves = np.diff(found, axis=0)
    wanted = asked[:-1] if kind == "pose_delta" else asked[:-1] - found[:-1]
    return np.abs(moves - wanted), np.abs(moves)


def _each_arm(values: np.ndarray, count: int, part: slice) -> np.ndarray:
    return np.concatenate([x[:, part] for x in np.split(values, count, axis=1)], axis=1)


def _first(wrong: np.ndarray) -> int | None:
    return int(np.argmax(wrong)) if wrong.any() else None


def _stuck(images: np.ndarray, episode: Episode) -> int | None:
    """The step at which an image begins to stand still while the hand moves on."""
    flat = images.reshape(len(images), -1)
    same = (flat[1:] == flat[:-1]).all(axis=1)
    position = np.concatenate([pose[:, :3] for pose in arms(episode)], axis=1)
    begin = None
    for step, still in enumerate(same):
        begin = (step if begin is None else begin) if still else None
        if begin is None or step - begin + 1 < _STUCK_STEPS:
            continue
        if np.abs(position[step + 1] - position[begin]).max() > _STUCK_M:
            return begin
    return None
