"""Repeated ids against a set of all, whatever the passes and the hashes."""

import numpy as np
import pytest

from mixlingual.evaluation import duplicates
from mixlingual.evaluation.duplicates import repeated_id


def arrays(names, cuts):
    """Arrays as wide as their longest id each."""
    return [np.array(part) for part in np.split(np.array(names, dtype=object), cuts) for part in [part.astype("S")]]


@pytest.mark.parametrize("range_ids", [1, 7, 1000])
def test_one_repetition_is_found_wherever_it_is(range_ids):
    rng = np.random.default_rng(0)
    for _ in range(30):
        names = [str(n).encode() for n in rng.permutation(10**6)[:60]]
        assert repeated_id(arrays(names, [5, 30]), range_ids) is None
        twice, place = rng.choice(60, 2, replace=False)
        names[place] = names[twice]
        assert repeated_id(arrays(names, [5, 30]), range_ids) == names[twice].decode()


def test_equal_hashes_of_different_ids_are_no_repetition(monkeypatch):
    monkeypatch.setattr(duplicates, "_hashes", lambda id_N: np.full(len(id_N), 5, np.uint64))
    assert repeated_id(arrays([b"a", b"b", b"c"], [1])) is None
    assert repeated_id(arrays([b"a", b"b", b"c", b"b"], [2])) == "b"


def test_hashes_do_not_depend_on_the_width_of_the_array_and_tell_ids_apart():
    names = [f"{n}#{m}".encode() for n in range(500) for m in range(20)]
    wide = duplicates._hashes(np.array(names, dtype="S40"))
    np.testing.assert_array_equal(wide, duplicates._hashes(np.array(names)))
    assert len(np.unique(wide)) == len(names)
