"""What the numbers were measured on."""

import importlib.metadata
import platform

import jax

from glam_jax import files
from glam_jax.benchmark.engines import usable_cores

PACKAGES = ("jax", "jaxlib", "flax", "optax", "mujoco", "mujoco-mjx", "numpy")
# What makes two machines the same as far as speed goes.
SAME = ("processor", "cores", "device", "devices")


def describe() -> dict:
    """Processor, number of cores that this process may use, devices, and versions."""
    device = jax.devices()[0]
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "device": f"{device.device_kind} ({device.platform})",
        "devices": jax.device_count(),
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def differences(one: dict, other: dict) -> list[str]:
    """In what two machines differ that matters for speed, in words; what one does not say, not."""
    return [
        f"{key}: {one[key]} there, {other[key]} here"
        for key in SAME
        if key in one and key in other and one[key] != other[key]
    ]


def _processor() -> str:
    info = files.path("/proc/cpuinfo")  # of Linux alone
    lines = files.read_text(info).splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
