"""Cases whose file, name or sidecar is odd."""

import gzip
import os
from pathlib import Path

from heads import Head, save
from robustness.making import Case, bomb, flip_bit, link, raw_bytes, values

DAMAGED = "FILE: the file ends before the image does, or is damaged (ERROR); copy it again"
NAME = "its name is not a BIDS name that agrees with its folder: rename the file"
UNREADABLE = "FILE: this is no readable NIfTI image (ERROR)"
GONE = "the file is a link to content that is not here: fetch it (datalad get, git annex)"
MORE = "FILE: the file holds more than the image that its header describes; convert the scan again"
PRIVATE = "you are not permitted to read the file: ask its owner"


def unpacked(path: Path, head: Head) -> Head:
    packed = path.with_name(path.name + ".gz")
    save(packed, head)
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    return head


def twin(path: Path, head: Head) -> None:
    """Two files of one name; the other, which is taken, is empty and refused for that."""
    save(path, head)
    path.with_name(path.name.removesuffix(".gz")).touch()


def pipe(path: Path, head: Head) -> None:
    os.mkfifo(path)


def bad_sidecar(path: Path, head: Head) -> None:
    save(path, head)
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text('{"EchoTime": 0.1')


def unread(path: Path, head: Head) -> None:
    """A file that is judged by its name alone."""
    path.touch()


def private(path: Path, head: Head) -> None:
    save(path, head)
    path.chmod(0)


FILES = (
    # Files.
    Case("unpacked", unpacked, "run", what="`.nii`", file="sub-unpacked_FLAIR.nii"),
    Case("truncated", raw_bytes(lambda c: c[: len(c) // 2]), "refuse", DAMAGED, "truncated"),
    Case("flipped", raw_bytes(flip_bit), "refuse", DAMAGED, "one bit flipped"),
    Case("bomb", raw_bytes(bomb), "refuse", MORE, "gzip bomb"),
    Case("empty", raw_bytes(lambda c: b""), "refuse", UNREADABLE, "zero bytes"),
    Case("text", raw_bytes(lambda c: b"no image\n" * 99), "refuse", UNREADABLE, "text"),
    Case("linkout", link(None), "run", what="link out of the dataset"),
    Case("linkloop", link("loop"), "refuse", GONE, "link to itself"),
    Case("linkbroken", link("gone.nii.gz"), "refuse", GONE, "broken link"),
    Case("pipe", pipe, "refuse", "it is no file: put the image in its place", "a named pipe"),
    Case("private", private, "refuse", PRIVATE, "a file that the user may not read"),
    # Names and sidecars.
    Case("badname", values(lambda d: d, ball=False), "refuse", NAME, "name with a blank",
         "sub-badname_acq-a b_FLAIR.nii.gz"),
    Case("foreign", values(lambda d: d, ball=False), "refuse", NAME, "another participant's name",
         "sub-other_FLAIR.nii.gz"),
    Case("ünï", values(lambda d: d, ball=False), "refuse", NAME, "label outside ASCII"),
    Case("<script>alert(1)<", values(lambda d: d, ball=False), "refuse", NAME, "label with HTML"),
    Case("upper", unread, "refuse", NAME, "`_FLAIR.NII.GZ`", "sub-upper_FLAIR.NII.GZ"),
    Case("lower", unread, "refuse", NAME, "`_flair.nii.gz`", "sub-lower_flair.nii.gz"),
    Case("part", values(lambda d: d, ball=False), "skip",
         "it is the phase part of a complex image, not its magnitude", "phase image",
         "sub-part_part-phase_FLAIR.nii.gz"),
    Case("twin", twin, "refuse", "sub-twin_FLAIR.nii has the same entities: keep one of the two",
         "the same scan as `.nii` and `.nii.gz`"),
    Case("sidecar", bad_sidecar, "refuse",
         "its sidecar sub-sidecar_FLAIR.json cannot be read as JSON (ERROR)",
         "malformed JSON sidecar"),
)  # fmt: skip
