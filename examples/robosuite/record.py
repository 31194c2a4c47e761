"""Records successful demonstrations of a scripted expert, in robomimic's HDF5 layout.

    python record.py --task=Lift --robot=Kinova3 --episodes=60 --out=lift_kinova3.hdf5

Each demonstration is written beside, in OUT.parts, until all are there: a killed recording leaves
no half file, and the same command goes on with it.
"""

import argparse
import itertools
import json
import os
import pathlib
import shutil

import expert
import h5py
import numpy as np
from environment import ROBOTS, TASKS, Environment, make_env
from tqdm import tqdm


def demonstrate(environment: Environment, seed: int) -> dict | None:
    """Name -> array of each dataset of a demonstration, None if the task is not done at its end."""
    observation, info = environment.reset(seed)
    actions = expert.plan(environment, seed)
    seen, rewards = [], []
    for action in actions:
        seen.append(observation)
        observation, reward, _, _, info = environment.step(action)
        rewards.append(reward)
    if not info["success"]:
        return None
    dones = np.arange(len(actions)) == len(actions) - 1
    found = {f"obs/{name}": np.stack([step[name] for step in seen]) for name in observation}
    return found | dict(actions=actions, rewards=np.array(rewards), dones=dones.astype(np.int64))


def write_part(path: pathlib.Path, arrays: dict, seed: int, env_args: str) -> None:
    """One demonstration as a file of its own: there whole, or not at all."""
    partial = path.with_suffix(".partial")
    with h5py.File(partial, "w") as file:
        demo = file.create_group("demo")
        demo.attrs["num_samples"], demo.attrs["seed"] = len(arrays["actions"]), seed
        file.attrs["env_args"] = env_args
        for name, array in arrays.items():
            steps = dict(chunks=(1, *array.shape[1:]), compression="gzip")  # read one by one
            demo.create_dataset(name, data=array, **(steps if array.dtype == np.uint8 else {}))
    os.replace(partial, path)


def check_part(path: pathlib.Path, env_args: str) -> None:
    """Ends the program with one line if a part is not of these settings."""
    with h5py.File(path, "r") as part:
        if part.attrs["env_args"] != env_args:
            raise SystemExit(f"error: {path} was recorded with other settings; remove its folder")


def join(parts: list[pathlib.Path], out: pathlib.Path, env_args: str, valid: int) -> None:
    """All parts as one file; the last `valid` are under the filter key `valid`."""
    partial = out.with_name(f".{out.name}.partial")
    names = [f"demo_{i}" for i in range(len(parts))]
    with h5py.File(partial, "w") as file:
        data = file.create_group("data")
        for name, path in zip(names, parts, strict=True):
            with h5py.File(path, "r") as part:
                part.copy("demo", data, name)
        data.attrs["env_args"] = env_args
        data.attrs["total"] = sum(int(data[name].attrs["num_samples"]) for name in names)
        for key, chosen in {"train": names[:-valid], "valid": names[-valid:]}.items():
            file[f"mask/{key}"] = np.array(chosen, dtype="S")
    os.replace(partial, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--robot", choices=ROBOTS, required=True)
    parser.add_argument("--episodes", type=int, default=60, help="successful ones in the file")
    parser.add_argument("--valid", type=int, default=10, help="how many of them are kept apart")
    parser.add_argument("--first_seed", type=int, default=0)
    parser.add_argument("--image_size", type=int, default=64, help="pixels")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    flags = parser.parse_args()
    if not 0 < flags.valid < flags.episodes:
        parser.error(f"--valid is {flags.valid}; expected 1 to {flags.episodes - 1}")
    environment = make_env(flags.task, flags.robot, flags.image_size)
    env_args = json.dumps(environment.env_args)
    folder = flags.out.with_name(f"{flags.out.name}.parts")
    folder.mkdir(parents=True, exist_ok=True)
    parts, failed = [], 0
    progress = tqdm(total=flags.episodes, unit="demonstration")
    for seed in itertools.count(flags.first_seed):
        path = folder / f"seed_{seed:07}.hdf5"
        if path.exists():
            check_part(path, env_args)
        elif arrays := demonstrate(environment, seed):
            write_part(path, arrays, seed, env_args)
        else:
            failed += 1
            continue
        parts.append(path)
        progress.update()
        if len(parts) == flags.episodes:
            break
    progress.close()
    join(parts, flags.out, env_args, flags.valid)
    shutil.rmtree(folder)
    size = flags.out.stat().st_size / 1e6
    print(f"{flags.out}: {len(parts)} demonstrations, {size:.1f} MB; {failed} attempts failed")


if __name__ == "__main__":
    main()
