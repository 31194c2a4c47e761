"""Replays recorded actions open-loop, and says where the hand is while it holds the cube.

    python check.py lift_kinova3.hdf5 lift_panda.hdf5

Two robots fit together if they hold a cube at the same point of the hand (offset) and their
openings differ from the cube's width by the same.
"""

import argparse
import json

import h5py
import numpy as np
from environment import TASKS, Environment, make_env

LIFTED = 0.02  # m, higher than this a cube that was on the table is held
GRIPPER = -1  # of an action: above 0 it closes


def replay(environment: Environment, demo: h5py.Group) -> tuple[bool, float, np.ndarray]:
    """Success at the end, the hand's largest deviation (m), and (n, 4) while the cube is held.

    These 4 are the hand's offset from the cube's centre, in the hand's axes, and the opening minus
    the cube's width, m.
    """
    observation, info = environment.reset(int(demo.attrs["seed"]))
    name = TASKS[environment.task].cubes[0]
    low, _, half = environment.cube(name)
    recorded, deviation, held = demo["obs/robot0_eef_pos"][:], 0.0, []
    for position, action in zip(recorded, demo["actions"], strict=True):
        off = np.linalg.norm(observation["robot0_eef_pos"] - position)
        deviation = max(deviation, off)
        observation, _, _, _, info = environment.step(action)
        centre = environment.cube(name)[0]
        if centre[2] > low[2] + LIFTED and action[GRIPPER] > 0:
            axes = environment.data.site(environment.hand_site).xmat.reshape(3, 3)
            offset = (observation["robot0_eef_pos"] - centre) @ axes
            held.append([*offset, observation["gripper_opening"][0] - 2 * half])
    return info["success"], deviation, np.array(held).reshape(-1, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+")
    parser.add_argument("--episodes", type=int, default=20, help="of each file, at most")
    flags = parser.parse_args()
    for path in flags.files:
        with h5py.File(path, "r") as file:
            args = json.loads(file["data"].attrs["env_args"])
            task, robot = args["env_name"], args["env_kwargs"]["robots"]
            environment = make_env(task, robot, cameras=())
            demos = [file[f"data/demo_{i}"] for i in range(len(file["data"]))][: flags.episodes]
            found = [replay(environment, demo) for demo in demos]
        successes, deviations, held = zip(*found, strict=True)
        mean, spread = 1e3 * np.mean(np.concatenate(held), 0), 1e3 * np.std(np.concatenate(held), 0)
        print(f"{path}: {task} by {robot}, {sum(successes)} of {len(demos)} replays succeed")
        print(f"  hand off the recording by at most {1e3 * max(deviations):.2f} mm")
        for i, part in enumerate(("along opening", "across", "out of hand", "opening - width")):
            print(f"  {part:16} {mean[i]:6.1f} mm, scatter {spread[i]:.1f} mm")


if __name__ == "__main__":
    main()
