"""Masks of findings against masks of one's own: Dice, lesions found, distances; with an interval.

python docs/examples/own_masks.py PAIRS.tsv [TABLE.csv]

PAIRS.tsv has the columns map (mask of findings, by uadbids or anything else) and mask (drawn).
`uadbids evaluate --pairs PAIRS.tsv OUTPUT_DIR` makes a page of the same.
"""

# %%
# Paths are relative to the table.
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

import uadbids

table = Path(sys.argv[1])
pairs = pd.read_csv(table, sep="\t")

# %%
# Every value above 0 counts; both masks of a pair lie on one grid.
here = table.parent
measures = uadbids.evaluate(
    (here / found, here / drawn) for found, drawn in zip(pairs["map"], pairs["mask"], strict=True)
)
measures.insert(0, "map", pairs["map"])
shown = ["map", "dice", "lesion_recall", "lesion_precision", "hd95_mm", "volume_error_ml"]
sys.stdout.write(f"{measures[shown].round(3).to_string(index=False)}\n")

# %%
# The mean says little without its interval.
dice = measures["dice"].to_numpy()
sys.stdout.write(f"mean Dice {dice.mean():.3f}")
if len(dice) > 1:
    low, high = bootstrap((dice,), np.mean, rng=0).confidence_interval
    sys.stdout.write(f", 95 % interval {low:.3f} to {high:.3f}, {len(dice)} pairs")
sys.stdout.write("\n")
measures.to_csv(sys.argv[2] if len(sys.argv) > 2 else "measures.csv", index=False)
