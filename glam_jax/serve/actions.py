"""From chunks of the policy to the actions that are sent: which of them, and within what limits."""

import collections
import dataclasses

import numpy as np

MODES = ("chunk", "ensemble")


class Receding:
    """The head of each chunk: `execute` actions are carried out before the policy sees again."""

    def __init__(self, execute: int):
        self.execute = execute

    def reset(self) -> None:
        """Nothing is kept between chunks."""

    def actions(self, chunk_KxA: np.ndarray) -> np.ndarray:
        """(execute, A)."""
        return chunk_KxA[: self.execute]


class Ensemble:
    """One action a step, the mean of what the last chunks planned for it (Zhao et al., 2023).

    The chunk of i steps ago planned its action i for now. With the oldest first, weights are

        w_j = exp(-decay j) / sum_j exp(-decay j),  j = 0 for the oldest chunk

    so that a decay above 0 trusts the older plans more, and below 0 the newer ones.
    """

    execute = 1

    def __init__(self, chunk: int, decay: float):
        self._decay = decay
        self._chunks = collections.deque(maxlen=chunk)

    def reset(self) -> None:
        """Forgets all chunks."""
        self._chunks.clear()

    def actions(self, chunk_KxA: np.ndarray) -> np.ndarray:
        """(1, A): a control step has passed since the chunk before."""
        self._chunks.append(chunk_KxA)
        count = len(self._chunks)
        planned = np.stack([chunk[count - 1 - j] for j, chunk in enumerate(self._chunks)])
        weights = np.exp(-self._decay * np.arange(count))
        return (weights[:, None] * planned).sum(0, keepdims=True) / weights.sum()


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
