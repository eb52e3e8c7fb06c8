"""Every odd dataset meets the command line."""

import os
import re
import subprocess
import sys

import pytest

from zoo.datasets import DATASETS
from zoo.making import ordinary_user

# Several times what a slow machine takes for 10,000 participants; a walk into a loop, or one that
# reads files, takes more.
SECONDS, MEGABYTES = 120, 600


@pytest.mark.slow
@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_is_listed_or_refused_with_its_sentence(tmp_path, dataset):
    user = ordinary_user()
    if user is None and ("hidden" in dataset.name or "closed" in dataset.name):
        pytest.skip("root cannot be made an ordinary user here")
    root, said = tmp_path / "a dataset – ü", tmp_path / "said"
    root.mkdir()
    dataset.make(root)
    command = [*(user or ()), sys.executable, "-m", "uadbids", str(root), str(tmp_path / "out")]
    with said.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "participant", "--dry-run"],
            stdout=stream,
            stderr=stream,
            env={**os.environ, "COLUMNS": "300"},
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    lines = [" ".join(line.split()) for line in said.read_text().splitlines()]
    assert process.returncode == dataset.status, lines
    for sentence in dataset.sentence.split(" / "):
        pattern = re.escape(sentence).replace("ROOT", re.escape(str(root)))
        assert any(re.fullmatch(pattern.replace("ERROR", ".+"), line) for line in lines), lines
    assert not any("Traceback" in line for line in lines)
    assert usage.ru_utime + usage.ru_stime < SECONDS
    assert usage.ru_maxrss < MEGABYTES * 1024
    assert not (tmp_path / "out").exists()
