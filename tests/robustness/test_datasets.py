"""Every odd dataset meets the command line."""

import json
import os
import re
import subprocess
import sys

import pytest

from robustness.datasets import DATASETS
from robustness.making import ordinary_user

# Several times what a slow machine takes for 10,000 participants; a walk into a loop, or one that
# reads files, takes more.
SECONDS, MEGABYTES = 120, 600
# The highest memory of a process counts what it was forked from: a small one, then, not the tests.
MEASURE = """
import json, pathlib, resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
spent = [used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]
pathlib.Path(sys.argv[1]).write_text(json.dumps(spent))
sys.exit(status)
"""


@pytest.mark.slow
@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_is_listed_or_refused_with_its_sentence(tmp_path, dataset):
    user = ordinary_user()
    if user is None and ("hidden" in dataset.name or "closed" in dataset.name):
        pytest.skip("root cannot be made an ordinary user here")
    root, spent = tmp_path / "a dataset – ü", tmp_path / "spent"
    root.mkdir()
    dataset.make(root)
    command = [*(user or ()), sys.executable, "-m", "uadbids", str(root), str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, spent, *command, "participant", "--dry-run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "COLUMNS": "300"},
        check=False,
    )
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert done.returncode == dataset.status, lines
    for sentence in dataset.sentence.split(" / "):
        pattern = re.escape(sentence).replace("ROOT", re.escape(str(root)))
        assert any(re.fullmatch(pattern.replace("ERROR", ".+"), line) for line in lines), lines
    assert not any("Traceback" in line for line in lines)
    seconds, megabytes = json.loads(spent.read_text())
    assert seconds < SECONDS
    assert 20 < megabytes < MEGABYTES
    assert not (tmp_path / "out").exists()
