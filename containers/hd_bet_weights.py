"""Put HD-BET's weights in their place in an image, if they are those that were asked for.

python3 hd_bet_weights.py GIVEN URL SHA256 TARGET

GIVEN is a folder that holds, at any depth, HD-BET's three files or a ZIP archive with them; where
it is empty, the archive is taken from URL. SHA256 is one hash of the three files, the same that a
run writes as BrainMaskWeightsSHA256. Without weights TARGET stays empty.
"""

import hashlib
import shutil
import sys
import urllib.request
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

FILES = ("plans.json", "dataset.json", "fold_all/checkpoint_final.pth")


def unpack(archive: Path, folder: Path) -> None:
    """Take the three files out of an archive, and nothing else."""
    with zipfile.ZipFile(archive) as content:
        for member in content.namelist():
            name = next((name for name in FILES if f"/{member}".endswith(f"/{name}")), None)
            if name is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with content.open(member) as source, (folder / name).open("wb") as target:
                    shutil.copyfileobj(source, target)


def find(folder: Path) -> Path:
    """Return the folder that holds the three files."""
    for plans in sorted(folder.rglob("plans.json")):
        if all((plans.parent / name).is_file() for name in FILES):
            return plans.parent
    sys.exit(f"HD-BET's weights are not complete: {', '.join(FILES)} are needed")


def weights_sha256(folder: Path) -> str:
    """Hash the weights as uadbids does (uadbids/preproc/hd_bet.py, which needs torch)."""
    digests = [hashlib.sha256((folder / name).read_bytes()).digest() for name in FILES]
    return hashlib.sha256(b"".join(digests)).hexdigest()


def main(given: Path, url: str, sha256: str, target: Path) -> None:
    """Unpack, check, copy."""
    target.mkdir(parents=True)
    with TemporaryDirectory() as name:
        folder = Path(name)
        if not any(path.is_file() for path in given.rglob("*")):
            if not url:
                print("No HD-BET weights were given: this image finds brains with deepbet.")
                return
            archive = folder / "weights.zip"
            with urllib.request.urlopen(url) as source, archive.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            given = folder
        for archive in sorted(given.rglob("*.zip")):
            unpack(archive, folder / "unpacked")
            given = folder
        weights = find(given)
        found = weights_sha256(weights)
        if found != sha256:
            sys.exit(
                f"HD-BET's weights have the SHA-256 {found}, and HD_BET_SHA256 is "
                f"{sha256 or 'not given'}: nothing is taken that was not asked for by its hash"
            )
        for file in FILES:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(weights / file, target / file)
            (target / file).chmod(0o644)
    print(f"HD-BET's weights {found} are in their place.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3].lower(), Path(sys.argv[4]))
