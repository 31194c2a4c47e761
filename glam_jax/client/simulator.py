"""Somebody's simulator, as gymnasium or old gym has it, in the words of a policy server."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

SUCCESS_KEYS = ("success", "is_success")


class SimulatorError(ValueError):
    """A simulator that does not fit the policy or the command; says what was found."""


def make(spec: str, arguments: dict[str, Any]) -> Any:
    """An environment from `module:function`, called with the arguments, or an id of gymnasium.

    Raises:
      SimulatorError: there is no such module, function or id.
    """
    module, _, name = spec.partition(":")
    if not name.isidentifier():  # An id may have a module as well, module:Name-v0.
        return _make_gymnasium(spec, arguments)
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        raise SimulatorError(f"--env={spec}: {error}") from None
    if not callable(found):
        raise SimulatorError(f"--env={spec}: {module} has no function {name}")
    return found(**arguments)


def _make_gymnasium(name: str, arguments: dict[str, Any]) -> Any:
    try:
        import gymnasium
    except ImportError:
        raise SimulatorError(
            f"--env={name} is an id of gymnasium: pip install gymnasium, or give module:function"
        ) from None
    try:
        return gymnasium.make(name, **arguments)
    except gymnasium.error.Error as error:
        raise SimulatorError(f"--env={name}: {' '.join(str(error).split())}") from None


class Simulator:
    """One environment with what a policy wants to see of it."""

    def __init__(self, env: Any, metadata: dict[str, Any], success: str | None = None):
        """
        Args:
          env: has `reset` and `step`; see `evaluate`.
          metadata: of the policy server.
          success: key of `info` that tells success, `a/b` in nested ones; else SUCCESS_KEYS.

        Raises:
          SimulatorError: the server does not name what it wants to see, or its actions do not fit.
        """
        self._env, self._keys = env, (success,) if success else SUCCESS_KEYS
        self._names, width = metadata.get("observation"), metadata.get("action_dim")
        if not isinstance(self._names, Mapping) or not self._names:
            raise SimulatorError("the server's metadata name no observation; is it glam_jax's?")
        shape = getattr(getattr(env, "action_space", None), "shape", None)
        if shape is not None and width is not None and tuple(shape) != (width,):
            raise SimulatorError(
                f"the environment takes actions {tuple(shape)}; the policy's have {width} numbers"
            )
        self._now: Any = None

    def reset(self, seed: int) -> None:
        """Begins the episode of a seed; raises SimulatorError if that cannot be chosen."""
        parameters = inspect.signature(self._env.reset).parameters
        any_name = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        if "seed" in parameters or any_name:
            found = self._env.reset(seed=seed)
        elif hasattr(self._env, "seed"):  # gym before 0.22
            self._env.seed(seed)
            found = self._env.reset()
        else:
            raise SimulatorError("the environment's reset has no argument seed; it must choose one")
        self._now = found[0] if isinstance(found, tuple) and len(found) == 2 else found

    def step(self, action: np.ndarray) -> tuple[str | None, bool | None]:
        """Carries out one action.

        Returns:
          Why the episode ended, "success", "terminated" or "truncated", None if it goes on; and
          whether it succeeded, None if `info` does not tell.
        """
        found = self._env.step(action)
        if len(found) == 5:
            self._now, _, terminated, truncated, info = found
        else:  # gym before 0.26
            self._now, _, terminated, info = found
            truncated = False
        told = flat(info)
        values = [bool(told[key]) for key in self._keys if key in told]
        success = any(values) if values else None
        ends = {"success": success, "terminated": terminated, "truncated": truncated}
        return next((why for why, true in ends.items() if true), None), success

    def observed(self) -> dict[str, Any]:
        """What the policy wants to see now; raises SimulatorError if something is missing."""
        wanted = ", ".join(self._names)
        if not isinstance(self._now, Mapping):
            found = type(self._now).__name__
            raise SimulatorError(f"the environment observes {found}; expected a dict with {wanted}")
        found = flat(self._now)
        missing = ", ".join(name for name in self._names if name not in found)
        if missing:
            raise SimulatorError(
                f"the environment's observation lacks {missing}; it has {', '.join(found)}"
            )
        chosen = {name: found[name] for name in self._names}
        return {k: v if isinstance(v, str) else np.asarray(v) for k, v in chosen.items()}

    def picture(self, camera: str | None = None) -> np.ndarray:
        """The image (H, W, 3) uint8 that `render` gives, or one of the observation.

        Raises:
          SimulatorError: there is no such image; says what there is.
        """
        if camera is None:
            image = np.asarray(self._env.render() if hasattr(self._env, "render") else None)
        else:
            image = np.asarray(flat(self._now).get(camera))
        if image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
            return image
        source = f"observation {camera!r}" if camera else "env.render()"
        raise SimulatorError(
            f"{source} gave {image.dtype} {image.shape}; expected uint8 (H, W, 3): make the "
            "environment with render_mode rgb_array, or name an image of the observation by "
            f"--camera: {', '.join(flat(self._now))}"
        )


def flat(found: Any, prefix: str = "") -> dict[str, Any]:
    """Path `a/b` -> value of nested dicts; nothing of what is no dict."""
    values: dict[str, Any] = {}
    for name, value in found.items() if isinstance(found, Mapping) else ():
        path = f"{prefix}{name}"
        values.update(flat(value, f"{path}/") if isinstance(value, Mapping) else {path: value})
    return values
