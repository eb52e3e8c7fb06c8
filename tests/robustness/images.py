"""Cases whose header, grid, voxels or content are odd."""

from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

from heads import Head, roughly_stripped, save, stripped, without_skull
from robustness.making import (
    Case,
    Write,
    claims,
    cut,
    fields,
    grid,
    spot,
    turn,
    values,
)
from uadbids.preproc.template import Template

UNLIKE = (
    "the brain fits the template no better than turned or mirrored (N): the header may be wrong, "
    "or this is no whole head; look at the alignment below"
)
UNLIKE_FLAIR = (
    "this does not look like a FLAIR (correlation with a T1-weighted brain N, ventricles to brain "
    "N; a FLAIR is unlike T1, and its ventricles are dark): check which sequence it is; if it is "
    "another one, discard this result"
)
VOLUME = (
    "the brain mask holds N mL, which is implausible for an adult: look at the brain mask below; "
    "if it is wrong, give one by --skull-strip mask"
)
CUT = (
    "the field of view cuts the brain off ({}): what lies beyond was not seen, and findings "
    "beside the cut may be false"
)
THICK = (
    "slices are N mm thick: lesions smaller than that may be missed, and borders are uncertain; "
    "use a 3D FLAIR where there is one"
)
GUESSED = "the header has neither sform nor qform: left and right, and the orientation, are guessed"
FORMS = "sform and qform place the image differently; the sform was used"
SINGULAR = (
    "FILE: the sform of the header is singular or out of reach; repair the header (for example "
    "copy the qform over the sform)"
)
SHEARED = "FILE: the sform shears the image; resample it to a straight grid first"
FEW = "FILE: {} voxels are too few for a brain (at least 8 along each axis are needed)"
MANY = (
    "FILE: 1024x1024x400 voxels are too many (at most 134,217,728 can be examined); resample the "
    "image to voxels of 0.5 mm or more"
)
ONE = (
    "FILE: the image has the shape {}; one 3D volume is needed. Split a series into files of its "
    "own"
)
GREY = "FILE: voxels of type {} are no grey values; give the magnitude image"
FLAT = "FILE: every voxel has the value {}; there is no image in it"
HOLES = "FILE: 1000 voxels inside the image are not finite numbers; convert the scan again"


def two_forms(path: Path, head: Head) -> Head:
    return save(path, head, qform=(turn(0, 0, 20) @ head.affine, 1))


def only(sform: int, qform: int) -> Write:
    def write(path: Path, head: Head) -> Head:
        # What the dead form holds must not matter.
        wrong = turn(0, 0, 90) @ head.affine
        return save(
            path,
            head,
            sform=(head.affine if sform else wrong, sform),
            qform=(head.affine if qform else wrong, qform),
        )

    return write


def no_codes(path: Path, head: Head) -> Head:
    """Both codes 0, voxels stored in the order that the standard then assumes."""
    head = head.reordered((0, 1, 2), (1, -1, 1))
    save(path, head, sform=(head.affine, 0), qform=(head.affine, 0))
    affine = nib.load(path).affine
    voxel = np.linalg.inv(head.affine) @ [*head.ball, 1]
    return Head(head.data, affine, (affine @ voxel)[:3])


def no_codes_wrong(path: Path, head: Head) -> None:
    save(path, head, sform=(head.affine, 0), qform=(head.affine, 0))


def sheared(path: Path, head: Head) -> None:
    shear = np.eye(4)
    shear[0, 1] = 0.2
    save(path, head, sform=(head.affine @ shear, 1))


def lies(*degrees: float) -> Write:
    """Let the header claim that a head which lies straight is turned."""

    def write(path: Path, head: Head) -> Head:
        return save(path, head.moved(turn(*degrees)))

    return write


def stored(dtype: type) -> Write:
    """Keep whole numbers up to 127, so that every type can hold them."""
    return values(lambda data: (data / 2).astype(dtype))


def scaled(path: Path, head: Head) -> Head:
    """int16 with a slope and an intercept."""
    return save(path, head, data=head.data * 0.013 - 1.5, dtype=np.int16)


def rgb(path: Path, head: Head) -> None:
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    grey = np.clip(head.data, 0, 255).astype(np.uint8)
    save(path, head, data=np.stack([grey] * 3, axis=-1).copy().view(kind)[..., 0])


def volumes(n: int, *, ball: bool) -> Write:
    def write(path: Path, head: Head) -> Head | None:
        save(path, head, data=np.stack([head.data] * n, axis=-1))
        return head if ball else None

    return write


def phantom(data: np.ndarray) -> np.ndarray:
    """A bottle of water: bright, even, with noise."""
    x, y = np.ogrid[: data.shape[0], : data.shape[1]]
    inside = np.hypot(x - data.shape[0] / 2, y - data.shape[1] / 2) < data.shape[0] / 3
    noise = np.random.default_rng(0).normal(0, 3, data.shape)
    return (np.where(inside[..., None], 100.0, 3.0) + noise).clip(0).astype(np.float32)


def noise(data: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).rayleigh(10, data.shape).astype(np.float32)


def two_heads(path: Path, head: Head) -> None:
    save(path, head, data=np.concatenate([head.data, head.data], axis=0))


def without_air(data: np.ndarray) -> np.ndarray:
    """NaN around the head; sinuses, which are air too, stay as they are."""
    head = ndimage.binary_fill_holes(data >= 5)
    return np.where(head, data, np.nan).astype(np.float32)


def as_t2w(data: np.ndarray) -> np.ndarray:
    """Turn the contrast over inside the head: fluid is brightest, as in a T2-weighted scan."""
    head = ndimage.binary_fill_holes(data > 12)
    return np.where(head, (180 - data).clip(1), data).astype(np.float32)


def t1w(path: Path, head: Head) -> None:
    """A T1-weighted brain, that of the template, as if it were the scan."""
    template = Template.packaged()
    stripped(path, Head(nib.load(template.t1w).get_fdata(), template.affine, head.ball))


EVERY = slice(None)
IMAGES = (
    # Headers.
    Case("plain", grid(lambda head: head), "run", what="nothing wrong"),
    Case("sform", only(1, 0), "run", what="sform alone (qform code 0)"),
    Case("qform", only(0, 1), "run", what="qform alone (sform code 0)"),
    Case("twoforms", two_forms, "run", FORMS, "sform and qform 20 degrees apart"),
    Case("nocodes", no_codes, "run", GUESSED, "both codes 0, in the order the standard assumes"),
    Case("nocodeswrong", no_codes_wrong, "run", f"{GUESSED} / {UNLIKE}",
         "both codes 0, in another order"),
    Case("lefthanded", grid(lambda h: h.reordered((0, 1, 2), (-1, 1, 1))), "run",
         what="left-handed axes"),
    Case("rotated", grid(lambda h: h.reordered((1, 2, 0), (1, -1, 1))), "run",
         what="axes turned by 90 degrees (sagittal)"),
    Case("oblique", grid(lambda h: h.moved(turn(14, -9, 11))), "run", what="oblique slices"),
    Case("upsidedown", lies(180, 0, 0), "run", UNLIKE, "header says the head is upside down"),
    Case("lying", lies(90, 0, 0), "run", UNLIKE, "header turned by 90 degrees"),
    Case("sheared", sheared, "refuse", SHEARED, "sform with shear"),
    Case("singular", fields(srow_x=[0] * 4, srow_y=[0] * 4, srow_z=[0] * 4), "refuse",
         SINGULAR, "sform of zeros"),
    Case("nanaffine", fields(srow_x=[np.nan] * 4), "refuse", SINGULAR, "sform that is no number"),
    Case("quaternion", fields(quatern_b=9.0), "run", what="qform that is no rotation"),
    # Grids.
    Case("tiny", grid(lambda h: cut(h, (slice(20, 110), slice(15, 115), EVERY)).zoomed((9, 9, 1))),
         "run", CUT.format("back"), "voxels of 0.2 x 0.2 x 3 mm"),
    Case("coarse", grid(lambda h: h.zoomed((0.225, 0.225, 0.375)), ball=False), "run", THICK,
         "voxels of 8 mm"),
    Case("thick", grid(lambda h: h.zoomed((1, 1, 0.5))), "run", THICK, "slices of 6 mm"),
    Case("threeslices", grid(lambda h: cut(h, (EVERY, EVERY, slice(20, 23)))), "refuse",
         FEW.format("128x128x3"), "3 slices"),
    Case("oneslice", grid(lambda h: cut(h, (EVERY, EVERY, slice(20, 21)))), "refuse",
         FEW.format("128x128x1"), "1 slice"),
    Case("cropped", grid(lambda h: cut(h, (EVERY, EVERY, slice(16, 44)))), "run",
         CUT.format("below"), "lower third not in the field of view"),
    Case("huge", claims, "refuse", MANY, "1024 x 1024 x 400 voxels"),
    Case("onevolume", volumes(1, ball=True), "run", what="4D with one volume"),
    Case("volumes", volumes(2, ball=False), "refuse", ONE.format("128x128x44x2"),
         "4D with two volumes"),
    # Voxels.
    Case("int8", stored(np.int8), "run", what="int8"),
    Case("float64", stored(np.float64), "run", what="float64"),
    Case("scaled", scaled, "run", what="int16 with slope and intercept, values below 0"),
    Case("complex", values(lambda d: d.astype(np.complex64), ball=False), "refuse",
         GREY.format("complex64"), "complex"),
    Case("rgb", rgb, "refuse", GREY.format("[('R', 'u1'), ('G', 'u1'), ('B', 'u1')]"), "RGB"),
    Case("nanoutside", values(without_air), "run",
         "N background voxels that were not numbers were set to the minimum",
         "NaN in the background"),
    Case("naninside", values(lambda d: spot(d, np.nan, 5), ball=False), "refuse", HOLES,
         "NaN in the head"),
    Case("infinside", values(lambda d: spot(d, np.inf, 5), ball=False), "refuse", HOLES,
         "infinite values in the head"),
    Case("zero", values(lambda d: d * 0, ball=False), "refuse", FLAT.format(0), "all zero"),
    Case("constant", values(lambda d: d * 0 + 7, ball=False), "refuse", FLAT.format(7),
         "all the same"),
    Case("negative", values(lambda d: d - 100), "run", what="values below 0"),
    # Contents.
    Case("stripped", roughly_stripped, "run", what="skull-stripped, and its sidecar says so"),
    Case("strippeduntold", values(without_skull), "run", what="skull-stripped, untold"),
    Case("t2w", values(as_t2w, ball=False), "run", UNLIKE_FLAIR,
         "contrast turned over, as in a T2-weighted scan"),
    Case("t1w", t1w, "run", UNLIKE_FLAIR, "a T1-weighted brain"),
    Case("phantom", values(phantom, ball=False), "run", UNLIKE, "phantom"),
    # What a network takes for a brain in noise has any volume.
    Case("noise", values(noise, ball=False), "run", UNLIKE, "noise"),
    Case("twoheads", two_heads, "run", f"{VOLUME} / {UNLIKE}", "two heads"),
)  # fmt: skip
