"""What of a brain mask lies outside the template's brain is not examined."""

import ants
import nibabel as nib
import numpy as np
from scipy import ndimage

from uadbids.pipeline.detect import inside_template
from uadbids.pipeline.records import Preprocessed
from uadbids.preproc.template import OUTSIDE_MM, Template
from uadbids.qc.facts import Facts


def test_a_mask_that_leaks_is_examined_near_the_template_alone(tmp_path):
    template, identity = Template.packaged(), tmp_path / "identity.txt"
    unmoved = ants.create_ants_transform(transform_type="AffineTransform", dimension=3)
    ants.write_transform(unmoved, str(identity))
    scan = Preprocessed(
        *[template.t1w] * 3, identity, identity, template.t1w, template.brain_mask, Facts()
    )
    brain = np.asarray(nib.load(template.brain_mask).dataobj) > 0
    leaking = ndimage.binary_dilation(brain, iterations=9)
    inside, distance = inside_template(scan, leaking), ndimage.distance_transform_edt(~brain)
    np.testing.assert_array_equal(inside, leaking & (distance <= OUTSIDE_MM))
