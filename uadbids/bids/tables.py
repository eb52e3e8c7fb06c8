"""The tables of an output dataset: labels, participants, volumes per scan."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from uadbids.bids.derivatives import finished_scans
from uadbids.bids.facts import FACTS
from uadbids.bids.files import json_bytes, tsv_bytes, write_bytes
from uadbids.bids.foreign import age_in_years, read_json, read_tsv
from uadbids.bids.names import scans_table_path
from uadbids.bids.scan import FinishedScan

_DESCRIPTIONS = {
    "anomaly": "Map of how abnormal each voxel is, by the model of healthy brains",
    "preproc": "FLAIR as the model sees it: bias-corrected, aligned, brain-extracted, scaled",
    "recon": "FLAIR as the model of healthy brains reconstructs it",
}
_PARTICIPANT_COLUMNS = {
    "age": {"Description": "Age of the participant; 89 stands for all above", "Units": "year"},
    "sex": {"Description": "Sex of the participant, as the raw dataset has it"},
}
_SCAN_FACTS = tuple(fact for fact in FACTS if fact.in_scans)


def description_tables() -> dict[str, bytes]:
    """Return ``descriptions.tsv`` and its JSON: the meaning of each ``desc-`` label."""
    rows = [{"desc_id": f"desc-{key}", "description": text} for key, text in _DESCRIPTIONS.items()]
    columns: dict[str, Any] = {
        "desc_id": {"Description": "Label of the desc entity"},
        "description": {"Description": "What files with this label hold"},
    }
    return {
        "descriptions.tsv": tsv_bytes(list(columns), rows),
        "descriptions.json": _column_json("Labels of the desc entity", columns),
    }


# Runs that write at the same moment agree after two or three; more would be a fault of ours.
_ROUNDS = 20


def write_tables(output_dir: Path, raw_dir: Path, subjects: Iterable[str] | None = None) -> None:
    """Write the tables of participants and of scans, from the outputs that are there.

    Runs of other participants may write into the same folder right now, and one of them may have
    replaced a table by an older state. So the tables are made again until nothing had to be
    written: then they were complete after they were written, whichever run ends last. No lock is
    needed, which file systems of clusters may not have.

    Tables of scans are those of the participants in ``subjects``; by default of all.
    """
    folders = ["*"] if subjects is None else sorted(set(subjects))
    for _ in range(_ROUNDS):
        tables = {
            output_dir / name: content
            for name, content in _participant_tables(output_dir, raw_dir).items()
        }
        old: set[Path] = set()
        for subject in folders:
            tables |= _scans_tables(output_dir, None if subject == "*" else subject)
            for place in (f"sub-{subject}", f"sub-{subject}/ses-*"):
                old.update(output_dir.glob(f"{place}/sub-*_scans.*"))
        written = [path for path, content in tables.items() if write_bytes(path, content)]
        # A table without finished scans goes.
        for path in old - tables.keys():
            path.unlink(missing_ok=True)
        if not written and old <= tables.keys():
            return


def _participant_tables(output_dir: Path, raw_dir: Path) -> dict[str, bytes]:
    """Return ``participants.tsv`` and its JSON for the participants which have outputs.

    Age and sex are copied from the raw dataset, or from the last such table of ours; nothing else
    is. Ages that cannot be read are left out: they might be above 89.
    """
    raw_json = read_json(raw_dir / "participants.json")
    raw_json = {key.casefold(): value for key, value in raw_json.items() if isinstance(value, dict)}
    units = str(raw_json.get("age", {}).get("Units", "year"))
    known = {
        **_known(output_dir / "participants.tsv", "year"),
        **_known(raw_dir / "participants.tsv", units),
    }
    ids = sorted(path.name for path in output_dir.glob("sub-*") if path.is_dir())
    columns = [c for c in _PARTICIPANT_COLUMNS if any(c in row for row in known.values())]
    rows = [{"participant_id": i, **{c: known.get(i, {}).get(c) for c in columns}} for i in ids]
    meanings: dict[str, Any] = {"participant_id": {"Description": "Participant, with sub-"}}
    meanings |= {c: {**_PARTICIPANT_COLUMNS[c], **raw_json.get(c, {})} for c in columns}
    if "age" in meanings:
        meanings["age"]["Units"] = "year"
    return {
        "participants.tsv": tsv_bytes(["participant_id", *columns], rows),
        "participants.json": _column_json("Participants with outputs", meanings),
    }


def _known(table: Path, units: str) -> dict[str, dict[str, str | None]]:
    """Return age and sex of participants, whatever the case of the headings."""
    known: dict[str, dict[str, str | None]] = {}
    for row in read_tsv(table):
        cells: dict[str, str | None] = {name.casefold(): cell for name, cell in row.items()}
        if "age" in cells:
            cells["age"] = age_in_years(cells["age"], units)
        known[row.get("participant_id", "")] = cells
    return known


def _scans_tables(output_dir: Path, subject: str | None) -> dict[Path, bytes]:
    """Return the volumes of every finished scan, one table a subject and session.

    Read from the sidecars in the tree, so scans of earlier runs keep their rows.
    """
    meanings: dict[str, Any] = {
        "filename": {"Description": "Mask of findings in the space of the scan"}
    }
    meanings |= {fact.column: fact.meaning for fact in _SCAN_FACTS}

    def place(scan: FinishedScan) -> tuple[str, str]:
        return scan.subject, scan.session or ""

    tables: dict[Path, bytes] = {}
    found = sorted(finished_scans(output_dir, subject), key=place)
    for (label, session), scans in groupby(found, place):
        table = output_dir / scans_table_path(label, session or None)
        rows = [
            {
                "filename": f"anat/{scan.mask.name}",
                **{fact.column: scan.metadata.get(fact.key) for fact in _SCAN_FACTS},
            }
            for scan in scans
        ]
        tables[table] = tsv_bytes(list(meanings), rows)
        tables[table.with_suffix(".json")] = _column_json("Volumes per scan", meanings)
    return tables


def _column_json(description: str, columns: Mapping[str, Any]) -> bytes:
    return json_bytes({"Description": f"{description}.", **columns})
