"""docs/scaling.md: its commands are those that the scripts of launch/ take."""

import re
import shlex

import pytest
from launching import ROOT, SCRIPTS, bash

PAGE = (ROOT / "docs" / "scaling.md").read_text()


def commands() -> list[list[str]]:
    """The words of each indented command of the page."""
    blocks = re.findall(r"(?:^    .*\n)+", PAGE, re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines]


def launched() -> list[tuple[str, list[str], list[str]]]:
    """(script, words before it, words after it) of the commands that use one."""
    found = []
    for words in commands():
        at = [i for i, word in enumerate(words) if word.removeprefix("launch/") in SCRIPTS]
        if at and words[0] in ("sbatch", words[at[0]]):
            i = at[0]
            found.append((words[i].removeprefix("launch/"), words[:i], words[i + 1 :]))
    return found


@pytest.mark.parametrize(("script", "before", "after"), launched())
def test_the_commands_of_the_page_are_taken(script, before, after):
    first = 1 if script == "tpu_pod.sh" else 0
    after = [*after[:first], "--dry-run", *after[first:]]
    array = [int(n) for word in before for n in re.findall(r"--array=(?:\d+-)?(\d+)", word)]
    if array and not any(word.startswith("--shards") for word in after):
        after.append(f"--shards={array[0]}")
    done = bash(script, *after)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_page_tells_of_every_script_and_image():
    told = {script for script, _, _ in launched()}
    assert told >= {"local_multiprocess.sh", "slurm_train.sbatch", "slurm_study_array.sbatch"}
    assert told >= {"tpu_pod.sh", "gke_jobset.sh"}
    files = {path.name for path in (ROOT / "launch").iterdir()}
    assert set(re.findall(r"launch/([A-Za-z_]+\.[a-z]+)", PAGE)) == files


def test_configs_of_the_page_exist():
    for path in set(re.findall(r"--config=(configs/[a-z_/]+\.py)", PAGE)):
        assert (ROOT / path).exists()
