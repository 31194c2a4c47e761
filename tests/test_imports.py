"""The house's import direction: one way, and each heavy library behind one door.

    schema <- { sim | normalize, episodes, pipeline | models | runtime | client }
           <- { stages | evaluation | serving } <- entry points

A module may import from its own group and from groups to its left. Groups between braces,
separated by |, never import each other.
"""

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "glam_jax"

# Group -> the groups that it may import from, besides itself.
BASE = {"schema"}
MIDDLE = {"sim", "data", "models", "runtime", "client"}
UPPER = {"stages", "evaluation", "serving"}
ALLOWED = {
    "schema": set(),
    **{group: BASE for group in MIDDLE},
    **{group: BASE | MIDDLE for group in UPPER},
    "entry": BASE | MIDDLE | UPPER,
}
DATA_MODULES = {
    *("normalize", "episodes", "pipeline"),  # and what they are made of
    *("store", "rows", "recording", "parts", "contact_sheet", "foreign"),
}

# What is measured against is in PyTorch: benchmarks/torch_*.
TORCH = ("layers", "optim", "policy", "training", "weights", "world_model")
# Library -> the modules, or folders of modules, that may import it.
DOORS = {
    "mujoco": {"sim"},
    "tensorflow_datasets": {"episodes", "foreign/rlds_reader"},
    "tensorflow": {"episodes", "foreign/rlds_reader"},
    "rlds": {"foreign/rlds_reader"},
    "pyarrow": {"foreign/parquet"},
    "av": {"foreign/video"},
    "orbax": {"runtime/checkpoint"},
    "pickle": {"runtime/pth"},  # which admits tensors only
    "gymnasium": {"sim/vector_env"},
    "websockets": {"client/policy_client", "serving/server"},
    "msgpack": {"client/wire"},
    "torch": {f"benchmarks/torch_{part}" for part in TORCH},
    "warp": {"sim"},
}


def modules() -> list[str]:
    """Modules of the package as paths without suffix, such as `sim/env`."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return [str(p.relative_to(PACKAGE).with_suffix("")) for p in paths]


def group(module: str) -> str:
    top = module.split("/")[0]
    if top == "schema":
        return "schema"
    if top in MIDDLE | UPPER:
        return top
    return "data" if top in DATA_MODULES else "entry"


def imported(source: str, module: str) -> set[str]:
    """Absolute dotted names that a source imports anywhere, functions included."""
    names = set()
    for node in ast.walk(ast.parse(source, module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level == 1 and group(module) == "client":
                continue  # it is installed under another name as well
            assert node.level == 0, f"{module}: relative import in line {node.lineno}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def violations(source: str, module: str) -> list[str]:
    """What the imports of one module do against the house rules, in words."""
    found = []
    for name in sorted(imported(source, module)):
        library, *rest = name.split(".")
        doors = DOORS.get(library)
        if doors and not any(module == door or module.startswith(f"{door}/") for door in doors):
            found.append(f"{module} imports {library}: only {sorted(doors)} may")
        if library == "glam_jax" and group(module) == "client":
            found.append(f"{module} imports {name}: the client is installed without glam_jax")
        if library == "glam_jax" and rest:
            other, own = group(rest[0]), group(module)
            if other != own and other not in ALLOWED[own]:
                found.append(f"{module} ({own}) imports {name} ({other})")
    return found


@pytest.mark.parametrize("module", modules())
def test_imports_go_one_way(module):
    assert violations((PACKAGE / f"{module}.py").read_text(), module) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("models/glam", "from glam_jax import pipeline"),
        ("sim/env", "import glam_jax.runtime.loop"),
        ("pipeline", "from glam_jax.models.glam import Glam"),
        ("runtime/loop", "def f():\n    from glam_jax.stages import pretrain"),
        ("evaluation/rollout", "from glam_jax import train"),
        ("schema", "from glam_jax import normalize"),
        ("evaluation/rollout", "import mujoco.mjx"),
        ("pipeline", "import tensorflow_datasets as tfds"),
        ("runtime/loop", "import orbax.checkpoint as ocp"),
        ("models/vision", "import pickle"),
        ("benchmarks/side_by_side", "import torch"),
        ("foreign/lerobot/reader", "import pyarrow.parquet as pq"),
        ("client/wire", "from glam_jax import schema"),
        ("serving/border", "from glam_jax import policy"),
        ("serving/border", "import websockets.sync.client"),
    ],
)
def test_a_wrong_import_is_found(module, source):
    assert violations(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("train", "from glam_jax.stages import pretrain\nfrom glam_jax import pipeline"),
        ("stages/clone", "from glam_jax.runtime import loop\nfrom glam_jax.models import mip"),
        ("sim/env", "import mujoco\nfrom glam_jax import schema"),
        ("sim/experts", "from glam_jax.sim import env"),
        ("pipeline", "from glam_jax import normalize"),
        ("client/actor", "from .policy_client import PolicyClient"),
        ("serving/session", "from glam_jax.client import wire"),
    ],
)
def test_a_right_import_is_not(module, source):
    assert violations(source, module) == []


def test_the_package_is_found():
    assert {"schema", "runtime/loop", "runtime/checkpoint"} <= set(modules())


def test_only_entry_points_import_configs():
    for module in modules():
        names = imported((PACKAGE / f"{module}.py").read_text(), module)
        if any(name.split(".")[0] == "configs" for name in names):
            assert group(module) == "entry", f"{module} imports configs"
