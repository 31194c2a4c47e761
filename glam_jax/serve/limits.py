"""What actions are kept within, and what that is where nobody says it."""

import dataclasses

import numpy as np

from glam_jax.schema import ACTION_DIM
from glam_jax.serve.form import Form

# rad/s: about what the large and the small actuators of a Kinova Gen3 are rated for. The gripper
# command has no limit.
KINOVA_SPEED = (*[1.39] * 4, *[1.22] * 3, np.inf)


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of A action dimensions, in the units that a client receives.

    Attributes:
      low, high: (A,) lowest and highest command.
      step: (A,) largest change from one command to the next, speed / control rate; inf for none.
    """

    low: np.ndarray
    high: np.ndarray
    step: np.ndarray

    def apply(
        self, actions_KxA: np.ndarray, before_A: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, int]]:
        """Actions within the limits, and how many entries each limit changed.

            b_k = clip(a_k, low, high);   c_k = c_{k-1} + clip(b_k - c_{k-1}, -step, step)

        Args:
          actions_KxA: commands as the policy gave them.
          before_A: c_{-1}, the command in force, or the measured joints; None takes b_0.

        Returns:
          c (K, A) float32, and counts {"range": of b != a, "speed": of c != b}.
        """
        wanted = np.asarray(actions_KxA, np.float32)
        inside = np.clip(wanted, self.low, self.high).astype(np.float32)
        # Joints measured a little beyond a limit must not pull commands there.
        before = inside[0] if before_A is None else np.clip(before_A, self.low, self.high)
        now = before.astype(np.float32)
        slow = np.empty_like(inside)
        for k, target in enumerate(inside):
            slow[k] = now = np.clip(target, now - self.step, now + self.step)
        counts = {"range": int((inside != wanted).sum()), "speed": int((slow != inside).sum())}
        return slow, counts


def simulated(env) -> Limits:
    """Of a simulated robot: its joints' limits, and the speeds that its actuators are rated for."""
    low, high = env.action_bounds
    speed = np.tile(KINOVA_SPEED, len(low) // ACTION_DIM)
    return Limits(low, high, (speed / env.control_hz).astype(np.float32))


def demonstrated(shown: dict[str, np.ndarray], kind: str, arms: int, form: Form) -> Limits:
    """Of a robot that is known by its demonstrations alone: what they had.

    Steps are limited where a number is a place on a line: of joints, and of the positions that
    poses begin with. A limit on the numbers of a rotation would turn it the long way round.

    Args:
      shown: the statistics of actions, `low`, `high` and `step` (A,), see `normalize`.
      kind: of actions, see `schema.ACTION_KINDS`. form: brings actions to the client's units.
    """
    edges = form.actions(np.stack([shown["low"], shown["high"]]))
    step = np.array(shown["step"]).reshape(arms, -1)
    free = {"joint_positions": step.shape[1], "pose": 3}.get(kind, 0)
    step[:, free:] = np.inf
    moved, still = form.actions(np.stack([step.ravel(), np.zeros(step.size, np.float32)]))
    return Limits(edges.min(0), edges.max(0), np.abs(moved - still))
