"""What actions must keep within before they leave for a robot: joint limits and speed limits."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of A action dimensions.

    Attributes:
      low, high: (A,) lowest and highest command, rad and gripper command.
      step: (A,) largest change from one command to the next, speed / control rate; inf for none.
    """

    low: np.ndarray
    high: np.ndarray
    step: np.ndarray

    def apply(
        self, actions_KxA: np.ndarray, before_A: np.ndarray
    ) -> tuple[np.ndarray, dict[str, int]]:
        """Actions within the limits, and how many entries each limit changed.

            b_k = clip(a_k, low, high);   c_k = c_{k-1} + clip(b_k - c_{k-1}, -step, step)

        Args:
          actions_KxA: commands as the policy gave them.
          before_A: c_{-1}, the command in force, or the measured joints.

        Returns:
          c (K, A) float32, and counts {"joint": of b != a, "speed": of c != b}.
        """
        wanted = np.asarray(actions_KxA, np.float32)
        inside = np.clip(wanted, self.low, self.high).astype(np.float32)
        # Joints measured a little beyond a limit must not pull commands there.
        now = np.clip(before_A, self.low, self.high).astype(np.float32)
        slow = np.empty_like(inside)
        for k, target in enumerate(inside):
            slow[k] = now = np.clip(target, now - self.step, now + self.step)
        counts = {"joint": int((inside != wanted).sum()), "speed": int((slow != inside).sum())}
        return slow, counts
