"""Whatever a bundle's files hold: it is read, or refused with a sentence; nothing is executed."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from uadbids.detection.threshold import choose_threshold
from uadbids.errors import BundleError, UsageError
from uadbids.model.bundle import CARD_FILE, WEIGHTS_FILE, find_bundle, load_bundle, read_card
from uadbids.model.calibration import Calibration
from uadbids.preproc.config import PreprocConfig

junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["../../x", "/etc/passwd", "$(id)", "{{ 7 * 7 }}", 1e308, -1, 2**70]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
quiet = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(find_bundle("spatial2d"), tmp_path / "bundle"))


def use_card(folder):
    """Read a card as a run does, as far as it goes without the weights."""
    card = read_card(folder)
    try:
        PreprocConfig.from_dict(card.preproc)
        choose_threshold(Calibration.from_dict(card.calibration), card.detection)
    except UsageError:
        pass
    return card


def places(value, path=()):
    """Every place in nested JSON."""
    items = value.items() if isinstance(value, dict) else []
    return [path, *(inner for key, item in items for inner in places(item, (*path, key)))]


@quiet
@given(st.data())
def test_any_value_in_a_card_is_taken_or_refused(folder, data):
    source = find_bundle("spatial2d") / CARD_FILE
    card = json.loads(source.read_text())
    *way, last = data.draw(st.sampled_from(places(card)[1:]))
    inner = card
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(junk)
    (folder / CARD_FILE).write_text(json.dumps(card))
    with contextlib.suppress(BundleError):
        use_card(folder)


@pytest.mark.parametrize("key", PreprocConfig().to_dict())
@pytest.mark.parametrize("value", [None, 3j, -1, "x", [], {}, ["x"], float("inf")])
def test_preprocessing_that_cannot_be_is_refused(key, value):
    with pytest.raises(BundleError, match="not valid"):
        PreprocConfig.from_dict({**PreprocConfig().to_dict(), key: value})


@quiet
@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_bytes_in_a_card_are_taken_or_refused(folder, content, place):
    text = (find_bundle("spatial2d") / CARD_FILE).read_bytes()
    (folder / CARD_FILE).write_bytes(text[:place] + content + text[place + len(content) :])
    with contextlib.suppress(BundleError):
        use_card(folder)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=50), st.integers(0, 2000))
def test_weights_that_are_not_the_cards_are_refused(folder, content, place):
    whole = (find_bundle("spatial2d") / WEIGHTS_FILE).read_bytes()
    changed = whole[:place] + content + whole[place + len(content) :]
    (folder / WEIGHTS_FILE).write_bytes(changed if changed != whole else whole[:-1])
    with pytest.raises(BundleError, match="not those of their card"):
        load_bundle(folder, device="cpu")


def test_weights_that_are_a_pickle_are_refused_unread(folder):
    import hashlib
    import pickle

    class Bad:
        def __reduce__(self):
            return (Path.touch, (folder / "executed",))

    content = pickle.dumps(Bad())
    (folder / WEIGHTS_FILE).write_bytes(content)
    card = json.loads((folder / CARD_FILE).read_text())
    card["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / CARD_FILE).write_text(json.dumps(card))
    with pytest.raises(BundleError, match="not a safetensors file"):
        load_bundle(folder, device="cpu")
    assert not (folder / "executed").exists()
