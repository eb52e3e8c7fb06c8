"""Kill runs at random moments, finish them, and compare with a run that nothing disturbed.

    PYTHONPATH=tests python -m robustness.kills FOLDER --kills 50

What was done so far is kept in FOLDER/kills.json; the same command goes on from there. Every round
kills one run a few times (the whole run, the parent alone or a worker alone, by SIGKILL), each time
in a stage drawn at random, and then lets it come to its end. What is examined is the packaged
example at half its resolution, in one of four rounds with its skull: where it has none, no brain
mask has to be found, which is half of the work.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uadbids
from heads import Head, new_dataset, place, roughly_stripped, save
from uadbids.bids.derivatives import finished_scans, verify_scan
from uadbids.bids.files import write_bytes

EXAMPLE = Path(uadbids.__file__).parent / "data/example/sub-20/ses-2/anat/sub-20_ses-2_FLAIR.nii.gz"
# Every so many rounds have a scan with its skull.
WITH_SKULL_EVERY = 4
# Stage -> file in the folder of the scan that is there once it has begun, and seconds within which
# it is killed, about as long as it takes.
STAGES = {
    "start": ("", 6.0),
    "conform": ("preprocess/_0x*_unfinished.json", 0.5),
    "brain_mask": ("preprocess/conformed.nii.gz", 3.0),
    "n4": ("preprocess/brain.nii.gz", 3.0),
    "registration": ("preprocess/corrected.nii", 5.0),
    "to_template": ("preprocess/affine.txt", 0.6),
    "detect": ("detect/_0x*_unfinished.json", 1.5),
    "native_space": ("derive/_0x*_unfinished.json", 0.7),
    "figures": ("derive/native_brain.nii.gz", 1.2),
    "write": ("derive/registration.svg", 0.15),
}
NODES = ("preprocess", "detect", "derive")
VICTIMS = ("run", "parent", "worker")


def make_datasets(folder: Path) -> dict[str, Path]:
    """One scan with its skull, and the same without."""
    head = Head.read(EXAMPLE)
    roots = {}
    for kind, write in (("skull", save), ("stripped", roughly_stripped)):
        roots[kind] = folder / "raw" / kind
        if not roots[kind].exists():
            write(place(new_dataset(roots[kind]), "01"), head)
    return roots


def start(raw: Path, out: Path, work: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "uadbids", str(raw), str(out), "participant"]
    return subprocess.Popen(
        [*command, "-w", str(work), "--nprocs", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def contents(out: Path) -> dict[str, str]:
    """Hash outputs but pages, logs, crash files; seconds and hashes of JSON are left out."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if (
            not path.is_file()
            or path.suffix == ".html"
            or "/log/" in name
            or path.suffix in (".log", ".toml")
        ):
            continue
        content = path.read_bytes()
        if path.suffix == ".json":
            told = json.loads(content)
            told.pop("StageSeconds", None)
            hashes = told.get("OutputSHA256", {})
            told["OutputSHA256"] = {k: v for k, v in hashes.items() if not k.endswith(".json")}
            content = json.dumps(told, sort_keys=True).encode()
        # What a kill left under a temporary name goes with a later run; it is no output.
        if not path.name.startswith(".") or path.name == ".bidsignore":
            found[name] = hashlib.sha256(content).hexdigest()
    return found


def stage_is_on(work: Path, stage: str) -> bool:
    return stage == "start" or any(work.glob(f"uadbids_*/*/{STAGES[stage][0]}"))


def is_done(work: Path, stage: str) -> bool:
    node = STAGES[stage][0].partition("/")[0] or NODES[0]
    found = work.glob(f"uadbids_*/*/{node}/_0x*.json")
    return stage != "write" and any("unfinished" not in path.name for path in found)


def alive(group: int) -> list[int]:
    """Processes of a group that still run, zombies left out."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(folder.name))
    return sorted(found)


def kill(process: subprocess.Popen[str], victim: str) -> bool:
    """Kill; False where the victim is not there."""
    if victim == "run":
        os.killpg(process.pid, signal.SIGKILL)
    elif victim == "parent":
        process.kill()
    else:
        # The fork server and the tracker come before it; the worker is the last that started.
        children = [pid for pid in alive(process.pid) if pid != process.pid]
        if len(children) < 3:
            return False
        os.kill(children[-1], signal.SIGKILL)
    return True


def disturb(raw: Path, out: Path, work: Path, draw: random.Random) -> dict[str, Any] | None:
    """Run once and kill; None where the run came to its end before."""
    fleeting = "brain_mask" if raw.name == "stripped" else ""
    left_to_do = [stage for stage in STAGES if stage != fleeting and not is_done(work, stage)]
    stage, victim = draw.choice(left_to_do), draw.choice(VICTIMS)
    delay = draw.uniform(0, STAGES[stage][1])
    process = start(raw, out, work)
    try:
        while process.poll() is None and not stage_is_on(work, stage):
            time.sleep(0.01)
        time.sleep(delay)
        if process.poll() is not None or not kill(process, victim):
            process.communicate(timeout=600)
            return None
        text = process.communicate(timeout=600)[1]
        deadline = time.monotonic() + 30
        while alive(process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        left = len(alive(process.pid))
    finally:
        if alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
    wrong = [w for scan in finished_scans(out) for w in verify_scan(out, scan)]
    told = [line for line in text.splitlines() if "failed: " in line][:1]
    return {
        "stage": stage,
        "victim": victim,
        "delay": round(delay, 2),
        "status": process.returncode,
        "told": told,
        "left_alive": left,
        "wrong": wrong,
    }


def kind_of(number: int) -> str:
    return "stripped" if number % WITH_SKULL_EVERY else "skull"


def one_round(folder: Path, number: int, raw: Path, undisturbed: dict[str, str]) -> dict[str, Any]:
    draw = random.Random(number)
    out, work = folder / f"round-{number}" / "out", folder / f"round-{number}" / "work"
    shutil.rmtree(out.parent, ignore_errors=True)
    kills = []
    for _ in range(draw.randint(4, 8)):
        kills.append(disturb(raw, out, work, draw))
        if kills[-1] is None:
            break
    process = start(raw, out, work)
    text = process.communicate(timeout=1200)[1]
    found = contents(out)
    differing = sorted(
        name
        for name in undisturbed.keys() | found.keys()
        if undisturbed.get(name) != found.get(name)
    )
    wrong = [w for scan in finished_scans(out) for w in verify_scan(out, scan)]
    if process.returncode == 0 and not differing and not wrong:
        shutil.rmtree(out.parent)
    return {
        "round": number,
        "kills": [one for one in kills if one],
        "status": process.returncode,
        "differing": differing,
        "wrong": wrong,
        "text": "" if process.returncode == 0 else text,
    }


def undisturbed_run(raw: Path, folder: Path) -> dict[str, str]:
    process = start(raw, folder / "out", folder / "work")
    if process.communicate()[1] is None or process.returncode:
        sys.exit("the undisturbed run failed")
    return contents(folder / "out")


def work_off(folder: Path, n_kills: int, state: dict[str, Any], lock: threading.Lock) -> None:
    """Take one round after the other, beside others that do the same, until there are enough."""
    roots = make_datasets(folder)
    while True:
        with lock:
            if sum(len(one["kills"]) for one in state["rounds"]) >= n_kills:
                return
            number = state["next"]
            state["next"] += 1
        kind = kind_of(number)
        done = one_round(folder, number, roots[kind], state["undisturbed"][kind])
        with lock:
            state["rounds"].append(done)
            write_bytes(folder / "kills.json", json.dumps(state, indent=1).encode())
            print(len(done["kills"]), "kills", done["status"], done["differing"], flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=1, help="rounds at a time")
    options = parser.parse_args()
    folder = options.folder
    record = folder / "kills.json"
    folder.mkdir(parents=True, exist_ok=True)
    state = json.loads(record.read_text()) if record.exists() else {"rounds": []}
    # Rounds that were not finished are begun again under other numbers.
    state["next"] = max((one["round"] + 1 for one in state["rounds"]), default=0)
    roots, lock = make_datasets(folder), threading.Lock()
    with ThreadPoolExecutor(options.workers) as pool:
        if "undisturbed" not in state:
            # As deep as the rounds: outputs tell the way to the dataset.
            places = [folder / f"undisturbed-{kind}" for kind in roots]
            found = pool.map(undisturbed_run, roots.values(), places)
            state["undisturbed"] = dict(zip(roots, found, strict=True))
        jobs = [
            pool.submit(work_off, folder, options.kills, state, lock)
            for _ in range(options.workers)
        ]
        for job in jobs:
            job.result()
    bad = [one["round"] for one in state["rounds"] if not is_good(one)]
    if bad:
        sys.exit(f"see {record}: rounds {', '.join(map(str, bad))}")


def is_good(done: dict[str, Any]) -> bool:
    """Whether the last run of a round ended well, nothing was left, and all is as undisturbed."""
    kills = done["kills"]
    return not (done["status"] or done["differing"] or done["wrong"]) and not any(
        kill["wrong"] or kill["left_alive"] for kill in kills
    )


if __name__ == "__main__":
    main()
