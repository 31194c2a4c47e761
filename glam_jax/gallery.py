"""Pictures of every task by every robot, for docs/tasks.md.

    python -m glam_jax.gallery --out=docs/tasks

Each PNG is one demonstration of the scripted expert over time: all cameras, RGB and mask.
"""

import numpy as np
from absl import flags
from tqdm import tqdm

from glam_jax import files
from glam_jax.display import canvas
from glam_jax.runtime import entry
from glam_jax.schema import Episode
from glam_jax.sim import env as simulation
from glam_jax.sim import experts
from glam_jax.sim.robots import ROBOTS
from glam_jax.sim.tasks import TASKS

FRAMES, SIDE = 6, 128

_OUT = flags.DEFINE_string("out", "docs/tasks", "Folder of the pictures.")
_TASKS = flags.DEFINE_list("tasks", sorted(TASKS), "Which tasks.")
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the demonstration.", lower_bound=0)


def sheet(episode: Episode) -> np.ndarray:
    """The episode over time: per view a row of images and a row of masks, as one picture."""
    frames = np.linspace(0, len(episode) - 1, FRAMES).round().astype(int)
    cells = []
    for view in episode.views:
        masks = np.repeat(episode.steps[f"mask_{view}"][frames] * np.uint8(255), 3, axis=-1)
        for images in (episode.steps[f"image_{view}"][frames], masks):
            cells += [canvas.enlarge(image, SIDE) for image in images]
    text = f"{episode.task}, {episode.source}, simulated: {', '.join(episode.views)}, with masks"
    return canvas.caption(canvas.tile(np.stack(cells), FRAMES), text)


def main(_):
    """Draws one sheet for each task and robot."""
    pairs = [(task, robot) for task in _TASKS.value for robot in ROBOTS]
    for task, robot in tqdm(pairs, unit="sheet"):
        (episode,) = experts.demonstrate(simulation.make_env(task, robot), np.array([_SEED.value]))
        canvas.save_png(files.path(_OUT.value) / f"{task}_{robot}.png", sheet(episode))


if __name__ == "__main__":
    entry.run(main)
