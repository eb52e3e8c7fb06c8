"""The files at the root of an output dataset: all can be rewritten at any time."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from uadbids import __version__
from uadbids.bids.files import json_bytes, write_bytes
from uadbids.bids.foreign import read_json
from uadbids.bids.names import TEMPLATE_MASK, TEMPLATE_SPACE, TEMPLATE_T1W
from uadbids.bids.tables import description_tables, write_tables
from uadbids.errors import UsageError

BIDS_VERSION = "1.10.0"
NAME = "uadbids"
MODEL_CARD = "code/model/model_card.json"

_IGNORED = ("*.html", "figures", "log", "*_xfm.*", "*_dseg.txt", "*_findings.*", "group_*")
_README = """# {name}: anomalies on FLAIR

Made by {name} {version} from the dataset that `DatasetLinks` in `dataset_description.json` calls
`raw` (`{link}`). A model of healthy brains reconstructed every FLAIR; what it could not
reconstruct is the anomaly map, what lies above a threshold is the mask of findings.

**Not a medical device.** The maps are for research. They contain errors of both kinds, and nobody
may be diagnosed or treated on their account.

## The model
{model}

The whole card is `{card}`.

## Where to look
- `sub-*.html`: one page a participant, with pictures.
- `group_FLAIR.html`: all scans on one page, once `uadbids ... group` was run.
- `sub-*/[ses-*/]anat/*_space-orig_*`: maps and masks in the grid of the scan.
- `sub-*/[ses-*/]anat/*_space-{space}_*`: the same on the template grid (`tpl-{space}`).
- `sub-*/[ses-*/]*_scans.tsv`: volumes found.
- The JSON beside an image: threshold, where it came from, brain mask, seed, seconds, warnings.
"""


def check_output_dir(output_dir: Path) -> None:
    """Refuse a folder, which need not exist, that holds a BIDS dataset of another kind.

    UsageError if it is a file, or holds a dataset that uadbids did not make, whose files would be
    overwritten.
    """
    if output_dir.exists() and not output_dir.is_dir():
        raise UsageError(f"The output folder {output_dir} is a file; give a folder.")
    if not (output_dir / "dataset_description.json").exists():
        return
    description = read_json(output_dir / "dataset_description.json")
    makers = description.get("GeneratedBy", [])
    if not any(isinstance(maker, dict) and maker.get("Name") == NAME for maker in makers):
        raise UsageError(
            f"The output folder {output_dir} holds a BIDS dataset that {NAME} did not make; give "
            f"an empty folder or that of an earlier run, such as {output_dir}/derivatives/{NAME}."
        )


def container_from_environment(environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return which container the process runs in, for ``GeneratedBy``.

    ``UADBIDS_CONTAINER_TAG`` is set by our images, ``APPTAINER_CONTAINER`` or
    ``SINGULARITY_CONTAINER`` by the program that runs them; ``None`` outside a container.
    """
    image = environment.get("APPTAINER_CONTAINER") or environment.get("SINGULARITY_CONTAINER")
    tag = environment.get("UADBIDS_CONTAINER_TAG") or (Path(image).name if image else None)
    return {"Type": "apptainer" if image else "docker", "Tag": tag} if tag else None


def write_dataset(
    output_dir: Path,
    raw_dir: Path,
    *,
    card: Mapping[str, Any],
    template_t1w: Path,
    template_mask: Path,
    subjects: Iterable[str] | None = None,
) -> None:
    """Write everything in an output dataset that belongs to no single scan.

    Participants and volumes are read from the outputs which are there, so this can be called at any
    time, again, and by several runs into the same folder at once. The card is that of the model,
    template and mask are ``.nii.gz`` on the template grid, and ``subjects`` are the participants
    whose tables of scans are written, by default all.

    UsageError if the folder holds a dataset that uadbids did not make; OSError if a file cannot be
    read or written.
    """
    check_output_dir(output_dir)
    raw = read_json(raw_dir / "dataset_description.json")
    link = raw_link(raw_dir, output_dir)
    readme = _README.format(
        name=NAME, version=__version__, link=link, space=TEMPLATE_SPACE, card=MODEL_CARD,
        model=_model_text(card),
    )  # fmt: skip
    contents = {
        "dataset_description.json": json_bytes(_description(raw, link)),
        "README.md": readme.encode(),
        ".bidsignore": "".join(f"{line}\n" for line in _IGNORED).encode(),
        MODEL_CARD: json_bytes(card),
        **description_tables(),
        **_template_files(template_t1w, template_mask),
    }
    for name, content in contents.items():
        write_bytes(output_dir / name, content)
    write_tables(output_dir, raw_dir, subjects)


def raw_link(raw_dir: Path, output_dir: Path) -> str:
    """Return the value of ``DatasetLinks["raw"]``.

    It is relative, so it stays true when both folders move together. Where the two share no folder
    but the root, a relative path would spell out the absolute one; then the link names the place
    where BIDS wants raw data beside derivatives, and the reader may put them there.
    """
    raw, output = os.path.abspath(raw_dir), os.path.abspath(output_dir)
    relative = Path(os.path.relpath(raw, output)).as_posix()
    shared = os.path.commonpath([raw, output])
    if shared == os.path.sep and len(Path(raw).parts) > 2:
        relative = "sourcedata/raw"
    return quote(relative)


def _description(raw: Mapping[str, Any], link: str) -> dict[str, Any]:
    maker: dict[str, Any] = {"Name": NAME, "Version": __version__}
    source: dict[str, Any] = {"URL": link}
    if container := container_from_environment(os.environ):
        maker["Container"] = container
    if isinstance(raw.get("DatasetDOI"), str):
        source["DOI"] = raw["DatasetDOI"]
    return {
        "Name": f"{NAME}: anomalies on FLAIR",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "Authors": _authors(raw),
        # Derived images stay under the terms of the images they come from.
        **({"License": raw["License"]} if isinstance(raw.get("License"), str) else {}),
        "GeneratedBy": [maker],
        "SourceDatasets": [source],
        "DatasetLinks": {"raw": link},
    }


def _authors(raw: Mapping[str, Any]) -> list[str]:
    """Credit those who made the raw data before those who made the program."""
    authors = raw.get("Authors")
    if not isinstance(authors, list) or not authors:
        authors = [f"Authors of the raw dataset {raw.get('Name', '')}".strip()]
    return [*map(str, authors), f"{NAME} developers"]


def _model_text(card: Mapping[str, Any]) -> str:
    wanted = (key for key in ("name", "model", "license", "training", "sha256") if key in card)
    return "\n".join(_bullets(key, card[key]) for key in wanted) or "- not described"


def _bullets(key: str, value: Any, indent: str = "") -> str:
    if isinstance(value, Mapping):
        inner = (_bullets(str(name), item, indent + "  ") for name, item in value.items())
        return "\n".join([f"{indent}- {key}:", *inner])
    if isinstance(value, list | tuple):
        value = "; ".join(map(str, value))
    return f"{indent}- {key}: {value}"


def _template_files(t1w: Path, mask: Path) -> dict[str, bytes]:
    space = {"SpatialReference": f"bids::{TEMPLATE_T1W}"}
    texts: dict[PurePosixPath, dict[str, Any]] = {
        TEMPLATE_T1W: {
            "Description": "Template that scans are rigidly aligned to",
            "SkullStripped": True,
        },
        TEMPLATE_MASK: {
            "Description": "Brain of the template",
            "Type": "Brain",
            "Sources": [f"bids::{TEMPLATE_T1W}"],
        },
    }
    files = {str(TEMPLATE_T1W): t1w.read_bytes(), str(TEMPLATE_MASK): mask.read_bytes()}
    for path, text in texts.items():
        files[str(path).replace(".nii.gz", ".json")] = json_bytes({**text, **space})
    return files
