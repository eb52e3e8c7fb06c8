import json

import pytest

from uadbids.errors import BundleError
from uadbids.preproc.config import PreprocConfig


def test_a_config_survives_a_card():
    config = PreprocConfig(n4_iterations=(20, 10), intensity="percentile")
    assert PreprocConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_settings_that_are_missing_or_unknown_are_refused_by_name():
    values = PreprocConfig().to_dict()
    del values["intensity"]
    values["denoise"] = True
    with pytest.raises(BundleError, match=r"settings that differ: denoise, intensity"):
        PreprocConfig.from_dict(values)
