import math

import pytest
from run_folder import result_of, write_json, write_status

from mixlingual.layout import VALIDATION
from mixlingual.runs.result import read_run
from mixlingual.runs.state import state_of
from mixlingual.runs.validation import read_points


def test_the_newest_validation_is_part_of_how_a_run_stands(tmp_path):
    write_status(tmp_path, "started")
    assert state_of(tmp_path).validated is None
    (tmp_path / VALIDATION).write_text("step,pairs,seconds,value,s/loss\n0,0,1.5,0.25,4.0\n5,40,1.5,0.5,nan\n")
    first, last = read_points(tmp_path)
    assert first == {"step": 0, "pairs": 0, "seconds": 1.5, "value": 0.25, "s/loss": 4.0}
    assert math.isnan(last["s/loss"])
    assert state_of(tmp_path).validated["value"] == 0.5


@pytest.mark.parametrize(
    "content",
    [None, b"", b"step,pairs\n1,2\n", b"step,pairs,value\n1,2,x\n", b"\xff", b"step,pairs,value\n1,2,nan\n1\n"],
)
def test_a_file_that_is_none_gives_no_points(tmp_path, content):
    if content is not None:
        (tmp_path / VALIDATION).write_bytes(content)
    assert read_points(tmp_path) == []


@pytest.mark.parametrize(
    ("validation", "said"),
    [
        ([], "validation is no object"),
        ({"points": [{"step": 1, "pairs": "8", "value": 0.5}]}, "validation.points is no list of validations"),
        ({"points": {}}, "validation.points is no list of validations"),
        ({"points": [], "warnings": [1]}, "validation.warnings is no list of texts"),
    ],
)
def test_a_result_with_other_things_is_refused(tmp_path, validation, said):
    write_json(tmp_path / "result.json", result_of() | {"validation": validation})
    with pytest.raises(ValueError, match=said):
        read_run(tmp_path)
