"""Datasets that are odd as a whole: what ``--dry-run`` says of each, and its exit status."""

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

ABOUT = '{"Name": "robustness", "BIDSVersion": "1.10.0"}'
N_MANY = 10_000
SOUND = gzip.compress(nib.Nifti1Image(np.ones((8, 8, 8), np.uint8), np.eye(4)).to_bytes())


@dataclass(frozen=True)
class Dataset:
    """One dataset.

    ``make`` fills an empty folder. Each of the sentences, joined by " / ", is a line of what is
    said, or the middle of one: ``ROOT`` stands for the folder, ``ERROR`` for what a library says.
    """

    name: str
    make: Callable[[Path], None]
    status: int
    sentence: str
    what: str


def scans(*names: str, about: str | None = ABOUT) -> Callable[[Path], None]:
    """Put empty files into a dataset: names from ``sub-01`` on, without folder."""

    def make(root: Path) -> None:
        if about is not None:
            (root / "dataset_description.json").write_text(about)
        for name in names or ("sub-01_FLAIR.nii.gz",):
            labels = [part for part in name.split("_") if part[:4] in ("sub-", "ses-")]
            path = root.joinpath(*labels, "anat", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(SOUND if name.endswith(".gz") else gzip.decompress(SOUND))

    return make


def described_by_a_pipe(root: Path) -> None:
    scans(about=None)(root)
    os.mkfifo(root / "dataset_description.json")


def closed(place: str) -> Callable[[Path], None]:
    """Take the permission to read from a file or folder."""

    def make(root: Path) -> None:
        scans("sub-01_FLAIR.nii.gz", "sub-02_ses-1_FLAIR.nii.gz")(root)
        (root / place).chmod(0)

    return make


def links(**targets: str) -> Callable[[Path], None]:
    """Put links beside a sound scan; ``__`` in a name stands for a slash, ``_`` for a dash."""

    def make(root: Path) -> None:
        scans()(root)
        elsewhere = root.with_name(root.name + "-elsewhere")
        scans("sub-08_FLAIR.nii.gz", about=None)(elsewhere)
        for name, target in targets.items():
            path = root / name.replace("__", "/").replace("_", "-")
            path.parent.mkdir(exist_ok=True)
            path.symlink_to(target.replace("ELSEWHERE", str(elsewhere)))

    return make


MALFORMED = "uadbids: Cannot read ROOT/dataset_description.json as JSON: ERROR"
NO_OBJECT = (
    "uadbids: ROOT/dataset_description.json must hold an object, as BIDS describes it, such as "
    '{"Name": "Study", "BIDSVersion": "1.10.0"}.'
)
NO_FLAIR = (
    "uadbids: There is no FLAIR image (sub-*/[ses-*/]anat/*_FLAIR.nii[.gz]) in ROOT; check the "
    "names of the files (sub-01: it has no FLAIR image (anat holds sub-01_T1w.nii.gz))."
)
CLOSED = (
    "uadbids: The folder ROOT/{} cannot be read (ERROR): repair the link or the permissions, or "
    "name the participants to examine by --participant-label."
)
DATASETS = (
    Dataset("absent", lambda root: root.rmdir(), 2,
            "uadbids: The BIDS folder ROOT does not exist or is not a folder.", "no folder"),
    Dataset("bare", scans(about=None), 2,
            "uadbids: ROOT is not a BIDS dataset: it has no dataset_description.json. Give the "
            'folder that holds the sub-* folders, with a file such as {"Name": "Study", '
            '"BIDSVersion": "1.10.0"} in it.', "no dataset_description.json"),
    Dataset("malformed", scans(about='{"Name": '), 2, MALFORMED, "one that is no JSON"),
    Dataset("deep", scans(about="[" * 100_000), 2, MALFORMED, "one of 100,000 brackets"),
    Dataset("pipe", described_by_a_pipe, 2, MALFORMED, "one that is a named pipe"),
    Dataset("hidden", closed("dataset_description.json"), 2, MALFORMED,
            "one that the user may not read"),
    Dataset("list", scans(about="[]"), 2, NO_OBJECT, "one that is a list"),
    Dataset("makers", scans(about='{"DatasetType": "derivative", "GeneratedBy": [3]}'), 2,
            NO_OBJECT, "one whose `GeneratedBy` holds a number"),
    Dataset("empty", lambda root: None, 2, "uadbids: ROOT is not a BIDS dataset: ERROR",
            "an empty folder"),
    Dataset("noflair", scans("sub-01_T1w.nii.gz"), 2, NO_FLAIR, "no FLAIR"),
    Dataset("many", scans(*(f"sub-{n:05d}_FLAIR.nii.gz" for n in range(N_MANY))), 0,
            f"{N_MANY} of {N_MANY} scans would run", "10,000 participants"),
    Dataset("loop", links(sub_01__anat__loop="..", sub_01__ses_1="..", sub_02="."), 0,
            "1 of 2 scans would run; 1 skipped", "folders that are links to folders above them"),
    Dataset("linked", links(sub_08="ELSEWHERE/sub-08"), 0, "2 of 2 scans would run",
            "folder of a participant linked in from outside"),
    Dataset("gone", links(sub_08="ELSEWHERE/gone"), 2, CLOSED.format("sub-08"),
            "the same, to a disk that is not there"),
    Dataset("round", links(sub_08="sub-08"), 2, CLOSED.format("sub-08"), "the same, to itself"),
    Dataset("closed", closed("sub-02"), 2, CLOSED.format("sub-02"),
            "folder of a participant that the user may not read"),
    Dataset("closedanat", closed("sub-02/ses-1/anat"), 2, CLOSED.format("sub-02/ses-1/anat"),
            "the same, its `anat`"),
    Dataset("cases", scans("sub-a_FLAIR.nii.gz", "sub-A_FLAIR.nii.gz"), 0,
            "2 of 2 scans would run", "sub-a and sub-A"),
    Dataset("runs", scans("sub-01_ses-1_run-1_FLAIR.nii.gz", "sub-01_ses-1_run-1_FLAIR.nii",
                          "sub-01_ses-1_run-2_FLAIR.nii.gz", "sub-01_ses-2_run-1_FLAIR.nii.gz",
                          "sub-01_run-1_ses-2_FLAIR.nii.gz", "sub-01_FLAIR.nii.gz"), 0,
            "sub-01_ses-1_run-1 refuse sub-01_ses-1_run-1_FLAIR.nii has the same entities: keep "
            "one of the two / sub-01_ses-2_run-1 refuse sub-01_run-1_ses-2_FLAIR.nii.gz has the "
            "same entities: keep one of the two / 4 of 6 scans would run; 2 refused",
            "sessions and runs, two files for one run in each session"),
)  # fmt: skip
