"""What the numbers were measured on."""

import importlib.metadata
import os
import platform

import jax
from etils import epath

from glam_jax import files
from glam_jax.benchmark.native import usable_cores

PACKAGES = ("jax", "jaxlib", "flax", "optax", "mujoco", "mujoco-mjx", "numpy")
# What makes two machines the same as far as speed goes.
SAME = ("processor", "cores", "device", "devices", "huge_pages")
# Of Linux: "always", "madvise" or "never", the one that holds in brackets.
HUGE_PAGES = files.path("/sys/kernel/mm/transparent_hugepage/enabled")


def describe() -> dict:
    """Processor, number of cores that this process may use, devices, huge pages, and versions."""
    device = jax.devices()[0]
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "device": f"{device.device_kind} ({device.platform})",
        "devices": jax.device_count(),
        "huge_pages": huge_pages(os.environ.get("GLIBC_TUNABLES", ""), _read(HUGE_PAGES)),
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


def huge_pages(tunables: str, enabled: str) -> bool:
    """Whether Linux gives glibc's malloc pages of 2 MB instead of 4 KB.

    XLA's CPU backend asks for a program's memory anew in each call, and every page of it costs
    time. `tunables` are GLIBC_TUNABLES, `enabled` is what `HUGE_PAGES` holds.

    >>> huge_pages("glibc.malloc.hugetlb=1", "always [madvise] never")
    True
    """
    asked = "glibc.malloc.hugetlb=1" in tunables.split(":")
    return "[always]" in enabled or (asked and "[madvise]" in enabled)


def _read(path: epath.Path) -> str:
    """What a file of the system says, nothing where there is none."""
    try:
        return files.read_text(path)
    except OSError:
        return ""


def _processor() -> str:
    lines = _read(files.path("/proc/cpuinfo")).splitlines()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
