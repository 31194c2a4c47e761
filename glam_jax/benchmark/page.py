"""Results of a benchmark as a Markdown page."""

from glam_jax.display.markdown import Table

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
COLUMNS = (
    "measured", "per second", "seconds (quartiles)", "repeats", "ratio (quartiles)",
    "FLOP", "of matrix product", "bytes", "of copy",
)  # fmt: skip
PAIRS = (
    "measured", "against", "ours per second", "theirs per second", "times as fast (quartiles)",
    "at least", "",
)  # fmt: skip
_NOTE = (
    "Seconds are those of one call, the median of all repeats. The ratio is the time of one unit "
    "over that of a fixed computation beside it: lower is better. FLOP and bytes are what a call "
    "must do at the least; the shares are how much of the machine's own measured ceilings that is."
)


def markdown(results: dict) -> str:
    """The page: the machine, its ceilings, and a table of all measurements."""
    here, ceilings, about = results["machine"], results["ceilings"], results["about"]
    flops = ", ".join(
        f"{si(value)}FLOP/s in {dtype}" for dtype, value in ceilings["flops_per_s"].items()
    )
    machine = [
        f"{here['processor']}, {here['cores']} cores; {here['devices']} x {here['device']}",
        "Python " + here["python"],
        *(f"{name} {version}" for name, version in here["packages"].items()),
    ]
    pairs = [row for row in results["measurements"] if _is_pair(row)]
    alone = [row for row in results["measurements"] if not _is_pair(row)]
    parts = [
        "# Benchmark",
        "; ".join(machine) + ".",
        "; ".join(f"{key}: {value}" for key, value in about.items()) + ".",
        f"Ceilings: matrix product {flops}; copy {si(ceilings['bytes_per_s'])}B/s. "
        f"Fixed computation, {results['reference']}.",
        _NOTE,
    ]
    if alone:
        parts.append(Table("Measured", COLUMNS, [_line(row) for row in alone]).markdown())
    if pairs:
        parts.append(Table("Side by side", PAIRS, [_pair(row) for row in pairs]).markdown())
    return "\n\n".join(parts) + "\n"


def si(value: float) -> str:
    """A number with three digits and a prefix.

    >>> si(1234567.0)
    '1.23 M'
    """
    for size, prefix in _PREFIXES:
        if value >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g} "


def _line(row: dict) -> tuple[str, ...]:
    if "error" in row:
        return (row["name"], row["error"], *["-"] * (len(COLUMNS) - 2))
    measured = (
        row["name"],
        f"{si(row['per_second'])}{row['unit']}s",
        _spread(row["seconds"]),
        str(len(row["seconds"]["repeats"])),
        _spread(row["ratio"]),
    )
    if "flops" not in row:
        return (*measured, *["not counted"] * 4)
    bound = "≥ " if row["flops_at_least"] else ""
    return (
        *measured,
        bound + si(row["flops"]).strip(),
        f"{bound}{row['flops_share']:.2%}",
        si(row["bytes"]).strip(),
        f"{row['bytes_share']:.2%}",
    )


def _is_pair(row: dict) -> bool:
    return row["name"].startswith("side_by_side/")


def _pair(row: dict) -> tuple[str, ...]:
    *measured, against = row["name"].split("/")[1:]
    if "error" in row:
        return ("/".join(measured), against, row["error"], *["-"] * (len(PAIRS) - 3))
    beside = row["beside"]
    theirs, bar = row["items"] / row["reference_seconds"], beside["bar"]
    return (
        "/".join(measured),
        against,
        f"{si(row['per_second'])}{row['unit']}s",
        si(theirs).strip(),
        _spread(beside["times"]),
        f"{bar:.3g}" if bar else "-",
        ("reached" if beside["reached"] else "missed") if bar else "",
    )


def _spread(values: dict) -> str:
    low, high = values["quartiles"]
    return f"{values['median']:.3g} ({low:.3g} to {high:.3g})"
