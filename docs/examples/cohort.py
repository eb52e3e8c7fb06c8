"""From the outputs of a study to tables and a plot: volume found, scan by scan and by region.

python docs/examples/cohort.py OUTPUT_DIR [FOLDER]
"""

# %%
# What `uadbids BIDS_DIR OUTPUT_DIR participant` has written, as two tables of pandas.
import sys
from pathlib import Path

from matplotlib.figure import Figure

import uadbids

study = uadbids.load_derivatives(sys.argv[1])
folder = Path(sys.argv[2] if len(sys.argv) > 2 else "cohort")
folder.mkdir(parents=True, exist_ok=True)

# %%
# A row a scan. Scans with flags are worth a look at their page before anything is averaged.
columns = ["scan", "finding_volume_ml", "finding_count", "flags"]
scans = study.scans[columns].sort_values("finding_volume_ml", ascending=False)
sys.stdout.write(f"{scans.to_string(index=False)}\n")

# %%
# A row a finding: where in the brain the volume lies, as a mean over the scans.
by_region = study.findings.groupby("region")["volume_ml"].sum() / len(study.scans)
sys.stdout.write(f"{by_region.sort_values(ascending=False).round(3).to_string()}\n")

# %%
# A plot of both, and the tables for other programs.
figure = Figure(figsize=(9, 4), layout="constrained")
left, right = figure.subplots(1, 2)
left.barh(scans["scan"], scans["finding_volume_ml"])
left.set_xlabel("volume found, ml")
right.barh(by_region.index, by_region)
right.set_xlabel("mean volume found, ml")
figure.savefig(folder / "volumes.png", dpi=150)
scans.to_csv(folder / "scans.csv", index=False)
study.findings.to_csv(folder / "findings.csv", index=False)
