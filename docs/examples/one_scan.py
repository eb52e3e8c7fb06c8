"""From one FLAIR to a table of findings, a picture and files: the packaged example.

python docs/examples/one_scan.py [FOLDER]
"""

# %%
# A scan as it comes from the scanner: neither skull-stripped nor aligned.
import sys
from pathlib import Path

import uadbids

package = Path(uadbids.__file__).parent
flair = package / "data/example/sub-20/ses-2/anat/sub-20_ses-2_FLAIR.nii.gz"

# %%
# Preprocess, reconstruct by a model of healthy brains, look at what it could not reconstruct.
result = uadbids.detect(flair, model="dense3d")

# %%
# What was found, the largest first.
sys.stdout.write(f"{result.findings[['tag', 'volume_ml', 'location']]}\n")

# %%
# What to look at before trusting it.
sys.stdout.write(f"flags: {result.qc['Flags']}\n")
sys.stdout.writelines(f"- {sentence}\n" for sentence in result.qc["Warnings"])

# %%
# Another threshold needs no closer look at the scan: maps are images of nibabel.
strict = result.anomaly_map.get_fdata() > 2 * result.qc["Threshold"]
sys.stdout.write(f"{strict.sum()} voxels above twice the threshold\n")

# %%
# A picture, which a notebook shows by itself, and everything as files.
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "one_scan")
result.save(folder)
result.plot().save(folder / "detection.svg")
