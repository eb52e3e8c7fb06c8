"""What the reader sees."""

import numpy as np
import pytest
import torch

from small_reader import SEEN, SHAPE, scan
from uadbids.detection import hyperintensity
from uadbids.model.reader_inputs import reader_inputs, tissue_level

NORMAL = torch.full(SHAPE, 2.0)


def volume_and_brain():
    volume, brain, _ = scan()
    return volume / 255, brain


def test_the_level_of_tissue_is_that_of_the_other_maps():
    volume, brain = volume_and_brain()
    found = [float(value) for value in tissue_level(volume, brain)]
    expected = hyperintensity.tissue_level(volume.numpy(), brain.numpy())
    assert found == pytest.approx(expected, rel=0.02)
    assert np.isclose(found[0], expected[0], rtol=1e-3)


def test_inputs_are_in_their_units_and_limits():
    volume, brain = volume_and_brain()
    volume[24, 24, 26] = 1.0
    inputs = reader_inputs(volume, brain, volume[SEEN] - 0.01, SEEN, NORMAL)
    z, residual, seen, normal = inputs
    assert z[~brain].eq(-2).all() and z[24, 24, 26] == 3.0
    assert z[brain].median().abs() < 0.02
    spread = float(tissue_level(volume, brain)[1])
    inside = seen > 0
    assert residual[inside].numpy() == pytest.approx(0.01 / spread / 4, rel=1e-3)
    assert residual[~inside].eq(0).all() and not inside[..., :8].any()
    assert torch.equal(inside[SEEN], brain[SEEN])
    assert normal.eq(0.5).all()


def test_without_a_reconstruction_nothing_is_said_of_it():
    volume, brain = volume_and_brain()
    inputs = reader_inputs(volume, brain, None, SEEN, NORMAL)
    assert inputs[1:3].eq(0).all()


def test_an_empty_brain_gives_numbers_too():
    inputs = reader_inputs(torch.zeros(SHAPE), torch.zeros(SHAPE).bool(), None, SEEN, NORMAL)
    assert torch.isfinite(inputs).all()
