"""Plain functions from texts to arrays as what the evaluation calls for embeddings."""

from mixlingual.evaluation.encode import Embedded
from mixlingual.evaluation.judged import Encoded


def by_text(embed):
    """A function of texts as one of passages, none of which is cut."""
    return lambda passages: Embedded(embed([passage.text for passage in passages]), 0)


def source(embed):
    """A function of texts, side and label as a source of embeddings, none of which is cut."""
    return Encoded(lambda texts, side, label="training": Embedded(embed(texts, side, label), 0))
