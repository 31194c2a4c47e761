"""Sources that are simulated: a scripted expert demonstrates, and a dataset is recorded of it.

Episodes are the first N successes over increasing seeds, so N decides which they are. What
is finished is kept beside the dataset in `<dataset>.partial/` until the dataset is whole:
a killed run continues where it was, and a larger N adds to what is there.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable, Collection, Iterator

import numpy as np
from etils import epath
from ml_collections import ConfigDict
from tqdm import tqdm

from glam_jax import files, schema
from glam_jax.config import TASKS
from glam_jax.data import dataset
from glam_jax.data.recording import Recording, check_episode
from glam_jax.demonstrations import partial
from glam_jax.demonstrations.source import Source
from glam_jax.display import contact_sheet
from glam_jax.errors import ConfigError, DataError
from glam_jax.schema import FIRST_SEED, SIMULATED, Episode, Layout, title

# The least share of demonstrations that must succeed.
LEAST_SUCCESS_RATE = 0.5
_ATTEMPTS_TO_JUDGE = 10


class SimulatedSource(Source):
    """A robot of `sim.robots.ROBOTS`, whose scripted expert demonstrates."""

    simulated = True
    earlier_views = schema.VIEWS
    action_kind = "joint_positions"

    @classmethod
    def known(cls, config: ConfigDict) -> Collection[str]:
        return SIMULATED

    @classmethod
    def used(cls, config: ConfigDict) -> list[Source]:
        target, auxiliary = config.data.target, config.data.auxiliary
        for name in auxiliary:
            cls(config, name)  # also those without episodes must be known
        used = super().used(config)
        check_has_actions(target, "data.target")
        if auxiliary.get(target, 0):
            raise ConfigError(
                f"data.auxiliary.{target} is {auxiliary[target]}, but {target} is the target; "
                f"set it to 0, or ask for more in data.target_episodes"
            )
        return used

    @property
    def recording(self) -> Recording:
        return Recording(self.task, self.name, self._world(self.name).layout)

    @property
    def task(self) -> str:
        """Whose episodes it has: the run's, but another's if these are to pass for the run's."""
        return self.broken if self.broken in TASKS else self.config.task

    @property
    def breakages(self) -> tuple[str, ...]:
        arms = TASKS[self.config.task].arms
        others = (name for name, task in TASKS.items() if task.arms == arms)
        return super().breakages + tuple(name for name in others if name != self.config.task)

    @property
    def control_hz(self) -> float:
        return self.make_env().control_hz

    def provide(self) -> dict:
        size, data = self.config.image_size, self.config.data
        return collect(self.task, self.name, self.episodes, data.heldout_episodes, size, data.root)

    def stream(self, split: str, count: int | None = None) -> Iterator[Episode]:
        for episode in super().stream(split, count):
            yield dataclasses.replace(episode, task=self.config.task)

    def make_env(self, robot: str = ""):
        if robot:
            check_has_actions(robot, "robot")
        return self._world(robot or self.name, self.layout.views)

    def _world(self, robot: str, views: tuple[str, ...] = ()):
        # MuJoCo loads only where something is simulated.
        from glam_jax.sim import env

        return env.make_env(self.config.task, robot, self.config.image_size, views)


def check_has_actions(source: str, key: str) -> None:
    """Raises ConfigError unless a source is a robot's that is commanded in joint targets."""
    from glam_jax.sim.robots import ROBOTS

    able = sorted(name for name, robot in ROBOTS.items() if robot.has_actions)
    if source not in able:
        raise ConfigError(f"{key} is {source!r}; expected one with actions: {', '.join(able)}")


def _check_known(source: str) -> None:
    if source not in SIMULATED:
        raise ConfigError(f"unknown source {source!r}; known: {', '.join(sorted(SIMULATED))}")


# --- Recording --------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Expert:
    """Who demonstrates.

    Attributes:
      layout: of the episodes.
      demonstrate: seeds (B,) -> B episodes in order, failures included; an episode follows
        from its seed alone.
      batch: most seeds asked for at once.
      simulator_version: of the episodes.
    """

    layout: Layout
    demonstrate: Callable[[np.ndarray], list[Episode]]
    batch: int
    simulator_version: str


def scripted_expert(task: str, source: str, image_size: int) -> Expert:
    """The scripted expert of a task in simulation; `source` is the robot's name."""
    from glam_jax.sim import env, experts

    world = env.make_env(task, source, image_size)
    return Expert(
        world.layout,
        lambda seeds: experts.demonstrate(world, seeds),
        experts.batch(),
        env.SIMULATOR_VERSION,
    )


def collect(
    task: str,
    source: str,
    episodes: int,
    heldout: int,
    image_size: int,
    root: epath.PathLike,
    make_expert: Callable[[str, str, int], Expert] = scripted_expert,
) -> dict:
    """Makes sure that a dataset holds enough episodes, recording those that are missing.

    Args:
      task, source, image_size: what to record.
      episodes, heldout: successful episodes of the splits "train" and "heldout".
      root: the data root.
      make_expert: (task, source, image_size) -> `Expert`.

    Returns:
      A report: `source` (its title), `dataset` (folder), `episodes` and `recorded` (split ->
      number that it holds, and that this call added), `success_rate` of the expert (split ->
      fraction), `seconds`.

    Raises:
      ConfigError: for an unknown source; lists the known ones.
      DataError: if the dataset there is damaged, of another kind or by another simulator, or if
        fewer than half of the demonstrations succeed.
      OSError: if the disk is full; what was there stays.
    """
    began = time.monotonic()
    _check_known(source)
    expert = make_expert(task, source, image_size)
    recording = Recording(task, source, expert.layout)
    folder = files.recover(dataset.dataset_path(root, recording))
    held = dataset.count(folder, recording)
    goal = {"train": max(episodes, held["train"]), "heldout": max(heldout, held["heldout"])}
    if held != goal:
        _extend(expert, recording, root, held, goal)
    return {
        "source": title(source),
        "dataset": str(folder),
        "episodes": goal,
        "recorded": {split: goal[split] - held[split] for split in goal},
        "success_rate": {
            split: number
            / (_next_seed(expert, recording, folder, split) - _first(recording, split))
            for split, number in goal.items()
            if number
        },
        "seconds": round(time.monotonic() - began, 1),
    }


def _extend(expert: Expert, recording: Recording, root, held: dict, goal: dict) -> None:
    """Records what the splits lack and writes the dataset anew, with what it held in front."""
    folder = dataset.dataset_path(root, recording)
    # Made here, so that a root that cannot be written to is known before anything is simulated.
    unfinished = files.make_folder(folder.parent.with_name(folder.parent.name + ".partial"))
    everything = {}
    for split in (s for s in goal if goal[s]):
        kept = dataset.stream(folder, split, recording) if held[split] else ()
        added = _record(expert, recording, folder, split, goal[split] - held[split])
        new = itertools.chain.from_iterable(part.episodes() for part in added)
        everything[split] = itertools.islice(itertools.chain(kept, new), goal[split])
    dataset.write(root, recording, everything)
    files.remove(unfinished)
    split = next(iter(everything))
    shown = dataset.read(folder, split, recording, min(goal[split], 3))
    contact_sheet.save(shown, folder.parent / "contact_sheet.png")


def _check_version(expert: Expert, version: str, folder: epath.Path) -> None:
    if version != expert.simulator_version:
        raise DataError(
            f"{folder}: simulator_version is {version!r}, but this is "
            f"{expert.simulator_version!r}; remove the folder to record its episodes again"
        )


def _first(recording: Recording, split: str) -> int:
    return FIRST_SEED[split][recording.source]


def _next_seed(expert: Expert, recording: Recording, folder: epath.Path, split: str) -> int:
    """The seed after the last one that the dataset holds, of the expert's simulator."""
    if (last := dataset.last(folder, split, recording)) is None:
        return _first(recording, split)
    _check_version(expert, last.simulator_version, folder)
    return last.seed + 1


def _record(
    expert: Expert, recording: Recording, folder: epath.Path, split: str, goal: int
) -> list[partial.Part]:
    """Parts with `goal` new successes or more; parts that a killed run left are used."""
    unfinished = folder.parent.with_name(folder.parent.name + ".partial")
    seed = _next_seed(expert, recording, folder, split)
    found, attempts, successes = [], 0, 0
    name = f"collecting {recording.task} {title(recording.source)} {split}"
    with tqdm(total=goal, desc=name, unit="episode") as bar:
        while successes < goal:
            part = partial.find(unfinished, split, seed)
            if part is None:
                seeds = np.arange(seed, seed + min(expert.batch, goal - successes))
                part = _demonstrate(expert, recording, unfinished, split, seeds)
            if part.successes:
                _check_version(expert, part.simulator_version, unfinished)
            found.append(part)
            seed += part.attempts
            attempts += part.attempts
            successes += part.successes
            bar.update(min(successes, goal) - bar.n)
            bar.set_postfix_str(f"{successes / attempts:.0%} succeed")
            if attempts >= _ATTEMPTS_TO_JUDGE and successes < LEAST_SUCCESS_RATE * attempts:
                raise DataError(
                    f"{recording.name}: {successes} of {attempts} demonstrations succeed, "
                    f"expected at least {LEAST_SUCCESS_RATE:.0%}; stopped before seed {seed}"
                )
    return found


def _demonstrate(
    expert: Expert, recording: Recording, unfinished: epath.Path, split: str, seeds: np.ndarray
) -> partial.Part:
    made = expert.demonstrate(seeds)
    for episode in made:
        check_episode(episode, recording, f"{recording.name}, episode of seed {episode.seed}")
    successes = [episode for episode in made if episode.success]
    return partial.save(unfinished, split, int(seeds[0]), len(seeds), successes)
