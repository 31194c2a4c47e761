"""The house's import direction: one way between all rooms, and each heavy library behind one door.

A room is a package of glam_jax, or a module in its root. A room may import from itself and from
floors below its own; rooms on one floor never import each other. The `__main__` of a package is a
command, and belongs to the top floor.
"""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "glam_jax"

# From the ground up.
FLOORS = (
    {"errors"},
    {"schema", "buckets"},
    {"files"},
    {"config", "kinds"},
    {"values"},
    {"client", "display", "models", "runtime", "sim", "data"},
    {"own_data", "stages", "evaluation"},
    {"demonstrations"},
    {"experiment"},
    {"inspect", "audit", "serve", "benchmark"},
    {"study", "funnel"},
    {"commands"},
)
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
# In the root of the package, whoever is not a command.
FOUNDATIONS = {"errors", "schema", "buckets", "files", "config", "kinds", "values"}

# What is measured against is in PyTorch: benchmark/torch_*.
TORCH = ("layers", "optim", "policy", "training", "weights", "world_model")
# Library -> the modules, or folders of modules, that may import it.
DOORS = {
    "mujoco": {"sim", "benchmark/engines", "own_data/forward_kinematics"},
    "tensorflow_datasets": {"data/dataset", "own_data/rlds_reader"},
    "tensorflow": {"data/dataset", "own_data/rlds_reader"},
    "rlds": {"own_data/rlds_reader"},
    "pyarrow": {"own_data/parquet"},
    "h5py": {"own_data/hdf5_reader"},
    "zarr": {"own_data/zarr_reader"},
    "av": {"own_data/video"},
    "orbax": {"runtime/checkpoint"},
    "gymnasium": {"client/simulator", "sim/vector_env"},
    "websockets": {"client/policy_client", "serve/connection", "serve/server"},
    "msgpack": {"client/wire"},
    "fsspec": {"buckets"},
    "pickle": set(),  # it runs what a file says
    "safetensors": {"models/dinov2/tensor_file"},
    "torch": {"models/dinov2/tensor_file", *(f"benchmark/torch_{part}" for part in TORCH)},
    "warp": {"benchmark/engines"},
}


def modules() -> list[str]:
    """Modules of the package as paths without suffix, such as `sim/env`."""
    # pip leaves a copy of the client in its folder when it is installed alone.
    paths = sorted(p for p in PACKAGE.rglob("*.py") if "build" not in p.parts)
    return [str(p.relative_to(PACKAGE).with_suffix("")) for p in paths]


def room(module: str) -> str:
    """The room of a module such as `sim/env`."""
    top, *rest = module.split("/")
    if not rest and top not in FOUNDATIONS and not (PACKAGE / top).is_dir():
        return "commands"
    return "commands" if rest == ["__main__"] else top


def imported(source: str, module: str) -> set[str]:
    """Absolute dotted names that a source imports anywhere, functions included."""
    names = set()
    for node in ast.walk(ast.parse(source, module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level == 1 and room(module) == "client":
                continue  # it is installed under another name as well
            assert node.level == 0, f"{module}: relative import in line {node.lineno}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def violations(source: str, module: str) -> list[str]:
    """What the imports of one module do against the house rules, in words."""
    found, own = [], room(module)
    for name in sorted(imported(source, module)):
        library, *rest = name.split(".")
        doors = DOORS.get(library, {module})
        if not any(module == door or module.startswith(f"{door}/") for door in doors):
            found.append(f"{module} imports {library}: only {sorted(doors)} may")
        if library != "glam_jax" or not rest:
            continue
        if own == "client":
            found.append(f"{module} imports {name}: the client is installed without glam_jax")
        other = room("/".join(rest[:2]) if rest[1:] == ["__main__"] else rest[0])
        if other != own and FLOOR[other] >= FLOOR[own]:
            found.append(f"{module} ({own}) imports {name} ({other})")
    return found


@pytest.mark.parametrize("module", modules())
def test_imports_go_one_way(module):
    assert violations((PACKAGE / f"{module}.py").read_text(), module) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("models/glam", "from glam_jax.data import feeds"),
        ("sim/env", "import glam_jax.runtime.loop"),
        ("data/feeds", "from glam_jax.models.glam import Glam"),
        ("runtime/loop", "def f():\n    from glam_jax.stages import pretrain"),
        ("evaluation/rollout", "from glam_jax import train"),
        ("audit/audit", "from glam_jax.study import grid"),
        ("own_data/ingest", "from glam_jax.demonstrations import recorded"),
        ("experiment/workdir", "from glam_jax.study import grid"),
        ("audit/audit", "from glam_jax.audit import __main__"),
        ("schema", "from glam_jax import config"),
        ("errors", "from glam_jax import schema"),
        ("evaluation/rollout", "import mujoco.mjx"),
        ("data/feeds", "import tensorflow_datasets as tfds"),
        ("runtime/loop", "import orbax.checkpoint as ocp"),
        ("models/vision", "import pickle"),
        ("benchmark/side_by_side", "import torch"),
        ("own_data/lerobot/reader", "import pyarrow.parquet as pq"),
        ("client/wire", "from glam_jax import schema"),
        ("serve/border", "from glam_jax.study import grid"),
        ("serve/border", "import websockets.sync.client"),
    ],
)
def test_a_wrong_import_is_found(module, source):
    assert violations(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("train", "from glam_jax.stages import pretrain\nfrom glam_jax.data import feeds"),
        ("stages/clone", "from glam_jax.runtime import loop\nfrom glam_jax.models import mip"),
        ("sim/env", "import mujoco\nfrom glam_jax import schema"),
        ("sim/experts", "from glam_jax.sim import env"),
        ("own_data/__main__", "from glam_jax.demonstrations import recorded"),
        ("client/actor", "from .policy_client import PolicyClient"),
        ("serve/session", "from glam_jax.client import wire"),
    ],
)
def test_a_right_import_is_not(module, source):
    assert violations(source, module) == []


def test_every_room_has_a_floor():
    assert {"schema", "runtime/loop", "runtime/checkpoint"} <= set(modules())
    assert {room(module) for module in modules() if module != "__init__"} == set(FLOOR)


def test_only_commands_import_configs():
    for module in modules():
        names = imported((PACKAGE / f"{module}.py").read_text(), module)
        if any(name.split(".")[0] == "configs" for name in names):
            assert room(module) == "commands", f"{module} imports configs"
