"""Pages of the site that follow from the code: a hook of mkdocs, named in mkdocs.yml.

`commands` lists every `python -m glam_jax.NAME` with its flags, `configuration` every key of a
run's config, with its comment and its description in the source. Nothing of them is written by
hand, so that they cannot be out of date.
"""

import ast
import inspect
import io
import pathlib
import runpy
import textwrap
import tokenize
import warnings
from unittest import mock

from absl import app, flags

import glam_jax
from glam_jax import config, values
from glam_jax.serve import service

PACKAGE = pathlib.Path(glam_jax.__file__).parent


def on_files(files, config):
    """Adds the pages to those of the folder docs/."""
    from mkdocs.structure.files import File

    for name, page in (("commands.md", commands()), ("configuration.md", configuration())):
        files.append(File.generated(config, name, content=page))
    return files


# --- Commands ---------------------------------------------------------------------------


def entry_points() -> list[str]:
    """Names of the modules that `python -m glam_jax.NAME` runs."""
    modules = [p.stem for p in PACKAGE.glob("*.py") if '"__main__"' in p.read_text()]
    return sorted(modules + [p.parent.name for p in PACKAGE.glob("*/__main__.py")])


def described(name: str) -> tuple[str, list[flags.Flag]]:
    """Docstring and flags of an entry point, which is started but for its main."""
    before = set(flags.FLAGS)
    with mock.patch.object(app, "run"), warnings.catch_warnings():
        # Another entry point has imported it already; here it is executed once more.
        warnings.filterwarnings("ignore", message=".*found in sys.modules", category=RuntimeWarning)
        names = runpy.run_module(f"glam_jax.{name}", run_name="__main__")
    # A flag may have two names. Each is gone again before the next module defines its own.
    new = set(flags.FLAGS) - before
    own = {id(flags.FLAGS[flag]): flags.FLAGS[flag] for flag in new if not flag.startswith("tfds_")}
    for flag in new:
        delattr(flags.FLAGS, flag)
    return names["__doc__"], sorted(own.values(), key=lambda flag: flag.name)


def commands() -> str:
    """The page of all commands."""
    page = [
        "# Commands\n\n`python -m glam_jax.NAME --help` says the same. Where a command takes "
        "`--config`, every key of the [configuration](configuration.md) is a flag too, "
        "as in `--config.seed=1`.\n"
    ]
    for name in entry_points():
        text, own = described(name)
        first, _, rest = text.partition("\n\n")
        page.append(f"\n## {name}\n\n{first}\n\n{rest}")
        # Flags that ml_collections adds for each key of a config that is known beforehand are
        # on the other page.
        own = [flag for flag in own if "." not in flag.name and flag.name != "config_file"]
        if own:
            page.append("| flag | default | what it says |\n|---|---|---|")
            page += [f"| `--{f.name}` | {_value(f.default)} | {_cell(f.help)} |" for f in own]
    return "\n".join(page) + "\n"


# --- Configuration ----------------------------------------------------------------------


def comments(module, functions: dict[str, str]) -> dict[str, str]:
    """Key -> its comment, of assignments `name.key = value  # comment` in functions.

    Args:
      module: whose source is read.
      functions: name of a function -> prefix of the keys that it sets.
    """
    source = inspect.getsource(module)
    notes = {
        token.start[0]: (token.string.lstrip("# "), token.line.lstrip().startswith("#"))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    found = {}
    for function in ast.parse(source).body:
        prefix = functions.get(getattr(function, "name", None))
        for node in ast.walk(function) if prefix is not None else ():
            if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Attribute):
                continue
            key = ast.unparse(node.targets[0]).partition(".")[2]
            line, text = node.lineno, []
            if line in notes and not notes[line][1]:
                text = [notes[line][0]]
            else:  # It stands above.
                while (line := line - 1) in notes and notes[line][1]:
                    text.insert(0, notes[line][0])
            if text:
                found[prefix + key] = " ".join(text)
    return found


def configuration() -> str:
    """The page of all keys: defaults, where scales and methods differ, what each may be and is."""
    sections = ("data", "world_model", "pretrain", "policy", "clone", "evaluate", "replay", "audit")
    known = comments(config, {f"_{name}": f"{name}." for name in sections} | {"assemble": ""})
    known |= comments(config, {"_weights": "pretrain.weights."})
    standard = config.flat(config.make("lifting"))
    others = {
        name: config.flat(config.make("lifting", argument))
        for name, argument in (
            *((scale, f"scale={scale}") for scale in ("quick", "paper")),
            *((method, f"method={method}") for method in config.METHODS if method != "glam_o"),
        )
    }
    keys = dict.fromkeys(key for other in (standard, *others.values()) for key in other)
    page = [
        "# Configuration\n\nEvery key of a run's config, for lifting; each is a flag, as in "
        "`--config.pretrain.steps=500`. The default is that of `glam_o` at the standard scale. "
        "Files of `configs/` choose the task; `:method=...,scale=...` after the file's name "
        "chooses the rest. `glam_jax/config.py` is where they are set.\n\nAll values are checked "
        "before anything is done. What a key decides says whether [a run can continue]"
        "(index.md#continuing-a-run) with another value."
    ]
    for section in ("", *sections):
        mine = [key for key in keys if _section(key, sections) == section]
        page.append(f"\n## {section or 'The run'}\n")
        page.append("| key | default | elsewhere | may be | decides | what it is |")
        page.append("|---|---|---|---|---|---|")
        for key in mine:
            here = standard.get(key)
            apart: dict[str, list[str]] = {}
            for name, other in others.items():
                if key in other and (key not in standard or other[key] != here):
                    apart.setdefault(_value(other[key]), []).append(name)
            elsewhere = "; ".join(f"{', '.join(names)}: {value}" for value, names in apart.items())
            default = _value(here) if key in standard else ""
            # Both stages have the same keys; they are explained once.
            note = known.get(key) or known.get(key.replace("clone", "pretrain"))
            known_as = values.of(key)
            cells = (default, elsewhere, known_as.allowed, known_as.decides, _cell(note or ""))
            page.append(f"| `{key}` | {' | '.join(map(str, cells))} |")
    page.append(
        "\n## Serving\n\nOf `python -m glam_jax.serve`, apart from the config of the run.\n\n"
        "| key | default | what it is |\n|---|---|---|"
    )
    notes = comments(service, {"settings": ""})
    for key, value in config.flat(service.settings()).items():
        page.append(f"| `{key}` | {_value(value)} | {_cell(notes.get(key, ''))} |")
    return "\n".join(page) + "\n"


def _section(key: str, sections: tuple[str, ...]) -> str:
    return key.partition(".")[0] if key.partition(".")[0] in sections else ""


def _value(value) -> str:
    return "" if value in (None, "") else f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(textwrap.dedent(text).split()).replace("|", "\\|")
