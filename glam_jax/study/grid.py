"""Studies as grids: which runs a study is made of.

A study is a ConfigDict of plain values, from configs/studies/NAME.py; every cell of its grid is
one run, with a folder and a name of its own:

    tasks x methods x variants x seeds  ->  stack_two_glam_o_auxiliary300_seed0

A variant is a named change of the config. It may be for some methods only, and may take its world
model from another variant of the same task, method and seed instead of pretraining one.
"""

import collections
import dataclasses
import re
import sys
from collections.abc import Sequence

from ml_collections import ConfigDict

from glam_jax import config as configs
from glam_jax import values
from glam_jax.errors import UserError

POLICY, REPLAY, AUDIT = "policy", "replay", "audit"
WITHOUT_WORLD_MODEL = ("mip",)
# Half of the standard mix, as scale=quick has half of its widths and batches.
QUICK_MIX = {"target_episodes": 50, "auxiliary": {"umi": 200}}
_KEYS = ("name", "quick", "scale", "tasks", "methods", "seeds", "variants", "overrides", "measure")
_NAME = re.compile(r"[A-Za-z0-9_]+")


class StudyError(UserError, ValueError):
    """A study that makes no grid, or a share that is none."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run of a study.

    Attributes:
      task, method, scale, seed: see `config.make`.
      variant: which of the study's variants, "" if it has none.
      overrides: changes of the config, nested, applied in order.
      lender: name of the cell whose world model this one uses; "": its own.
      measure: what is done with it: POLICY trains and evaluates a policy, REPLAY decodes held-out
        episodes of each source, for which stage 1 is enough, AUDIT audits each auxiliary source.
    """

    task: str
    method: str
    scale: str
    seed: int
    variant: str = ""
    overrides: tuple[dict, ...] = ()
    lender: str = ""
    measure: tuple[str, ...] = (POLICY,)

    @property
    def name(self) -> str:
        """Name of the cell and of its folder."""
        return cell_name(self.task, self.method, self.variant, self.seed)

    def config(self) -> ConfigDict:
        """The resolved config of the run.

        Raises:
          ValueError: a method or scale that `config.make` does not know, an override of a key that
            the config does not have or of another type, or see `values.check`.
        """
        made = configs.make(self.task, f"method={self.method},scale={self.scale}")
        for overrides in self.overrides:
            try:
                made.update(overrides)
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError(f"override {overrides}: {_first_line(error)}") from error
        configs.leave_out_unused(made)  # whatever mix the study has
        made.seed = self.seed
        if self.lender:
            made.world_model_from = f"../{self.lender}"
        values.check(made)
        return made


def cell_name(task: str, method: str, variant: str, seed: int) -> str:
    """Name of a cell: what tells it from the others of its study."""
    return "_".join(filter(None, (task, method, variant, f"seed{seed}")))


def study(
    name: str,
    *,
    quick: bool,
    tasks: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    variants: dict[str, dict] | None = None,
    overrides: dict | None = None,
    measure: Sequence[str] = (POLICY,),
) -> ConfigDict:
    """The config of a study, locked; each value can be set on the command line.

    Args:
      name: of the study, and of the report that it gets.
      quick: whether this is the reduced form, at scale=quick; else scale=standard.
      tasks, methods, seeds: axes of the grid.
      variants: name -> {"overrides": nested changes of the config, "methods": those that have
        it (default all), "world_model_from": name of a variant (default none)}.
      overrides: changes of every cell's config.
      measure: see `Cell`.
    """
    made = ConfigDict()
    made.name = name
    made.quick = quick
    made.scale = "quick" if quick else "standard"
    made.tasks = tuple(tasks)
    made.methods = tuple(methods)
    made.seeds = tuple(seeds)
    made.variants = ConfigDict()
    for variant, settings in (variants or {}).items():
        made.variants[variant] = {
            "methods": tuple(settings.get("methods", ())),  # none: all
            "world_model_from": settings.get("world_model_from", ""),
            "overrides": settings.get("overrides", {}),
        }
    made.overrides = ConfigDict(overrides or {})
    made.measure = tuple(measure)
    return made.lock()


def is_quick(argument: str) -> bool:
    """Whether a study's config argument asks for the reduced form; ends the program if it is
    neither empty nor "quick", as the flag's parser would wrap an exception in its traceback."""
    if argument not in ("", "quick", None):
        sys.exit(f"error: study argument {argument!r}: expected quick or nothing")
    return argument == "quick"


def expand(study: ConfigDict) -> list[Cell]:
    """All cells of a study, seed by seed, those that lend a world model before their borrowers.

    Raises:
      StudyError: no study, an empty axis, a value twice on one, a variant for an unknown method or
        with an unknown lender, or an unknown measure. ConfigError: a seed that is none.
    """
    if missing := [key for key in _KEYS if key not in study]:
        raise StudyError(f"--config is no study: it has no {missing[0]}; see configs/studies/")
    variants = study.variants.to_dict() or {"": {"methods": (), "overrides": {}}}
    _check(study, variants)
    ordered = sorted(variants, key=lambda name: bool(variants[name].get("world_model_from")))
    cells = []
    for seed in study.seeds:
        for task in study.tasks:
            for variant in ordered:
                settings = variants[variant]
                for method in settings["methods"] or study.methods:
                    if method in study.methods:
                        cells.append(_cell(study, task, method, variant, settings, seed))
    return cells


def share(cells: Sequence[Cell], text: str) -> list[Cell]:
    """The cells of a share such as "2/8", the second of eight; all for "".

    Every cell is in exactly one share, that of the cell which lends it a world model: jobs on
    different machines neither make one twice nor wait for each other.

    Raises:
      StudyError: text that is no share.
    """
    if not text:
        return list(cells)
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise StudyError(f"shard is {text!r}; expected K/N with K from 1 to N, such as 2/8")
    together = collections.defaultdict(list)
    for cell in cells:
        together[cell.lender or cell.name].append(cell)
    shares = [[] for _ in range(int(found[2]))]
    for group in sorted(together.values(), key=len, reverse=True):
        min(shares, key=len).extend(group)
    return sorted(shares[int(found[1]) - 1], key=cells.index)


def with_lenders(wanted: Sequence[Cell], cells: Sequence[Cell]) -> list[Cell]:
    """The wanted cells and those whose world models they use, in the order of `cells`."""
    names = {cell.name for cell in wanted} | {cell.lender for cell in wanted}
    return [cell for cell in cells if cell.name in names]


def _cell(
    study: ConfigDict, task: str, method: str, variant: str, settings: dict, seed: int
) -> Cell:
    lender = settings.get("world_model_from")
    borrows = lender and method not in WITHOUT_WORLD_MODEL
    return Cell(
        task=task,
        method=method,
        scale=study.scale,
        seed=seed,
        variant=variant,
        overrides=(study.overrides.to_dict(), settings["overrides"]),
        lender=cell_name(task, method, lender, seed) if borrows else "",
        measure=tuple(study.measure),
    )


def _check(study: ConfigDict, variants: dict[str, dict]) -> None:
    """Raises StudyError for a study that makes no grid."""

    def fail(message):
        raise StudyError(f"study {study.name}: {message}")

    for axis in ("tasks", "methods", "seeds", "measure"):
        along = study[axis]
        if not along:
            fail(f"{axis} is empty")
        if len(set(along)) < len(along):
            fail(f"{axis} {along} has a value twice")
    for seed in study.seeds:
        values.check_one("seed", seed)
    if unknown := set(study.measure) - {POLICY, REPLAY, AUDIT}:
        fail(f"measure has {sorted(unknown)}; expected {POLICY}, {REPLAY} or {AUDIT}")
    if unknown := [n for n in (*study.tasks, *study.methods) if not _NAME.fullmatch(n)]:
        fail(f"{unknown[0]!r} is no name of a task or method")
    for name, settings in variants.items():
        lender = settings.get("world_model_from")
        if not lender:
            continue
        if lender not in variants:
            fail(f"variant {name} takes its world model from {lender!r}; known: {list(variants)}")
        if variants[lender].get("world_model_from"):
            fail(f"variant {name} takes its world model from {lender}, which borrows itself")
        having = set(settings["methods"] or study.methods) & set(study.methods)
        lending = set(variants[lender]["methods"] or study.methods)
        if lacking := sorted(having - lending - set(WITHOUT_WORLD_MODEL)):
            fail(f"variant {name} has {lacking}, which its lender {lender} does not have")


def _first_line(error: Exception) -> str:
    return str(error.args[0] if error.args else error).splitlines()[0][:160]
