import datetime
import json
import math

import pytest
from training_fixture import STEPS, prepare, train

from mixlingual.training import callbacks


@pytest.mark.parametrize(("seconds", "step"), [(0.0, STEPS), (math.inf, 5)])
def test_progress_is_told_with_the_points_of_the_curves_but_not_too_often(tmp_path, monkeypatch, seconds, step):
    monkeypatch.setattr(callbacks, "_TELL_SECONDS", seconds)
    encoder, data, _, config = prepare(log_every=5)
    started = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    train(tmp_path, encoder, data, config)
    told = json.loads((tmp_path / "progress.json").read_text())
    assert (told["phase"], told["step"], told["steps"]) == ("training", step, STEPS)
    assert told["seconds_left"] == pytest.approx((STEPS - step) * 8 / told["pairs_per_second"])
    assert datetime.datetime.fromisoformat(told["time"]) >= started
