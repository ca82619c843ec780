"""Makes a small corpus with gaps, repeated texts and hard negatives, and a tokenizer of characters."""

from mixlingual.records import ParallelCorpus, ParallelItem, fingerprint

LANGUAGES = ("aa", "bb", "cc")


class Characters:
    """Gives one token a character, between 0 and 1; the limit and the prefix differ by side."""

    def __init__(self, prefix="", limit=30, vocabulary=60_000):
        self.prefix, self.limit, self.vocabulary = {"query": "", "passage": prefix}, limit, vocabulary

    def encode(self, texts, side):
        return [[0, *map(ord, (self.prefix[side] + text)[: self.limit]), 1] for text in texts]

    def identity(self):
        return f"{self.prefix}{self.limit}{self.vocabulary}"


def corpus_of(*items):
    """Makes items of (query, passage, negatives...), each a dict of language -> text."""
    made = tuple(ParallelItem(f"{i}", "s", item[0], item[1], tuple(item[2:])) for i, item in enumerate(items))
    return ParallelCorpus("toy", made, LANGUAGES, {"s": 1.0}, fingerprint(map(repr, made)))


def toy_corpus(size=40):
    """Repeats questions every 7 items and passages every 11; item i has i % 4 negatives, some of them passages."""

    def item(i):
        query = {x: f"{x} question {i % 7}" + " long" * (i % 3) for x in LANGUAGES}
        passage = {x: f"{x} passage {i % 11}" for x in LANGUAGES}
        negatives = [{x: f"{x} passage {(i + n) % 13}" for x in LANGUAGES[: 1 + (i + n) % 3]} for n in range(i % 4)]
        return query, passage, *negatives

    return corpus_of(*map(item, range(size)))
