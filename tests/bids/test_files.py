import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from uadbids.bids.files import (
    ABANDONED_SECONDS,
    read_json,
    replace_together,
    temporary_name,
    tsv_bytes,
    write_bytes,
)
from uadbids.bids.foreign import read_tsv

text = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1)


def test_write_bytes_is_idempotent_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b.txt"
    write_bytes(target, b"one")
    first = target.stat()
    write_bytes(target, b"one")
    assert (target.stat().st_ino, target.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    write_bytes(target, b"two")
    assert target.read_bytes() == b"two"
    assert list(target.parent.iterdir()) == [target]


def test_readers_see_one_version_or_the_other(tmp_path: Path) -> None:
    target = tmp_path / "table.tsv"
    versions = [bytes([65 + n]) * 50_000 for n in range(4)]
    write_bytes(target, versions[0])
    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(write_bytes, target, v) for v in versions * 10]
        seen = {target.read_bytes() for _ in range(200)}
        for write in writes:
            write.result()
    assert seen <= set(versions)
    assert list(tmp_path.iterdir()) == [target]


@given(st.lists(st.fixed_dictionaries({"a": text, "b": text})))
def test_tables_round_trip(rows: list[dict[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.tsv"
        path.write_bytes(tsv_bytes(["a", "b"], rows))
        assert read_tsv(path) == rows


def test_missing_values_and_files(tmp_path: Path) -> None:
    rows = [{"a": None, "b": float("nan"), "c": 0.1 + 0.2, "d": 0}]
    assert tsv_bytes(["a", "b", "c", "d", "e"], rows).splitlines()[1] == b"n/a\tn/a\t0.3\t0\tn/a"
    assert read_tsv(tmp_path / "absent.tsv") == []
    assert read_json(tmp_path / "absent.json") is None
    (tmp_path / "bad.json").write_text("{")
    assert read_json(tmp_path / "bad.json") is None


def test_table_in_another_encoding_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_bytes("participant_id\tcity\nsub-01\tKöln\n".encode("latin-1"))
    assert read_tsv(tmp_path / "t.tsv")[0]["participant_id"] == "sub-01"


def test_what_a_killed_process_left_is_swept_but_not_what_is_being_written(tmp_path: Path) -> None:
    target = tmp_path / "sub-01_FLAIR.json"
    abandoned, fresh = temporary_name(target), temporary_name(target)
    other = tmp_path / ".0123456789ab_sub-02_FLAIR.json"
    for path in (abandoned, fresh, other):
        path.write_bytes(b"half")
    long_ago = time.time() - ABANDONED_SECONDS - 1
    for path in (abandoned, other):
        os.utime(path, (long_ago, long_ago))
    replace_together({target: b"whole"}, last=target)
    assert target.read_bytes() == b"whole"
    assert not abandoned.exists()
    assert fresh.exists()
    assert other.exists()
