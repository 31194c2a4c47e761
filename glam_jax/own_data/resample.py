"""Steps at one rate to steps at another."""

import math

import numpy as np
from scipy.spatial.transform import Rotation, Slerp


def keeps(step: int, rate_from: float, rate_to: float) -> bool:
    """Whether a recorded step is the nearest one of any new step."""
    ratio = rate_from / rate_to
    new = math.ceil((step - 0.5) / ratio - 1e-9)
    return any(math.floor(k * ratio + 0.5) == step for k in (new - 1, new, new + 1))


class Resampler:
    """Moves an episode of T steps from one rate to another.

    Step k of the result is at time k / rate_to, none after the last recorded step. What is
    continuous is interpolated, rotations along the shortest way; images are the nearest in time.

    Attributes:
      count: T', steps of the result. ratio: recorded steps per new step.
    """

    def __init__(self, length: int, rate_from: float, rate_to: float):
        """Raises ValueError if fewer than two steps would be left."""
        self.ratio = rate_from / rate_to
        self._source = np.arange(length)
        count = int((length - 1) / self.ratio + 1e-6) + 1
        if count < 2:
            raise ValueError(f"{length} steps at {rate_from:g} Hz are too few at {rate_to:g} Hz")
        self.count = count
        self._at = np.minimum(np.arange(count) * self.ratio, length - 1)

    def continuous(self, values: np.ndarray) -> np.ndarray:
        """(T, n) -> (T', n), linear between recorded steps."""
        columns = [np.interp(self._at, self._source, column) for column in values.T]
        return np.stack(columns, axis=1)

    def rotations(self, matrices: np.ndarray) -> np.ndarray:
        """(T, 3, 3) -> (T', 3, 3), spherically interpolated; unchanged at an unchanged rate."""
        if np.array_equal(self._at, self._source):
            return matrices
        return Slerp(self._source, Rotation.from_matrix(matrices))(self._at).as_matrix()

    def nearest(self) -> np.ndarray:
        """(T',): the recorded step nearest in time to each new one."""
        return np.floor(self._at + 0.5).astype(int).clip(0, len(self._source) - 1)

    def commands(self, actions: np.ndarray) -> np.ndarray:
        """Absolute commands (T, A) -> (T', A): the last one given before the next new step."""
        before = np.ceil(self._at + self.ratio - 1e-6).astype(int) - 1
        return actions[before.clip(0, len(actions) - 1)]

    def increments(self, actions: np.ndarray, arms: int) -> np.ndarray:
        """Differences (T, A) -> (T', A): summed over a new step, of a recorded one that it shares
        with the next one as much as it has of it. Each arm's last number, the gripper, is the last
        one given. Rotation differences add up as small ones do.
        """
        summed = np.concatenate([np.zeros_like(actions[:1]), np.cumsum(actions, axis=0)])
        edges = np.append(self._at, self._at[-1] + self.ratio)
        places = np.arange(len(summed))
        reached = np.stack([np.interp(edges, places, column) for column in summed.T], axis=1)
        found = np.diff(reached, axis=0)
        grippers = np.arange(1, arms + 1) * actions.shape[1] // arms - 1
        found[:, grippers] = self.commands(actions[:, grippers])
        return found
