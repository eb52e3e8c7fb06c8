"""The folders of a dataset, looked at before anything in them is read."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from uadbids.bids.files import load_json
from uadbids.errors import UsageError


def check_root(root: Path) -> None:
    """Refuse what is no BIDS dataset.

    Raises
    ------
    UsageError
        If there is no folder, or no dataset_description.json that can be used.
    """
    if not root.is_dir():
        raise UsageError(f"The BIDS folder {root} does not exist or is not a folder.")
    description = root / "dataset_description.json"
    try:
        content = load_json(description)
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


def check_folders(folders: Iterable[Path], sessions: Sequence[str]) -> None:
    """Refuse folders that cannot be looked into: whoever walks them would pass over their scans.

    Raises
    ------
    UsageError
        If the folder of a participant, or one in it for ``anat`` or a session that matters (all
        when ``sessions`` is empty), cannot be listed.
    """
    for inner in (path for folder in folders for path in _listed(folder)):
        is_wanted = inner.name.startswith("ses-") and (not sessions or inner.name[4:] in sessions)
        for folder in [*(_listed(inner) if is_wanted else ()), inner]:
            if folder.name == "anat":
                _listed(folder)


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except NotADirectoryError:
        return []
    except OSError as error:
        raise UsageError(
            f"The folder {folder} cannot be read ({error.strerror}): repair the link or the "
            "permissions, or name the participants to examine by --participant-label."
        ) from error


def known_labels(
    prefix: str, wanted: Sequence[str] | None, folders: Iterable[Path], root: Path
) -> list[str]:
    """Return the wanted labels without their prefix, ``sub-`` or ``ses-``.

    Raises
    ------
    UsageError
        When no subfolder of ``folders`` carries one of them; it names the root of the dataset.
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
