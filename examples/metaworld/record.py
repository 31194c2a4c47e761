"""Records demonstrations of MetaWorld's scripted experts in robomimic's HDF5 layout.

    python record.py --task=reach-v3 --episodes=50 --first_seed=0 --out=reach.hdf5

An episode ends once the task has been done for `HELD` steps; others are left out and counted. Of
every step there are the observation and the action that followed it.
"""

import argparse
import json
import os
import time
import warnings

import h5py
import numpy as np
from environment import CAMERAS, CONTROL_HZ, FIRST_TEST_SEED, Task, make_env
from metaworld.policies import ENV_POLICY_MAP

HELD = 10  # steps, 0.25 s


def demonstrate(env: Task, expert, seed: int, noise: float) -> dict | None:
    """One episode: `actions` (T, 4), `rewards`, `dones` (T,), and `obs`, each name (T, ...).

    Args:
      expert: MetaWorld's policy of the task. seed: of the scene and the noise.
      noise: deviation of what is added to each action; the sum is what is done and stored.

    Returns:
      None if the expert failed.
    """
    rng = np.random.default_rng(seed)
    seen, _ = env.reset(seed=seed)
    steps, held, over = [], 0, False
    while held < HELD and not over:
        action = expert.get_action(seen["state"].astype(np.float64))
        action = np.clip(action + rng.normal(0.0, noise, 4), -1.0, 1.0).astype(np.float32)
        before = seen
        seen, reward, _, over, info = env.step(action)
        held = held + 1 if info["success"] else 0
        steps.append((before, action, reward, held == HELD))
    if held < HELD:
        return None
    observations, actions, rewards, dones = zip(*steps, strict=True)
    return {
        "actions": np.stack(actions),
        "rewards": np.float32(rewards),
        "dones": np.int64(dones),
        "obs": {name: np.stack([seen[name] for seen in observations]) for name in before},
    }


def record(args: argparse.Namespace, file: h5py.File) -> str:
    """Fills a file with demonstrations; returns one line about them."""
    env = make_env(args.task, args.image_size, args.cameras)
    expert, began = ENV_POLICY_MAP[args.task](), time.perf_counter()
    data = file.create_group("data")
    about = {"env_name": args.task, "type": "metaworld", "env_kwargs": {"control_hz": CONTROL_HZ}}
    data.attrs["env_args"] = json.dumps(about)
    seed, lengths = args.first_seed, []
    while len(lengths) < args.episodes:
        episode = demonstrate(env, expert, seed, args.noise)
        seed += 1
        if episode:
            _store(data.create_group(f"demo_{len(lengths)}"), episode, seed - 1)
            lengths.append(len(episode["actions"]))
        elif seed - args.first_seed > 10 + 2 * args.episodes:
            raise SystemExit(f"error: the expert of {args.task} failed in most episodes")
    data.attrs["total"] = sum(lengths)
    names = np.array([f"demo_{i}" for i in range(args.episodes)], dtype="S")
    file["mask/train"] = names[: args.episodes - args.valid]
    file["mask/valid"] = names[args.episodes - args.valid :]
    failed = seed - args.first_seed - args.episodes
    return (
        f"{args.task}: {args.episodes} demonstrations, {failed} left out, seeds {args.first_seed} "
        f"to {seed - 1}, {np.mean(lengths):.0f} steps ({min(lengths)} to {max(lengths)}), "
        f"{(time.perf_counter() - began) / (args.episodes + failed):.1f} s each"
    )


def _store(group: h5py.Group, episode: dict, seed: int) -> None:
    """Writes one episode; its seed brings its scene back."""
    group.attrs["num_samples"] = len(episode["actions"])
    group.attrs["seed"] = seed
    for name, value in episode.items():
        arrays = value if name == "obs" else {name: value}
        for key, array in arrays.items():
            packed = {"compression": "gzip"} if array.dtype == np.uint8 else {}
            group.create_dataset(f"obs/{key}" if name == "obs" else key, data=array, **packed)


def parse() -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", required=True, choices=sorted(ENV_POLICY_MAP), metavar="TASK-v3")
    parser.add_argument("--episodes", type=int, required=True, help="successful ones")
    parser.add_argument("--first_seed", type=int, default=0)
    parser.add_argument("--out", required=True, help="HDF5 file")
    parser.add_argument("--valid", type=int, default=0, help="of these, kept apart as mask/valid")
    parser.add_argument("--image_size", type=int, default=64, help="pixels")
    parser.add_argument("--cameras", type=lambda text: tuple(text.split(",")), default=CAMERAS)
    parser.add_argument("--noise", type=float, default=0.0, help="deviation, added to actions")
    args = parser.parse_args()
    if not 0 <= args.valid < args.episodes:
        parser.error(f"--valid is {args.valid}, expected 0 to {args.episodes - 1}")
    if not 0 <= args.first_seed <= FIRST_TEST_SEED - 2 * args.episodes - 20:
        parser.error(f"--first_seed is {args.first_seed}, expected all seeds in 0 to 999,999")
    return args


def main() -> None:
    args = parse()
    partial = f"{args.out}.part"
    with h5py.File(partial, "w") as file:
        line = record(args, file)
    os.replace(partial, args.out)
    print(line)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "Constant")  # experts ask for more than MetaWorld's limits
    main()
