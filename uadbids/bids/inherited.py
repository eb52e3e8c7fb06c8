"""What the sidecars of a raw dataset say of a scan, by the inheritance principle of BIDS."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from uadbids.bids.foreign import load_json
from uadbids.bids.scan import Scan, parse_entities


def merged(
    scan: Scan, root: Path, sidecars: Mapping[Path, Sequence[Path]], note: Callable[[str], None]
) -> dict[str, Any]:
    """Merge the sidecars which apply to a scan, from the root down to its own folder.

    ``sidecars`` are those of each folder; ValueError for one that cannot be read.
    """
    metadata: dict[str, Any] = {}
    inside = [folder for folder in scan.path.parents if folder.is_relative_to(root)]
    for folder in reversed(inside):
        applicable = [
            (len(entities), path)
            for path in sidecars.get(folder, ())
            if (entities := _entities(path)).items() <= scan.entities.items()
        ]
        for _, path in sorted(applicable):
            metadata.update(_read(path, root, note))
    # A text that says so must not be lost: it decides on the brain mask.
    said = str(metadata.get("SkullStripped")).strip().casefold()
    if said in ("true", "false"):
        metadata["SkullStripped"] = said == "true"
    return metadata


def _entities(path: Path) -> dict[str, str]:
    stem = path.name.removesuffix("FLAIR.json").rstrip("_")
    return parse_entities(stem) if stem else {}


def _read(path: Path, root: Path, note: Callable[[str], None]) -> dict[str, Any]:
    try:
        content, wrong = load_json(path)
    except FileNotFoundError as error:
        raise ValueError(
            f"its sidecar {path.name} is a link to content that is not here: fetch it"
        ) from error
    except (OSError, ValueError) as error:
        raise ValueError(f"its sidecar {path.name} cannot be read as JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"its sidecar {path.name} holds no JSON object")
    if wrong:
        note(f"the sidecar {path.relative_to(root)} was read although {wrong}")
    return content
