"""Write the Boutiques descriptor from the command line itself.

python boutiques/make_descriptor.py > boutiques/uadbids.json
"""

from __future__ import annotations

import inspect
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer
import yaml

from uadbids.cli.group import group
from uadbids.cli.participant import participant

LEVELS: dict[str, Callable[..., None]] = {"participant": participant, "group": group}
# Files that have to be there; other paths are made by the run, or are names as well.
FILES = {"bids_dir", "bids_filter_file", "hd_bet_weights", "use_plugin", "config_file"}
CITATION = Path(__file__).parents[1] / "CITATION.cff"
POSITIONS = ("bids_dir", "output_dir")


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


def one_input(name: str, kind: Any, declared: Any) -> dict[str, Any]:
    """Describe one parameter."""
    content: dict[str, Any] = {
        "id": name,
        "name": name.replace("_", " "),
        "description": declared.help,
        "value-key": f"[{name.upper()}]",
        "optional": name not in POSITIONS,
    }
    if name not in POSITIONS:
        # typer takes the first spelling for a default, until it sees that it is none.
        words = [
            word
            for word in (declared.default, *(declared.param_decls or ()))
            if isinstance(word, str)
        ]
        long = [word for word in words if word.startswith("--")]
        content["command-line-flag"] = long[0] if long else f"--{name.replace('_', '-')}"
    if get_origin(kind) is list:
        content |= {"list": True, "type": "String"}
    elif kind is bool:
        content["type"] = "Flag"
    elif kind in (int, float):
        content |= {"type": "Number", "integer": kind is int}
        content |= {"minimum": declared.min} if declared.min is not None else {}
        content |= {"maximum": declared.max} if declared.max is not None else {}
    else:
        content["type"] = "File" if name in FILES else "String"
    return content


def descriptor() -> dict[str, Any]:
    """Describe both levels of the BIDS App."""
    every = parameters(participant)
    inputs = [one_input(name, kind, declared) for name, (kind, declared, _) in every.items()]
    strangers = {level: sorted(every.keys() - parameters(LEVELS[level])) for level in LEVELS}
    inputs.insert(
        len(POSITIONS),
        {
            "id": "analysis_level",
            "name": "analysis level",
            "description": "participant: examine scans; group: gather what was found",
            "type": "String",
            "optional": False,
            "value-key": "[ANALYSIS_LEVEL]",
            "value-choices": list(LEVELS),
            "value-disables": strangers,
        },
    )
    return {
        "name": "uadbids",
        "tool-version": yaml.safe_load(CITATION.read_text())["version"],
        "schema-version": "0.5",
        "description": "Unsupervised anomaly detection in brain FLAIR, as a BIDS App. Research use "
        "only, not a medical device.",
        "author": "The uadbids contributors",
        "command-line": " ".join(["uadbids", *(one["value-key"] for one in inputs)]),
        "container-image": {"type": "docker", "image": "uadbids:cpu", "entrypoint": True},
        "inputs": inputs,
        "output-files": [
            {
                "id": "derivatives",
                "name": "derivatives",
                "description": "BIDS derivatives with maps, masks, tables and pages",
                "path-template": "[OUTPUT_DIR]",
                "optional": False,
            }
        ],
        "suggested-resources": {"cpu-cores": 1, "ram": 4, "walltime-estimate": 600},
        "error-codes": [
            {"code": 1, "description": "At least one scan failed; the others are done"},
            {"code": 2, "description": "The request cannot be met as given"},
        ],
        "tags": {"domain": ["neuroinformatics", "mri", "bids-app"]},
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(descriptor(), indent=2) + "\n")
