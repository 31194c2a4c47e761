"""From chunks of the policy to the actions that are carried out."""

import collections

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
