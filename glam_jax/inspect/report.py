"""All datasets together: tables for the terminal, and the page."""

from etils import epath

from glam_jax import files
from glam_jax.errors import DataError
from glam_jax.inspect import page, survey

_PRINTED = 20


def find(paths: list[epath.Path]) -> list[epath.Path]:
    """Folders of the datasets in the given folders.

    Raises:
      DataError: one of them has none.
    """
    found = []
    for path in paths:
        patterns = ("features.json", "*/features.json", "*/*/features.json")
        own, *below = [[f.parent for f in files.find(path, pattern)] for pattern in patterns]
        if not (here := own or sum(below, [])):
            raise DataError(f"{path}: no dataset there, expected features.json in it or below")
        found += here
    return found


def inspect(paths: list[epath.Path], out: str = "") -> tuple[list[str], list[str]]:
    """Prints the tables of all datasets and writes the page; returns (errors, warnings).

    Raises:
      DataError: a folder without a dataset.
    """
    surveys = [survey.survey(folder) for folder in find(paths)]
    errors, warnings = survey.compare(surveys)
    errors = [text for one in surveys for text in one.errors] + errors
    warnings = [text for one in surveys for text in one.warnings] + warnings
    print(page.text(page.overview(surveys)))
    for one in surveys:
        if one.vectors:
            print(f"\n{one.name}: {one.folder}\n{page.text(page.ranges(one))}")
    print("\n" + page.text(page.cameras(surveys)))
    for name, texts in (("warning", warnings), ("error", errors)):
        for text in texts[:_PRINTED]:
            print(f"{name}: {text}")
        if len(texts) > _PRINTED:
            print(f"... and {len(texts) - _PRINTED} more of kind {name}, on the page")
    written = page.write(out or paths[0] / "inspection.html", surveys, errors, warnings)
    print(f"{len(errors)} errors, {len(warnings)} warnings. Page: {written}")
    return errors, warnings
