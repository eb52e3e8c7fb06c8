"""Figures from NIfTI files: sides, proportions, file size, odd inputs."""

import base64
import io
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, ornt_transform
from numpy.typing import NDArray
from PIL import Image

from uadbids.errors import ScanError
from uadbids.reports.findings import TAG_STYLES
from uadbids.reports.mosaic import (
    Landmarks,
    draw_brain_mask,
    draw_detection,
    draw_reconstruction,
    draw_registration,
)
from uadbids.reports.scene import Placed, Scene
from uadbids.reports.slices import load_volume

SVG = "{http://www.w3.org/2000/svg}"
CYAN = "#00e5ff"


@dataclass(frozen=True)
class Drawn:
    """One panel as read back from an SVG, with what lies over it at the same place."""

    pixels: NDArray[np.uint8]
    width: float
    height: float
    texts: tuple[str, ...]
    outlines: tuple[NDArray[np.float64], ...]
    numbers: tuple[str, ...] = ()
    map: NDArray[np.uint8] | None = None


def read_panels(path: Path) -> list[Drawn]:
    root = ElementTree.parse(path).getroot()
    layers = {g.get("class"): {p.get("transform"): p for p in g} for g in root if g.get("class")}
    below = [group for group in root if "transform" in group.attrib]
    return [
        _read_panel(
            group, *(layers.get(name, {}).get(group.get("transform")) for name in ("over", "map"))
        )
        for group in below
    ]


def _read_panel(
    group: ElementTree.Element, over: ElementTree.Element | None, veil: ElementTree.Element | None
) -> Drawn:
    image = group.find(f"{SVG}image")
    assert image is not None
    lines = [
        points
        for line in (
            *group.iter(f"{SVG}path"),
            *(over.iter(f"{SVG}path") if over is not None else ()),
        )
        if line.attrib["stroke"] == CYAN
        for points in _points(line.attrib["d"])
    ]
    texts = [text.text or "" for text in over.iter(f"{SVG}text")] if over is not None else []
    return Drawn(
        _pixels(image),
        float(image.attrib["width"]),
        float(image.attrib["height"]),
        tuple(text.text or "" for text in group.iter(f"{SVG}text")),
        tuple(lines),
        tuple(text for text in texts if text),
        _pixels(veil.find(f"{SVG}image")) if veil is not None else None,
    )


def _pixels(image: ElementTree.Element) -> NDArray[np.uint8]:
    data = base64.b64decode(image.attrib["href"].split(",", 1)[1])
    picture = Image.open(io.BytesIO(data))
    return np.asarray(picture.convert("RGBA") if picture.mode == "P" else picture)


def _points(d: str) -> list[NDArray[np.float64]]:
    """Absolute points of every line of a path of relative steps."""
    lines = []
    for part in d.split("M")[1:]:
        numbers = np.array([float(n) for n in re.findall(r"-?[\d.]+", part)]).reshape(-1, 2)
        lines.append(np.cumsum(numbers, axis=0))
    return lines


def head(shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """Normalised squared radius of an ellipsoid that fills 0.8 of the field of view."""
    axes = [np.linspace(-1.25, 1.25, n) for n in shape]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    return np.asarray(x**2 + y**2 + z**2)


def save(array: NDArray[np.generic], affine: NDArray[np.float64], path: Path) -> Path:
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@dataclass(frozen=True)
class Case:
    flair: Path
    anomaly: Path
    lesions: Path
    brain: Path
    out: Path

    def scene(self, **options: object) -> Scene:
        return Scene.read(self.flair, self.lesions, brain_mask=self.brain, **options)


def landmarks(template: Path, mask: Path) -> Landmarks:
    """A template on the grid of the scan."""
    here = [Placed(load_volume(path), np.eye(4)) for path in (template, mask, mask)]
    return Landmarks(*here, here[0].volume.affine)


def make_case(
    folder: Path,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    *,
    lesion: tuple[slice, slice, slice] | None,
    tilt: float = 0.0,
    codes: str = "RAS",
) -> Case:
    radius = head(shape)
    brain = radius < 0.6
    rng = np.random.default_rng(0)
    flair = np.where(radius < 1, 60.0, 0.0) + np.where(brain, 60.0, 0.0) + rng.normal(0, 3, shape)
    lesions = np.zeros(shape, bool)
    if lesion is not None:
        lesions[lesion] = True
    flair[lesions] = 250
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(spacing)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) / 2)
    images = {
        "flair": flair.astype(np.float32),
        "anomaly": (0.4 * lesions).astype(np.float32),
        "lesions": lesions.astype(np.uint8),
        "brain": brain.astype(np.uint8),
    }
    change = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    paths = {}
    for name, data in images.items():
        image = nib.Nifti1Image(data, affine).as_reoriented(change)
        paths[name] = folder / f"{name}.nii.gz"
        nib.save(image, paths[name])
    return Case(**paths, out=folder / "figure.svg")


# A lesion in the patient's right, front, upper octant; index runs to R, A, S before reorientation.
RIGHT_FRONT_TOP = (slice(62, 68), slice(58, 64), slice(14, 16))


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "PIR", "ASR"])
def test_a_lesion_on_the_right_is_drawn_on_the_left_half_under_the_letter_r(
    tmp_path: Path, codes: str
) -> None:
    case = make_case(tmp_path, (96, 96, 24), (1, 1, 4), lesion=RIGHT_FRONT_TOP, codes=codes)
    draw_detection(case.scene(), case.anomaly, case.out)
    outlined = [p for p in read_panels(case.out) if p.outlines]
    axial = [p for p in outlined if any(t.startswith("z") for t in p.texts)]
    sagittal = [p for p in outlined if any(t.startswith("x") for t in p.texts)]
    coronal = [p for p in outlined if any(t.startswith("y") for t in p.texts)]
    assert len(axial) >= 2
    assert len(sagittal) == len(coronal) == 1
    for panel in axial + coronal:
        assert panel.texts[:2] == ("R", "L")
        assert all((line[:, 0] < panel.width / 2).all() for line in panel.outlines)
    for panel in axial:
        assert all((line[:, 1] < panel.height / 2).all() for line in panel.outlines)
    assert sagittal[0].texts[:2] == ("A", "P")
    assert (sagittal[0].outlines[0][:, 0] < sagittal[0].width / 2).all()
    assert (sagittal[0].outlines[0][:, 1] < sagittal[0].height / 2).all()


def test_the_pixels_agree_with_the_outline(tmp_path: Path) -> None:
    case = make_case(tmp_path, (96, 96, 24), (1, 1, 4), lesion=RIGHT_FRONT_TOP, codes="LPS")
    draw_detection(case.scene(), case.anomaly, case.out)
    outlined = [p for p in read_panels(case.out) if p.outlines]
    for panel in outlined:
        y, x = (places.mean() for places in np.nonzero(panel.map[..., 3] > 100))
        centre = panel.outlines[0].mean(axis=0)
        scale = panel.width / panel.map.shape[1], panel.height / panel.map.shape[0]
        assert np.allclose([x * scale[0], y * scale[1]], centre, atol=4)


@pytest.mark.parametrize(
    ("shape", "spacing", "tilt"),
    [
        ((360, 400, 36), (0.5, 0.5, 4.0), 0.0),
        ((160, 190, 160), (1.0, 1.0, 1.0), 0.0),
        ((200, 220, 40), (0.9, 0.9, 3.0), 0.4),
    ],
)
def test_proportions_and_size_on_disk(
    tmp_path: Path,
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    tilt: float,
) -> None:
    centre = tuple(slice(n // 2 - 2, n // 2 + 2) for n in shape)
    case = make_case(tmp_path, shape, spacing, lesion=centre, tilt=tilt)  # type: ignore[arg-type]
    draw_detection(case.scene(), case.anomaly, case.out)
    panels = read_panels(case.out)
    assert len(panels) == 3 + 8
    for panel in panels:
        rows, columns = panel.pixels.shape[:2]
        assert panel.width / columns == pytest.approx(panel.height / rows, rel=0.03)
    # The brain is 0.62 of the field of view along x, and 8 mm are added on each side.
    assert panels[-1].width == pytest.approx(0.62 * shape[0] * spacing[0] + 16, rel=0.03)
    outline = next(p for p in panels if p.outlines).outlines[0]
    assert np.ptp(outline[:, 0]) == pytest.approx(4 * spacing[0], abs=0.25)
    assert case.out.stat().st_size < 700_000


def test_every_lesion_is_shown_when_there_are_few(tmp_path: Path) -> None:
    case = make_case(tmp_path, (96, 96, 96), (1, 1, 1), lesion=None)
    image = nib.Nifti1Image.from_filename(case.lesions)
    lesions = np.zeros(image.shape, np.uint8)
    lesions[40:60, 40:60, 60:75] = 1
    lesions[30:32, 30:32, 30] = 2
    lesions[60:62, 60:62, 44] = 3
    save(lesions, image.affine, case.lesions)
    draw_detection(case.scene(), case.anomaly, case.out)
    sizes = {
        tuple(p.numbers): [np.ptp(line[:, 0]) for line in p.outlines]
        for p in read_panels(case.out)[3:]
    }
    assert sum(min(found, default=0) > 15 for found in sizes.values()) >= 1
    assert sizes[("2",)] and max(sizes[("2",)]) < 4 and max(sizes[("3",)]) < 4


@pytest.mark.parametrize("value", [0.0, 7.0, np.nan])
def test_constant_and_empty_images_are_drawn(tmp_path: Path, value: float) -> None:
    shape = (30, 30, 10)
    names = ("a", "b", "c", "d")
    flat = [
        save(np.full(shape, value, np.float32), np.eye(4), tmp_path / f"{n}.nii") for n in names
    ]
    empty = save(np.zeros(shape, np.uint8), np.eye(4), tmp_path / "empty.nii")
    full = save(np.ones(shape, np.uint8), np.eye(4), tmp_path / "full.nii")
    for mask in (empty, full):
        bare, masked = Scene.read(flat[0], mask), Scene.read(flat[0], mask, brain_mask=empty)
        for out in (
            draw_detection(bare, flat[1], tmp_path / "1.svg"),
            draw_detection(masked, flat[1], tmp_path / "2.svg"),
            draw_brain_mask(masked, tmp_path / "3.svg"),
            draw_registration(bare, landmarks(flat[0], mask), tmp_path / "4.svg"),
            draw_reconstruction(bare, flat[0], flat[1], flat[2], tmp_path / "5.svg"),
        ):
            assert read_panels(out)


def test_no_lesion_is_said_and_slices_spread_over_the_brain(tmp_path: Path) -> None:
    case = make_case(tmp_path, (80, 80, 80), (2, 2, 2), lesion=None)
    draw_detection(case.scene(), case.anomaly, case.out)
    text = case.out.read_text(encoding="utf-8")
    assert "nothing was found" in text
    labels = [panel.texts[2] for panel in read_panels(case.out)[3:]]
    heights = [int(label.split()[1].replace("−", "-")) for label in labels]
    assert heights == sorted(heights)
    assert heights[-1] - heights[0] > 60
    assert not any(p.outlines for p in read_panels(case.out))


def test_same_input_gives_the_same_bytes_and_no_leftovers(tmp_path: Path) -> None:
    case = make_case(
        tmp_path, (60, 60, 20), (2, 2, 5), lesion=(slice(30, 33),) * 2 + (slice(9, 11),)
    )
    before = set(tmp_path.iterdir())
    first = draw_detection(case.scene(), case.anomaly, case.out).read_bytes()
    assert draw_detection(case.scene(), case.anomaly, case.out).read_bytes() == first
    assert set(tmp_path.iterdir()) - before == {case.out}


def test_threshold_fixes_the_colours(tmp_path: Path) -> None:
    case = make_case(
        tmp_path, (60, 60, 20), (2, 2, 5), lesion=(slice(30, 36),) * 2 + (slice(9, 11),)
    )
    args = (case.scene(), case.anomaly, case.out)
    assert "0.6  anomaly" in draw_detection(*args, threshold=0.2).read_text(encoding="utf-8")
    assert "threshold 0.2" in case.out.read_text(encoding="utf-8")
    assert "0.4  anomaly" in draw_detection(*args).read_text(encoding="utf-8")
    assert "threshold" not in case.out.read_text(encoding="utf-8")


def test_reconstruction_shows_examined_slices_only(tmp_path: Path) -> None:
    case = make_case(tmp_path, (60, 60, 60), (2, 2, 2), lesion=None)
    seen = np.zeros((60, 60, 60), np.float32)
    seen[15:45, 15:45, 20:40] = 100
    affine = nib.Nifti1Image.from_filename(case.flair).affine
    healthy = save(seen, affine, tmp_path / "healthy.nii.gz")
    scene = case.scene(extent=slice(20, 40))
    draw_reconstruction(scene, case.flair, healthy, case.anomaly, case.out)
    panels = read_panels(case.out)
    heights = [p.texts[2] for p in panels]
    assert len(set(heights)) == 5, "in 40 mm, slices that are 6 mm apart"
    assert heights[:5] == heights[5:10] == heights[10:]


def test_a_shifted_brain_leaves_the_outline_of_the_template(tmp_path: Path) -> None:
    case = make_case(tmp_path, (80, 90, 80), (2, 2, 2), lesion=None)
    moved = np.roll(np.asarray(nib.Nifti1Image.from_filename(case.flair).dataobj), 10, axis=1)
    volume = save(
        moved.astype(np.float32),
        nib.Nifti1Image.from_filename(case.flair).affine,
        tmp_path / "moved.nii.gz",
    )
    scene = Scene.read(volume, case.lesions, brain_mask=case.brain)
    draw_registration(scene, landmarks(case.flair, case.brain), case.out)
    root = ElementTree.parse(case.out).getroot()
    below = next(group for group in root if "transform" in group.attrib)
    above = next(group for group in root if group.get("class") == "over")[0]
    template, scan = (_pixels(group.find(f"{SVG}image")) for group in (below, above))
    (outline, *_), (same, *_) = (group.findall(f"{SVG}path") for group in (below, above))
    assert outline.get("d") == same.get("d") and outline.get("stroke") == "#ffd21f"
    # Rolled to the front: the scan is bright above the outline's top, the template's rim is not.
    (line, *_) = _points(outline.get("d"))
    height = float(below.find(f"{SVG}image").get("height"))
    rows = [round(line[:, 1].min() / height * len(image)) - 3 for image in (template, scan)]
    one, other = (int(i[r, i.shape[1] // 2]) for i, r in zip((template, scan), rows, strict=True))
    assert other > one + 40


def test_the_midline_of_the_template_is_drawn_where_it_lies(tmp_path: Path) -> None:
    case = make_case(tmp_path, (80, 90, 80), (2, 2, 2), lesion=None)
    moved = landmarks(case.flair, case.brain)
    # The average brain lies 10 mm further to the patient's left than the scan.
    moved = moved._replace(to_average=moved.to_average + np.eye(4, k=3) * 10)
    draw_registration(case.scene(), moved, case.out)
    group = next(g for g in ElementTree.parse(case.out).getroot() if "transform" in g.attrib)
    width = float(group.find(f"{SVG}image").get("width"))
    (midline,) = (p for p in group.findall(f"{SVG}path") if p.get("stroke") == "#ffffff")
    (line,) = _points(midline.get("d"))
    assert line[:, 0] == pytest.approx(width / 2 + 10, abs=1.5)
    assert np.ptp(line[:, 1]) > 60


def test_findings_are_numbered_as_in_the_table_and_drawn_by_their_tag(tmp_path: Path) -> None:
    case = make_case(tmp_path, (96, 96, 96), (1, 1, 1), lesion=None)
    affine = nib.Nifti1Image.from_filename(case.lesions).affine
    labels = np.zeros((96, 96, 96), np.uint8)
    for number, x in ((1, 30), (2, 44), (3, 60)):
        labels[x : x + 8, 40:48, 40 : 52 - number] = number
    save(labels, affine, case.lesions)
    tags = ("likely", "likely-artefact", "check")
    rows = [{"index": n, "tag": tag} for n, tag in enumerate(tags, start=1)]
    draw_detection(case.scene(rows=rows), case.anomaly, case.out)
    numbers = {number for panel in read_panels(case.out) for number in panel.numbers}
    assert numbers == {"1", "2×", "3?"}
    paths = list(ElementTree.parse(case.out).getroot().iter(f"{SVG}path"))
    dashes = {
        p.get("stroke"): p.get("stroke-dasharray") for p in paths if p.get("stroke") != "#000"
    }
    drawn = {style.colour: bool(style.dash) for style in TAG_STYLES.values()}
    assert {colour: bool(dashes[colour]) for colour in drawn} == drawn
    assert len({dashes[colour] for colour in drawn}) == 3, "line style tells as much as colour"


def test_what_lies_over_a_figure_can_be_hidden_by_its_fragment(tmp_path: Path) -> None:
    """The same places under and over; the page shows the one or the other by ``#under``."""
    case = make_case(tmp_path, (96, 96, 24), (1, 1, 4), lesion=RIGHT_FRONT_TOP)
    draw_detection(case.scene(), case.anomaly, case.out)
    root = ElementTree.parse(case.out).getroot()
    order = [(child.get("id"), child.get("class")) for child in root if child.tag == f"{SVG}g"]
    assert order[-4:] == [("map", None), (None, "map"), ("under", None), (None, "over")]
    below = [child.get("transform") for child in root if child.get("transform")]
    for name in ("over", "map"):
        places = [group.get("transform") for group in root.find(f"{SVG}g[@class='{name}']")]
        assert places == below and len(set(places)) == len(places) == 3 + 5
    style = case.out.read_text(encoding="utf-8")
    assert "#under:target~.over{display:none}" in style
    assert ".map{display:none}#map:target~.map{display:inline}" in style


def test_grids_that_differ_are_refused(tmp_path: Path) -> None:
    case = make_case(tmp_path, (40, 40, 20), (2, 2, 5), lesion=None)
    shifted = np.eye(4)
    other = save(np.zeros((40, 40, 20), np.uint8), shifted, tmp_path / "other.nii.gz")
    with pytest.raises(ScanError, match=r"other\.nii\.gz.*grid"):
        Scene.read(case.flair, other)
    assert not case.out.exists()


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_unreadable_files_are_named(tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(content)
    with pytest.raises(ScanError, match=r"broken\.nii\.gz"):
        Scene.read(broken, broken)


@pytest.mark.parametrize("keep", [0.5, 0.9, 0.999])
def test_truncated_files_are_named(tmp_path: Path, keep: float) -> None:
    case = make_case(tmp_path, (40, 40, 20), (2, 2, 5), lesion=None)
    data = case.flair.read_bytes()
    case.flair.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(ScanError, match=r"flair\.nii\.gz"):
        case.scene()


def test_damaged_compression_is_named(tmp_path: Path) -> None:
    case = make_case(tmp_path, (40, 40, 20), (2, 2, 5), lesion=None)
    data = bytearray(case.flair.read_bytes())
    # Past the ten bytes of the gzip header: a block type that does not exist.
    start = data.index(0, 10) + 1 if data[3] else 10
    data[start] = 0xFF
    case.flair.write_bytes(bytes(data))
    with pytest.raises(ScanError, match=r"flair\.nii\.gz"):
        case.scene()


def test_several_volumes_in_one_file_are_refused(tmp_path: Path) -> None:
    several = save(np.zeros((8, 8, 8, 2), np.float32), np.eye(4), tmp_path / "several.nii")
    with pytest.raises(ScanError, match="one 3D volume"):
        Scene.read(several, several)
