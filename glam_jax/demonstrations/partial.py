"""Finished batches of demonstrations, kept on disk until their dataset is whole."""

import dataclasses
import zipfile
from collections.abc import Iterator, Sequence

import numpy as np
from etils import epath

from glam_jax import files
from glam_jax.schema import Episode


@dataclasses.dataclass(frozen=True)
class Part:
    """The successes among the demonstrations of `attempts` seeds from `first_seed` on."""

    path: epath.Path
    first_seed: int
    attempts: int
    successes: int
    simulator_version: str | None

    def episodes(self) -> Iterator[Episode]:
        """The successful episodes in the order of their seeds."""
        with files.local(self.path) as at, np.load(at, allow_pickle=False) as file:
            task, source, version = (str(text) for text in file["texts"])
            for i, seed in enumerate(file["seeds"]):
                names = [name.split("/")[1] for name in file.files if name.startswith(f"{i}/")]
                steps = {name: file[f"{i}/{name}"] for name in names}
                yield Episode(steps, task, source, int(seed), True, version)


def save(
    folder: epath.Path, split: str, first_seed: int, attempts: int, successes: Sequence[Episode]
) -> Part:
    """Writes a part; episodes are of one task, source and simulator."""
    path = folder / f"{split}_{first_seed:07d}.npz"
    arrays = {
        f"{i}/{name}": array
        for i, episode in enumerate(successes)
        for name, array in episode.steps.items()
    }
    texts = [[e.task, e.source, e.simulator_version] for e in successes[:1]] or [["", "", ""]]
    seeds = np.array([e.seed for e in successes], np.int64)
    with files.beside(path) as new:
        np.savez(new, attempts=attempts, seeds=seeds, texts=np.array(texts[0]), **arrays)
    return find(folder, split, first_seed)


def find(folder: epath.Path, split: str, first_seed: int) -> Part | None:
    """The part that starts at a seed; None if there is none, or it cannot be opened."""
    path = folder / f"{split}_{first_seed:07d}.npz"
    try:
        with files.local(path) as at, np.load(at, allow_pickle=False) as file:
            version = str(file["texts"][2]) or None
            return Part(path, first_seed, int(file["attempts"]), len(file["seeds"]), version)
    except (FileNotFoundError, zipfile.BadZipFile, KeyError, EOFError, ValueError):
        return None
