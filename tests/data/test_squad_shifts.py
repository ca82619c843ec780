import json

import pytest

from mixlingual.config.schema import EvaluationConfig
from mixlingual.data.benchmarks.squad_shifts import FILES
from mixlingual.data.registry import load_benchmark
from mixlingual.records import DataError


def write(root, name, ids):
    """Two paragraphs; the questions of the first are asked about it."""
    (root / "squadshifts").mkdir(exist_ok=True)
    qas = [{"id": i, "question": f"{name} {i}?", "answers": [{"answer_start": 0, "text": "x"}]} for i in ids]
    paragraphs = [{"context": f"{name} answers", "qas": qas}, {"context": f"{name} does not", "qas": []}]
    content = {"data": [{"title": name, "paragraphs": paragraphs}], "version": "1.0"}
    (root / "squadshifts" / f"{name}_v1.0.json").write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path):
    for name in FILES:
        write(tmp_path, name, ["a", "b"])
    return tmp_path


def load(root, **options):
    return load_benchmark("squad_shifts", EvaluationConfig(root=root and str(root), **options))


def test_a_question_is_answered_by_its_paragraph(root):
    found = load(root)
    assert (found.languages, found.size.queries, found.size.candidates, found.unit) == (("en",), 8, 8, "paragraph")
    for query in found.queries:
        name = query.id.partition("/")[0]
        assert found.candidates[found.gold[query.id, "en"]].text == f"{name} answers"
    before = found.fingerprint
    write(root, "nyt", ["a", "c"])
    assert load(root).fingerprint != before


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda root: write(root, "nyt", ["a", "a"]), "question id a occurs twice"),
        (lambda root: (root / "squadshifts/nyt_v1.0.json").unlink(), "matches no file"),
        (lambda root: (root / "squadshifts/nyt_v1.0.json").write_text("[]"), "is not SQuAD's JSON"),
        (lambda root: (root / "squadshifts/nyt_v1.0.json").write_text("{"), "is not SQuAD's JSON"),
    ],
)
def test_what_is_wrong_is_named(root, act, said):
    act(root)
    with pytest.raises(DataError, match=said):
        load(root)


def test_it_says_where_the_files_are_and_what_languages_it_has(root):
    with pytest.raises(DataError, match=r"needs evaluation\.root=FOLDER with .*/amazon_v1\.0\.json"):
        load(None)
    with pytest.raises(DataError, match="squad_shifts has no language de"):
        load(root, languages=["de"])
