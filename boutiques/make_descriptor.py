"""Write the Boutiques descriptors from the command line itself.

python boutiques/make_descriptor.py

gives `uadbids.json` for the levels of the BIDS App, and one for each of the other commands.
"""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer
import yaml

from uadbids.cli.evaluate import evaluate
from uadbids.cli.group import group
from uadbids.cli.participant import participant
from uadbids.cli.scan import scan
from uadbids.cli.synthesize import synthesize
from uadbids.cli.train import train

COMMANDS = (scan, train, evaluate, synthesize)
LEVELS: dict[str, Callable[..., None]] = {"participant": participant, "group": group}
# Files that have to be there; other paths are made by the run, or are names as well.
FILES = {
    "bids_dir", "bids_filter_file", "config_file", "data_card", "hd_bet_weights", "healthy_maps",
    "inputs", "labels", "lesion_masks", "pairs", "use_plugin",
}  # fmt: skip
FOLDER = Path(__file__).parent
CITATION = FOLDER.parent / "CITATION.cff"


def parameters(command: Callable[..., None]) -> dict[str, tuple[type, Any, Any]]:
    """Return name -> type of one value, typer's declaration, default."""
    found = {}
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        if hints[name] is typer.Context:
            continue
        kind, declared = get_args(hints[name])[:2]
        if get_origin(kind) is types.UnionType:
            (kind,) = (part for part in get_args(kind) if part is not type(None))
        found[name] = (kind, declared, parameter.default)
    return found


def is_position(declared: Any) -> bool:
    """Whether a value stands without a flag."""
    return isinstance(declared, typer.models.ArgumentInfo)


def spelling(name: str, declared: Any, is_on: bool) -> str:
    """Return the flag as it is typed; the one that switches off what is on by default."""
    # typer takes the first spelling for a default, until it sees that it is none.
    words = [w for w in (declared.default, *(declared.param_decls or ())) if isinstance(w, str)]
    first = next((word for word in words if word.startswith("--")), "")
    if not first:
        return f"--{'no-' * is_on}{name.replace('_', '-')}"
    on, _, off = first.partition("/")
    return off if is_on and off else on


def one_input(name: str, kind: Any, declared: Any, default: Any) -> dict[str, Any]:
    """Describe one parameter."""
    content: dict[str, Any] = {
        "id": name,
        "name": name.replace("_", " "),
        "description": declared.help,
        "value-key": f"[{name.upper()}]",
        "optional": not is_position(declared),
    }
    if not is_position(declared):
        content["command-line-flag"] = spelling(name, declared, default is True)
    if get_origin(kind) is list:
        content |= {"list": True, "type": "File" if name in FILES else "String"}
    elif kind is bool:
        content["type"] = "Flag"
    elif kind in (int, float):
        content |= {"type": "Number", "integer": kind is int}
        content |= {"minimum": declared.min} if declared.min is not None else {}
        content |= {"maximum": declared.max} if declared.max is not None else {}
    else:
        content["type"] = "File" if name in FILES else "String"
    return content


def inputs_of(command: Callable[..., None]) -> list[dict[str, Any]]:
    """Describe all parameters of a command."""
    return [one_input(name, *rest) for name, rest in parameters(command).items()]


def app() -> dict[str, Any]:
    """Describe both levels of the BIDS App."""
    every = parameters(participant)
    inputs = inputs_of(participant)
    others = {level: sorted(every.keys() - parameters(LEVELS[level])) for level in LEVELS}
    inputs.insert(
        sum(is_position(declared) for _, declared, _ in every.values()),
        {
            "id": "analysis_level",
            "name": "analysis level",
            "description": "participant: examine scans; group: gather what was found",
            "type": "String",
            "optional": False,
            "value-key": "[ANALYSIS_LEVEL]",
            "value-choices": list(LEVELS),
            "value-disables": others,
        },
    )
    what = "Unsupervised anomaly detection in brain FLAIR, as a BIDS App."
    return descriptor("uadbids", ["uadbids"], what, inputs) | {
        "suggested-resources": {"cpu-cores": 1, "ram": 4, "walltime-estimate": 600}
    }


def other(command: Callable[..., None]) -> dict[str, Any]:
    """Describe a command that is no level of the BIDS App."""
    name = command.__name__
    what = inspect.getdoc(command) or ""
    return descriptor(
        f"uadbids {name}", ["uadbids", name], what.partition("\n\n")[0], inputs_of(command)
    )


def descriptor(
    name: str, program: list[str], what: str, inputs: list[dict[str, Any]]
) -> dict[str, Any]:
    """Describe a command line and what it leaves."""
    last = [one for one in inputs if not one["optional"] and one["id"] != "analysis_level"][-1]
    return {
        "name": name,
        "tool-version": yaml.safe_load(CITATION.read_text())["version"],
        "schema-version": "0.5",
        "description": f"{what} Research use only, not a medical device.",
        "author": "The uadbids contributors",
        "command-line": " ".join([*program, *(one["value-key"] for one in inputs)]),
        "container-image": {"type": "docker", "image": "uadbids:cpu", "entrypoint": True},
        "inputs": inputs,
        "output-files": [
            {
                "id": "outputs",
                "name": "outputs",
                "description": "Maps, masks, tables and pages, or the model or dataset made",
                "path-template": last["value-key"],
                "optional": False,
            }
        ],
        "error-codes": [
            {"code": 1, "description": "At least one scan failed; the others are done"},
            {"code": 2, "description": "The request cannot be met as given"},
        ],
        "tags": {"domain": ["neuroinformatics", "mri", "bids-app"]},
    }


def descriptors() -> dict[str, dict[str, Any]]:
    """Return each descriptor by the name of its file."""
    return {"uadbids.json": app()} | {
        f"uadbids-{command.__name__}.json": other(command) for command in COMMANDS
    }


if __name__ == "__main__":
    for name, content in descriptors().items():
        (FOLDER / name).write_text(json.dumps(content, indent=2) + "\n")
