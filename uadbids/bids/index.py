"""The index of a dataset's FLAIR files that pybids makes, kept on disk where that is wished."""

import os
import re
import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from uuid import uuid4

from bids.layout import BIDSLayout, BIDSLayoutIndexer
from filelock import FileLock

from uadbids.errors import UsageError

_FILE = "layout_index.sqlite"


def open_index(
    root: Path,
    subjects: Sequence[str],
    sessions: Sequence[str],
    folder: Path | None,
    images: Collection[Path],
    note: Callable[[str], None],
) -> BIDSLayout:
    """Index FLAIR images and sidecars; those of the wanted folders, or in ``folder`` of all.

    An index that is kept is compared with ``images``, those that lie in the wanted folders. It is
    made, or made again, under another name and renamed, by one run at a time.
    """
    if folder is None:
        return _layout(root, subjects, sessions, None)
    with ExitStack() as stack:
        # A folder that is read-only has nothing to be locked, some file systems have no locks.
        with suppress(OSError, NotImplementedError):
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(folder / ".lock"))
        layout, reason = _kept(root, folder, images)
        if layout is not None:
            return layout
        if reason:
            note(f"the index in {folder} {reason}; it is made again")
        building = folder / f".{uuid4().hex[:12]}"
        try:
            _layout(root, (), (), building).connection_manager.engine.dispose()
            os.replace(building / _FILE, folder / _FILE)
        except OSError as error:
            note(f"the index in {folder} cannot be written ({error.strerror}); it is not kept")
            return _layout(root, subjects, sessions, None)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return _layout(root, (), (), folder)


def _kept(root: Path, folder: Path, images: Collection[Path]) -> tuple[BIDSLayout | None, str]:
    """Open the index that is there; else say what is wrong with it."""
    if not (folder / _FILE).exists():
        return None, ""
    try:
        layout = _layout(root, (), (), folder)
        held = {Path(name) for name in layout.files}
    except Exception as error:  # noqa: BLE001 - whatever a damaged database makes sqlite raise
        return None, f"cannot be read ({type(error).__name__})"
    if Path(layout.root) != root:
        raise UsageError(
            f"The database in {folder} describes {layout.root}, not {root}; "
            "give another --bids-database-dir."
        )
    missing = sorted(path.name for path in set(images) - held)
    gone = sorted(path.name for path in held if not os.path.lexists(path))
    for names, what in ((missing, "lacks"), (gone, "lists what is not there any more,")):
        if names:
            return (
                None,
                f"{what} {len(names)} files ({', '.join(names[:3])}{', ...' * (len(names) > 3)})",
            )
    return layout, ""


def _layout(
    root: Path, subjects: Sequence[str], sessions: Sequence[str], folder: Path | None
) -> BIDSLayout:
    subject, session = (
        "|".join(map(re.escape, labels)) or "[^/]+" for labels in (subjects, sessions)
    )
    flair = r"([^/]*_)?(?i:FLAIR\.(nii|nii\.gz|json))"
    keep = rf"{flair}|sub-({subject})(/ses-({session}))?(/anat)?(/{flair})?"
    # Metadata are merged in `sidecars`: pybids gives up on a whole dataset for one bad sidecar.
    indexer = BIDSLayoutIndexer(
        validate=False,
        ignore=[re.compile(rf"^(?!/({keep})$)")],
        index_metadata=False,
        config_filename=".none",  # a dataset does not change how its names are read
    )
    return BIDSLayout(root, validate=False, indexer=indexer, database_path=folder)
