"""The folders of a dataset, looked at before anything in them is read."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from uadbids.bids.foreign import load_json, read_json
from uadbids.bids.scan import IMAGE_NAME, Scan, parse_entities
from uadbids.errors import UsageError

# Folders of other measurements hold no FLAIR.
_OTHER_TYPES = frozenset(
    "beh dwi eeg fmap func ieeg meg micr motion mrs nirs perf pet".split()  # noqa: SIM905
)
_OTHER_SUFFIX = re.compile(
    r"mask|roi|dseg|probseg|label|T[12]w|T[12]map|T2star\w*|PDw?|PDT2|SWI|UNIT1|angio|MEGRE|MESE"
)
_OTHER_FORMAT = re.compile(
    r".+_FLAIR\.(img|hdr|mgh|mgz|nrrd|mh[ad]|dcm|nii\.(bz2|zst|xz|zip))", re.IGNORECASE
)


@dataclass
class Survey:
    """What the folders of the participants hold."""

    images: set[Path] = field(default_factory=set)  # files in ``anat`` with the suffix FLAIR
    # What looks like a FLAIR and is none by its name or place, with the reason.
    misplaced: list[Scan] = field(default_factory=list)
    # Label of a participant -> names of the images in ``anat``.
    held: dict[str, list[str]] = field(default_factory=dict)


def check_root(root: Path, note: Callable[[str], None]) -> None:
    """Refuse what is no BIDS dataset.

    UsageError if there is no folder, or no dataset_description.json that can be used.
    """
    if not root.is_dir():
        raise UsageError(f"The BIDS folder {root} does not exist or is not a folder.")
    description = root / "dataset_description.json"
    try:
        content, wrong = load_json(description)
    except FileNotFoundError as error:
        raise UsageError(
            f"{root} is not a BIDS dataset: it has no dataset_description.json. Give the folder "
            'that holds the sub-* folders, with a file such as {"Name": "Study", '
            '"BIDSVersion": "1.10.0"} in it.'
        ) from error
    except (OSError, ValueError) as error:
        raise UsageError(f"Cannot read {description} as JSON: {error}") from error
    makers = content.get("GeneratedBy", []) if isinstance(content, dict) else None
    if not isinstance(makers, list) or not all(isinstance(maker, dict) for maker in makers):
        raise UsageError(
            f"{description} must hold an object, as BIDS describes it, such as "
            '{"Name": "Study", "BIDSVersion": "1.10.0"}.'
        )
    if wrong:
        note(f"dataset_description.json was read although {wrong}")


def is_derivative(root: Path) -> bool:
    """Whether a dataset says of itself that it was derived from another."""
    return read_json(root / "dataset_description.json").get("DatasetType") == "derivative"


def survey(root: Path, folders: Iterable[Path], sessions: Sequence[str]) -> Survey:
    """Look for FLAIR images in the folders of participants, all sessions when none are named.

    UsageError if the folder of a participant, or one in it for ``anat`` or a session, cannot be
    listed: whoever walks them would pass over their scans.
    """
    found = Survey()
    for folder in folders:
        label = folder.name.removeprefix("sub-")
        places = [
            path
            for path in _listed(folder)
            if path.name.startswith("ses-") and (not sessions or path.name[4:] in sessions)
        ]
        if not sessions:
            places.append(folder)
        for place in places:
            _look_into(place, root, found, found.held.setdefault(label, []))
    return found


def _look_into(place: Path, root: Path, found: Survey, held: list[str]) -> None:
    """Look at the folder of a participant or session."""
    for inner in _listed(place):
        if inner.name == "anat":
            for path in _listed(inner):
                _look_at(path, root, found, held)
        elif not inner.name.startswith("ses-") and inner.name not in _OTHER_TYPES:
            for path in (inner, *_listed_if_possible(inner)):
                if IMAGE_NAME.fullmatch(path.name) or _better_name(path.name):
                    where = path.relative_to(root).as_posix()
                    reason = f"{where} does not lie in {place.relative_to(root)}/anat: move it"
                    found.misplaced.append(_misplaced(path, root, reason))


def _look_at(path: Path, root: Path, found: Survey, held: list[str]) -> None:
    """Look at something in a folder ``anat``; hidden files are nobody's images."""
    name = path.name
    if name.startswith("."):
        return
    held += [name] * (".nii" in name)
    reason = ""
    if IMAGE_NAME.fullmatch(name):
        if not path.is_dir():
            found.images.add(path)
            return
        reason = "it is no file: put the image in its place"
    elif _OTHER_FORMAT.fullmatch(name):
        reason = f"{name} is no NIfTI file: convert it to .nii.gz"
    elif better := _better_name(name):
        reason = f"{name} is not a BIDS name of a FLAIR: rename it, to {better}"
    if reason:
        found.misplaced.append(_misplaced(path, root, reason))


def _better_name(name: str) -> str:
    """Suggest a name for what looks like a FLAIR; empty where it does not, or has this name."""
    stem, dot, ending = name.partition(".nii")
    if not dot or ending not in ("", ".gz"):
        return ""
    parts = [part for part in stem.split("_") if part]
    entities = [part for part in parts if "-" in part and "dup-" not in part]
    suffixes = [part for part in parts if part not in entities]
    text = "".join(suffixes)
    if "flair" not in text.casefold() or _OTHER_SUFFIX.fullmatch(parts[-1]):
        return ""
    rest = re.sub(r"flair|[^0-9a-z]", "", re.sub("T2", "", text), flags=re.IGNORECASE)
    if rest:
        place = 1 + any(part.startswith("ses-") for part in entities)
        entities.insert(place, f"acq-{rest}")
    return "_".join([*entities, f"FLAIR.nii{ending}"])


def _misplaced(path: Path, root: Path, reason: str) -> Scan:
    folders = path.relative_to(root).parts[:-1]
    named = parse_entities("_".join(p for p in folders if p.startswith(("sub-", "ses-"))))
    return Scan(path, named, skip_reason=reason, is_refused=True)


def absent(root: Path, label: str, held: Sequence[str] | None, *, is_asked: bool) -> Scan:
    """Stand for a participant who has no FLAIR; None where the sessions asked for are not there."""
    if held is None:
        reason = "it has none of the sessions that were asked for"
    elif not held:
        reason = "it has no FLAIR image, nor any other image in a folder anat"
    else:
        some = ", ".join(sorted(held)[:3]) + ", ..." * (len(held) > 3)
        reason = f"it has no FLAIR image (anat holds {some})"
    if held and any(IMAGE_NAME.fullmatch(name) for name in held):
        reason = "none of its FLAIR images fits the filter"
    return Scan(root / f"sub-{label}", {"subject": label}, skip_reason=reason, is_refused=is_asked)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except NotADirectoryError:
        return []
    except OSError as error:
        raise UsageError(
            f"The folder {folder} cannot be read ({error.strerror}): repair the link or the "
            "permissions, or name the participants to examine by --participant-label."
        ) from error


def _listed_if_possible(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def known_labels(
    prefix: str, wanted: Sequence[str] | None, folders: Iterable[Path], root: Path
) -> list[str]:
    """Return the wanted labels without their prefix, ``sub-`` or ``ses-``.

    UsageError, which names the root of the dataset, when no subfolder of ``folders`` carries one.
    """
    labels = [label.removeprefix(prefix) for label in wanted or ()]
    if not labels:
        return []
    found = {path.name.removeprefix(prefix) for f in folders for path in f.glob(f"{prefix}*")}
    unknown = [label for label in labels if label not in found]
    if unknown:
        known = sorted(found)
        some = ", ".join(known[:10]) + (f", ... ({len(known)} in all)" if len(known) > 10 else "")
        raise UsageError(f"No folder {prefix}{unknown[0]} in {root}. There are: {some or 'none'}.")
    return labels
