"""What a dataset of synthetic scans says of itself: descriptions and the list of its scans."""

from collections.abc import Mapping
from pathlib import Path

from uadbids import __version__
from uadbids.bids.dataset import BIDS_VERSION, NAME
from uadbids.bids.files import json_bytes, read_json, tsv_bytes, write_bytes

TITLE = f"{NAME}: synthetic healthy FLAIR"
"""By this name a dataset of an earlier run is known."""
MASKS = Path("derivatives", "brain")
"""Where the brain masks are."""
_README = """# Synthetic healthy FLAIR

Made by {name} {version} from label maps of whole heads: no image here is a scan of a person.
`participants.tsv` says which label map, seed and slice thickness each came from;
`derivatives/brain` holds the true brain masks. No lesion was drawn.
"""
# Column of participants.tsv -> field of the sidecar, and its meaning.
_COLUMNS: Mapping[str, tuple[str, dict[str, str]]] = {
    "label_map": ("LabelMap", {"Description": "Label map that the head was painted over"}),
    "ageing": ("Ageing", {"Description": "Drawn wear of the brain: 0 is young, 1 is old"}),
    "acquisition": ("MRAcquisitionType", {"Description": "Slices (2D) or cubic voxels (3D)"}),
    "in_plane_mm": ("InPlaneVoxelSize", {"Description": "Voxel size in plane", "Units": "mm"}),
    "slice_thickness_mm": ("SliceThickness", {"Description": "Slice thickness", "Units": "mm"}),
    "seed": ("RandomSeed", {"Description": "Seed of all that was drawn for this scan"}),
}


def write_descriptions(output_dir: Path) -> None:
    """Write the descriptions of the dataset, whose root is made if need be, and of its masks."""
    maker = {"Name": NAME, "Version": __version__}
    common = {
        "BIDSVersion": BIDS_VERSION,
        "GeneratedBy": [maker],
        "Authors": [f"{NAME} developers"],
    }
    raw = {"Name": TITLE, "DatasetType": "raw", **common}
    masks = {
        "Name": f"{NAME}: brain masks of synthetic FLAIR",
        "DatasetType": "derivative",
        **common,
        "SourceDatasets": [{"URL": "../.."}],
        "DatasetLinks": {"raw": "../.."},
    }
    readme = _README.format(name=NAME, version=__version__)
    write_bytes(output_dir / "dataset_description.json", json_bytes(raw))
    write_bytes(output_dir / "README.md", readme.encode())
    write_bytes(output_dir / MASKS / "dataset_description.json", json_bytes(masks))
    write_bytes(output_dir / MASKS / "README.md", readme.encode())


def write_participants(output_dir: Path) -> None:
    """List every scan that is there, those of earlier runs too."""
    rows = []
    for path in sorted(output_dir.glob("sub-*/anat/sub-*_FLAIR.json")):
        about = read_json(path) or {}
        row = {column: about.get(key) for column, (key, _) in _COLUMNS.items()}
        rows.append({"participant_id": path.parts[-3], **row})
    meanings = {
        "participant_id": {"Description": "Synthetic participant"},
        **{column: meaning for column, (_, meaning) in _COLUMNS.items()},
    }
    table = output_dir / "participants.tsv"
    write_bytes(table, tsv_bytes(list(meanings), rows))
    write_bytes(table.with_suffix(".json"), json_bytes(meanings))
