"""Checks a recording: carries its actions out open-loop, from the scenes of its seeds.

    python replay.py reach.hdf5

Prints how many episodes succeed again, and exits with 1 if any does not.
"""

import json
import sys

import h5py
import numpy as np
from environment import Task, make_env


def replay(env: Task, demo: h5py.Group) -> tuple[bool, float]:
    """Whether an episode ends with success, and how far the hand ever is from its record, m."""
    seen, _ = env.reset(seed=int(demo.attrs["seed"]))
    info, apart = {}, 0.0
    for action, recorded in zip(demo["actions"][:], demo["obs/hand_pos"][:], strict=True):
        apart = max(apart, float(np.linalg.norm(seen["hand_pos"] - recorded)))
        seen, _, _, _, info = env.step(action)
    return bool(info["success"]), apart


def main(path: str) -> None:
    with h5py.File(path) as file:
        data = file["data"]
        env = make_env(json.loads(data.attrs["env_args"])["env_name"], cameras=())
        results = [replay(env, demo) for demo in data.values()]
    done = sum(success for success, _ in results)
    apart = max(metres for _, metres in results)
    print(f"{path}: {done} of {len(results)} succeed, hand at most {1e3 * apart:.3f} mm apart")
    sys.exit(done < len(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
