"""Make a study of eight participants out of the example scan; the fifth's image is cut short.

python containers/eight_scans.py NEW_BIDS_DIR
"""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

import uadbids

EXAMPLE = "sub-20/ses-2/anat/sub-20_ses-2_FLAIR.nii.gz"
BROKEN = "05"


def main(root: Path) -> None:
    """Write the dataset; every scan has noise of its own, so that none can pass for another."""
    image = nib.load(Path(uadbids.__file__).parent / "data" / "example" / EXAMPLE)
    data = np.asarray(image.dataobj, dtype=np.float32)
    root.mkdir(parents=True)
    about = {"Name": "Eight scans", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    rows = ["participant_id\tage\tsex"]
    for number in range(1, 9):
        label = f"{number:02d}"
        noise = np.random.default_rng(number).normal(0, data[data > 0].std() / 50, data.shape)
        noisy = np.where(data > 0, np.clip(data + noise, 0, None), 0).astype(np.int16)
        path = root / f"sub-{label}" / "anat" / f"sub-{label}_FLAIR.nii.gz"
        path.parent.mkdir(parents=True)
        nib.Nifti1Image(noisy, image.affine, image.header).to_filename(path)
        if label == BROKEN:
            path.write_bytes(path.read_bytes()[:400_000])
        rows.append(f"sub-{label}\t{40 + number}\tF")
    (root / "participants.tsv").write_text("\n".join(rows) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
