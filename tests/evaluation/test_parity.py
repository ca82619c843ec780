"""Tokens of a language for each of English, counted over questions that both have."""

from mixlingual.evaluation.parity import token_parity
from mixlingual.records import Benchmark, Query


class Words:
    def counts(self, texts):
        return [len(text.split()) for text in texts]


def benchmark(**texts):
    """Language -> its questions by id."""
    asked = tuple(Query(key, code, text, "p") for code, own in texts.items() for key, text in own.items())
    return Benchmark("toy", tuple(texts), asked, (), {}, "f")


def test_tokens_are_compared_over_the_questions_that_both_languages_have():
    both = benchmark(en={"1": "a b", "2": "a b c d", "3": "a"}, de={"1": "a b c", "2": "a b c d e f", "4": "a b c d e"})
    assert token_parity(both, Words()) == {"en": 1.0, "de": 9 / 6}


def test_a_language_without_a_question_in_common_has_none_and_nor_has_a_benchmark_without_english():
    assert token_parity(benchmark(en={"1": "a"}, de={"2": "a b"}), Words()) == {"en": 1.0}
    assert token_parity(benchmark(de={"1": "a"}, fr={"1": "a b"}), Words()) == {}
