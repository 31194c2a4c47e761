"""One of perhaps many jobs at work on a study's folder.

    FOLDER/cells/NAME/         a run folder for each cell, as `train` makes it
    FOLDER/locks/NAME.lock     locked by the job that is at work on the cell

A cell is done when its run folder holds the results that the study measures. A job goes through
its cells again and again: it skips what is done, leaves what another job is doing, and puts off
what waits for a world model, until nothing is left that it could do or wait for. A killed job's
locks are free at once, and its cell continues where it was. A cell that fails leaves `error.txt`
in its folder, the job goes on with the others, and the next start tries it again.

Locks are those of one machine, see `files.lock`; jobs on several machines take shares of the cells.
"""

import dataclasses
import time
import traceback
from collections.abc import Callable, Sequence

import filelock
import jax
from etils import epath
from ml_collections import ConfigDict
from tqdm import tqdm

from glam_jax import files
from glam_jax.audit import audit
from glam_jax.demonstrations import gather, simulated
from glam_jax.experiment import experiment, replay
from glam_jax.experiment.workdir import AUDITS, RESULTS, Workdir
from glam_jax.experiment.workdir import REPLAY as REPLAY_FILE
from glam_jax.runtime.preemption import Preempted
from glam_jax.study.grid import AUDIT, POLICY, REPLAY, Cell, with_lenders

# The file by which a measurement is there.
MADE = {POLICY: RESULTS, REPLAY: REPLAY_FILE, AUDIT: AUDITS}
ERROR = "error.txt"

CarryOut = Callable[[Cell, epath.Path], None]


@dataclasses.dataclass
class Tally:
    """What became of a job's cells, by name.

    Attributes:
      done: finished, now or before. failed: name -> one line that says why.
      elsewhere: being done by another job when this one had nothing left to do.
    """

    done: list[str] = dataclasses.field(default_factory=list)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    elsewhere: list[str] = dataclasses.field(default_factory=list)


def cell_folder(folder: epath.Path, name: str) -> epath.Path:
    """The run folder of a cell of the study in `folder`."""
    return folder / "cells" / name


def is_done(folder: epath.Path, cell: Cell) -> bool:
    """Whether a cell's run folder holds all that the study measures."""
    made = cell_folder(folder, cell.name)
    return all((made / MADE[kind]).exists() for kind in cell.measure)


def work(
    wanted: Sequence[Cell],
    cells: Sequence[Cell],
    folder: epath.PathLike,
    carry_out: CarryOut,
    *,
    poll: float = 30.0,
    progress: bool = True,
) -> Tally:
    """Does the wanted cells, and those that lend them a world model, as far as no other job does.

    Args:
      wanted: this job's share. cells: the whole study, in order.
      folder: of the study.
      carry_out: (cell, run folder) -> None; does a cell, or what is left of it.
      poll: seconds between two looks at a world model that another job is making.
      progress: show a bar over the cells.

    Raises:
      Preempted: the job was asked to stop; what it did is saved.
    """
    folder, tally = files.path(folder), Tally()
    by_name = {cell.name: cell for cell in cells}
    pending = with_lenders(wanted, cells)
    with tqdm(total=len(pending), desc="study", unit="cell", disable=not progress) as bar:
        while pending:
            left = []
            for cell in pending:
                bar.set_postfix_str(cell.name)
                lender = by_name.get(cell.lender)
                if _settle(cell, lender, folder, carry_out, tally):
                    bar.update()
                else:
                    left.append(cell)
            stuck, pending = len(left) == len(pending), left
            lenders = [by_name[cell.lender] for cell in pending if cell.lender]
            if stuck and all(is_done(folder, lender) for lender in lenders):
                break
            if stuck:
                bar.set_postfix_str("waiting for a world model that another job makes")
                time.sleep(poll)
    tally.elsewhere = [cell.name for cell in pending]
    return tally


def _settle(
    cell: Cell, lender: Cell | None, folder: epath.Path, carry_out: CarryOut, tally: Tally
) -> bool:
    """Does a cell if it can be done now; whether nothing is left to do about it."""
    if is_done(folder, cell):
        tally.done.append(cell.name)
        return True
    if cell.lender in tally.failed:
        tally.failed[cell.name] = f"needs the world model of {cell.lender}, which failed"
        return True
    if lender and not is_done(folder, lender):
        return False
    try:
        held = _lock(folder, cell.name).acquire(timeout=0)
    except filelock.Timeout:
        return False
    with held:  # another job may just have finished it
        error = None if is_done(folder, cell) else _attempt(cell, folder, carry_out)
    if error is None:
        tally.done.append(cell.name)
    else:
        tally.failed[cell.name] = error
        tqdm.write(f"{cell.name} failed: {error}")
    return True


def _lock(folder: epath.Path, name: str) -> filelock.BaseFileLock:
    """The lock of a cell in its study's folder, or of a dataset in its data root."""
    return files.lock(folder / "locks" / f"{name}.lock")


def _attempt(cell: Cell, folder: epath.Path, carry_out: CarryOut) -> str | None:
    """Does a cell; None if it went well, else one line that says what did not."""
    path = cell_folder(folder, cell.name)
    try:
        carry_out(cell, path)
    except Preempted:
        raise
    except Exception as error:  # one cell's trouble must not cost the others their turn
        files.write_text(path / ERROR, traceback.format_exc())
        said = str(error).strip().splitlines() or [""]
        return f"{type(error).__name__}: {said[0]}"
    files.remove(path / ERROR)
    return None


# --- What a cell is ---------------------------------------------------------------------

# (data root, task, source, image size) -> (training, held-out) episodes.
Needs = dict[tuple[str, str, str, int], tuple[int, int]]


def unusable(cells: Sequence[Cell]) -> dict[str, str]:
    """Name -> reason of the cells whose config cannot be made, or asks for a source twice."""
    return {name: found for name, found in _plan(cells).items() if isinstance(found, str)}


def needs(cells: Sequence[Cell]) -> Needs:
    """The most episodes of each dataset that any of the cells reads."""
    most: Needs = {}
    for found in _plan(cells).values():
        for key, counts in ({} if isinstance(found, str) else found).items():
            most[key] = tuple(map(max, counts, most.get(key, (0, 0))))
    return most


def _plan(cells: Sequence[Cell]) -> dict[str, Needs | str]:
    """Name -> what a cell reads, or why its config is wrong."""
    found = {}
    for cell in cells:
        try:
            found[cell.name] = _needs_of(cell.config())
        except ValueError as error:
            found[cell.name] = str(error)
    return found


def make_carry_out(cells: Sequence[Cell]) -> CarryOut:
    """What `work` calls for each of a study's cells: data, stages, evaluation, replay, audits.

    Each dataset is recorded once, with as many episodes as the study's largest cell reads: growing
    it later would rewrite it under other jobs that read it.
    """
    most = needs(cells)

    def carry_out(cell: Cell, path: epath.Path) -> None:
        config = cell.config()
        for key in _needs_of(config):
            _record(key, most[key])
        if POLICY in cell.measure:
            experiment.run(config, path)
        else:
            experiment.run_stage1(config, path)
        if REPLAY in cell.measure and not (path / REPLAY_FILE).exists():
            replay.replay_sources(Workdir(path), film=False)
        if AUDIT in cell.measure and not (path / AUDITS).exists():
            _, *auxiliary = gather.sources(config)
            found = {one.name: audit.audited(Workdir(path), one.name) for one in auxiliary}
            files.write_json(path / AUDITS, found)
        jax.clear_caches()  # the next cell compiles its own; hundreds would fill the memory

    return carry_out


def _needs_of(config: ConfigDict) -> Needs:
    data = config.data
    return {
        (data.root, source.task, source.name, config.image_size): (
            source.episodes,
            data.heldout_episodes,
        )
        for source in gather.sources(config)
    }


def _record(key: tuple[str, str, str, int], counts: tuple[int, int]) -> None:
    """Makes sure of a dataset, alone: two jobs would write the same files."""
    root, task, source, image_size = key
    name = f"{task}_{source}_{image_size}px"
    lock = _lock(files.path(root), name)
    try:
        held = lock.acquire(timeout=0)
    except filelock.Timeout:
        tqdm.write(f"waiting for {name}, which another job records")
        held = lock.acquire()
    with held:
        simulated.collect(task, source, *counts, image_size, root)
