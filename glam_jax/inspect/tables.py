"""The tables of an inspection, as rows of text."""

import numpy as np

from glam_jax.inspect.survey import Survey, image_differences

HEADER = (
    "source", "episodes", "held out", "failed", "steps", "shortest", "longest", "Hz",
    "minutes", "action off by", "errors", "warnings",
)  # fmt: skip


def overview(surveys: list[Survey]) -> list[tuple[str, ...]]:
    """One row for each dataset, under a header."""
    rows = [HEADER]
    for one in surveys:
        lengths = [n for split in one.lengths.values() for n in split] or [0]
        rate = one.rate_hz
        rows.append(
            (
                one.name,
                str(len(one.lengths["train"])),
                str(len(one.lengths["heldout"])),
                str(one.failures),
                str(sum(lengths)),
                str(min(lengths)),
                str(max(lengths)),
                f"{rate:g}" if rate else "?",
                f"{sum(lengths) / rate / 60:.1f}" if rate else "?",
                f"{one.misses[0]:.3g}" if one.misses else "-",
                str(len(one.errors)),
                str(len(one.warnings)),
            )
        )
    return rows


def ranges(one: Survey) -> list[tuple[str, ...]]:
    """One row for each number of a step, under a header."""
    rows = [("number", "min", "max", "mean", "s.d.", "NaN", "")]
    for name, column in one.dimensions:
        measured = (column.min(), column.max(), column.mean(), column.std())
        numbers = tuple(f"{value:.4g}" for value in measured)
        constant = "constant" if np.ptp(column) < 1e-6 else ""
        rows.append((name, *numbers, str(int(np.isnan(column).sum())), constant))
    return rows


def cameras(surveys: list[Survey]) -> list[tuple[str, ...]]:
    """What the sources' cameras are said to be, and how far their mean images are apart."""
    rows = [("source", "cameras", "mean image against the first source's, of 255")]
    for one in surveys:
        apart = image_differences(surveys[0], one)
        shown = ", ".join(f"{view} {value:.0f}" for view, value in apart.items())
        rows.append((one.name, ", ".join(sorted(one.cameras)), shown))
    return rows


def text(rows: list[tuple[str, ...]]) -> str:
    """Rows in columns for the terminal."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
