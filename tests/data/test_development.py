"""Development sets are the same draw everywhere, keep every answer, and have nothing that is trained on."""

import dataclasses

import judged_folders
import numpy as np
import parallel_benchmark
import pytest
from training_fixture import corpus

from mixlingual.batches.pools import make_sampler
from mixlingual.config.schema import BatchingConfig, EvaluationConfig, ValidationConfig
from mixlingual.data.development import development_benchmarks, hold_out, part_of, what_is_shared
from mixlingual.data.registry import load_benchmark
from mixlingual.data.sources.atlas import atlas_corpus
from mixlingual.records import DataError, ParallelItem


def test_a_part_has_the_questions_in_all_their_languages_and_all_their_answers():
    whole, *_ = parallel_benchmark.made(0, questions=60, extra=200)
    part = part_of(whole, ValidationConfig(questions=20, candidates=30))
    asked = {query.id for query in part.queries}
    assert len(asked) == 20
    assert [query for query in whole.queries if query.id in asked] == list(part.queries)
    answers = {key: whole.candidates[place] for key, place in whole.gold.items() if key[0] in asked}
    assert {key: part.candidates[place] for key, place in part.gold.items()} == answers
    counts = [sum(c.language == code for c in part.candidates) for code in part.languages]
    available = [sum(c.language == code for c in whole.candidates) for code in part.languages]
    assert counts == [min(30, there) for there in available]
    assert not part.complete
    assert part.fingerprint != whole.fingerprint
    order = [whole.candidates.index(candidate) for candidate in part.candidates]
    assert order == sorted(order)


def test_a_part_does_not_depend_on_what_else_there_is():
    """So that parts of the benchmark in fewer languages hold the same questions."""
    whole, *_ = parallel_benchmark.made(0, questions=60)
    config = ValidationConfig(questions=20, candidates=None)
    fewer = dataclasses.replace(whole, queries=whole.queries[::-1])
    assert {q.id for q in part_of(fewer, config).queries} == {q.id for q in part_of(whole, config).queries}
    everything = part_of(whole, ValidationConfig(questions=None, candidates=None))
    assert (everything.queries, everything.candidates, everything.gold) == (
        whole.queries, whole.candidates, whole.gold,
    )  # fmt: skip
    answers_alone = part_of(whole, ValidationConfig(questions=20, candidates=1))
    assert {*answers_alone.gold.values()} <= {*range(len(answers_alone.candidates))}
    assert len(answers_alone.candidates) == len(set(answers_alone.gold.values()))


def test_a_part_of_judged_passages_keeps_those_that_are_judged(tmp_path):
    judged_folders.miracl(tmp_path)
    whole = load_benchmark("miracl", EvaluationConfig(root=str(tmp_path), languages=["sw"]))
    part = part_of(whole, ValidationConfig(questions=1, candidates=1))
    (task,) = part.tasks
    (query,) = task.queries
    assert set(task.qrels) == {query.id}
    kept = [passage.id for passage in task.corpus]
    assert set(task.qrels[query.id]) <= set(kept)
    assert kept == [passage.id for passage in whole.tasks[0].corpus if passage.id in kept]
    more = part_of(whole, ValidationConfig(questions=1, candidates=3))
    assert len(list(more.tasks[0].corpus)) == 3
    assert part.fingerprint != more.fingerprint != whole.fingerprint


def test_answers_are_not_looked_for_in_a_part_of_the_passages(tmp_path):
    judged_folders.mkqa(tmp_path)
    whole = load_benchmark("mkqa", EvaluationConfig(root=str(tmp_path)))
    with pytest.raises(DataError, match=r"mkqa looks for answers in any passage.*out of validation\.benchmarks"):
        part_of(whole, ValidationConfig())


def test_held_out_items_and_what_shares_a_text_with_them_are_never_drawn():
    """In the toy data passages are equal in pairs, and an item's hard negatives are texts of its own."""
    data = corpus(60)
    found = hold_out(data, 8, None)
    ids = {query.id for query in found.benchmark.queries}
    assert len(ids) == 8
    texts = {q.text for q in found.benchmark.queries} | {c.text for c in found.benchmark.candidates}
    untrained = set(found.untrained.tolist())
    assert {int(identity) for identity in ids} < untrained, "the twins of their passages are not trained on either"
    sampler = make_sampler(data, BatchingConfig(batch_size=8), seed=0, steps=50, without=found.untrained)
    drawn = {int(item) for step in range(50) for item in sampler.batch(step).item_B}
    assert drawn == set(range(60)) - untrained
    trained_on = {t for i in drawn for side in (data.items[i].query, data.items[i].passage) for t in side.values()}
    assert texts.isdisjoint(trained_on)
    assert len({c.text for c in found.benchmark.candidates}) == len(found.benchmark.candidates), "one answer each"


def test_negatives_of_others_are_not_held_out_passages():
    data = corpus(60)
    chosen = int(hold_out(data, 1, None).benchmark.queries[0].id)
    other = next(n for n in range(60) if n // 2 != chosen // 2)
    item = dataclasses.replace(data.items[other], negatives=(data.items[chosen].passage,))
    data = dataclasses.replace(data, items=(*data.items[:other], item, *data.items[other + 1 :]))
    assert other in hold_out(data, 1, None).untrained


def test_the_split_depends_on_ids_alone():
    data = atlas_corpus(["de", "en"])
    first = hold_out(data, 30, None)
    turned = dataclasses.replace(data, items=data.items[::-1])
    ids = [{query.id for query in one.benchmark.queries} for one in (first, hold_out(turned, 30, None))]
    assert ids[0] == ids[1]
    assert {q.id for q in hold_out(data, 10, None).benchmark.queries} < ids[0], "a smaller one is a part of it"
    german = hold_out(data, 30, ["de"])
    assert german.benchmark.languages == ("de",)
    np.testing.assert_array_equal(german.untrained, first.untrained)


def test_items_without_two_languages_are_not_chosen():
    data = corpus(20)
    alone = tuple(ParallelItem(f"x{n}", "s", {"aa": f"q{n}"}, {"aa": f"p{n}"}) for n in range(20))
    mixed = dataclasses.replace(data, items=data.items + alone)
    assert {query.id for query in hold_out(mixed, 10, None).benchmark.queries} <= {f"{n}" for n in range(20)}
    with pytest.raises(DataError, match=r"held_out=11, but toy has only 10 items .* in 2 of the languages aa, bb"):
        hold_out(mixed, 11, None)
    with pytest.raises(DataError, match=r"validation\.languages names zz, which the training data lack"):
        hold_out(data, 1, ["zz"])


def test_what_a_set_shares_is_counted():
    whole = load_benchmark("atlas", EvaluationConfig(languages=["de", "en"]))
    part = part_of(whole, ValidationConfig(questions=7, candidates=9))
    questions = len({query.text for query in part.queries})
    assert (
        what_is_shared(part, whole) == f"{questions} questions and {len({c.text for c in part.candidates})} candidates"
    )
    other = hold_out(atlas_corpus(["de", "en"]), 5, None).benchmark
    assert "questions" not in what_is_shared(other, whole)


def test_development_benchmarks_go_through_the_registry():
    config = ValidationConfig(every=1, benchmarks=["atlas", "atlas"], languages=["de", "en"], questions=5)
    (found,) = development_benchmarks(config, EvaluationConfig(benchmarks=[], languages=["th"]))
    assert (found.name, found.languages) == ("atlas", ("de", "en"))
    assert not development_benchmarks(dataclasses.replace(config, every=None), EvaluationConfig())
