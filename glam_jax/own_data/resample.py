"""Steps at one rate to steps at another."""

import numpy as np
from scipy.spatial.transform import Rotation, Slerp


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

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """(T, ...) -> (T', ...), the recorded step nearest in time."""
        return values[np.floor(self._at + 0.5).astype(int).clip(0, len(values) - 1)]

    def commands(self, actions: np.ndarray) -> np.ndarray:
        """Absolute commands (T, A) -> (T', A): the last one given before the next new step."""
        before = np.ceil(self._at + self.ratio - 1e-6).astype(int) - 1
        return actions[before.clip(0, len(actions) - 1)]

    def increments(self, actions: np.ndarray, arms: int) -> np.ndarray:
        """Differences (T, A) -> (T', A): summed over a new step; each arm's last number, the
        gripper, is the last one given. Rotation differences add up as small ones do.

        Raises:
          ValueError: unless a new step is a whole number of recorded ones.
        """
        whole = round(self.ratio)
        if whole < 1 or abs(self.ratio - whole) > 1e-6:
            raise ValueError(
                f"pose_delta actions can only be resampled by a whole number, not {self.ratio:g}"
            )
        first = np.round(self._at).astype(int)
        parts = [actions[i : i + whole] for i in first]
        summed = np.stack([part.sum(axis=0) for part in parts])
        grippers = np.arange(1, arms + 1) * actions.shape[1] // arms - 1
        summed[:, grippers] = np.stack([part[-1, grippers] for part in parts])
        return summed
