"""The label description that ITK-SNAP loads."""

from uadbids.bids.labels import TAG_COLOURS, label_description


def test_each_finding_has_a_line_with_its_colour_and_name():
    row = {"index": 2, "name": "finding-2", "tag": "check", "location": "left insula"}
    text = label_description([{**row, "color": TAG_COLOURS["check"]}]).decode()
    clear, line = text.splitlines()[-2:]
    assert clear.split()[:8] == ["0", "0", "0", "0", "0", "0", "0", '"Clear']
    assert line.split()[:7] == ["2", "255", "210", "31", "1", "1", "1"]
    assert line.endswith('"finding-2, check, left insula"')
    assert "Clear Label" in label_description([]).decode()
