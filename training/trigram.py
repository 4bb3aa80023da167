"""The model to beat: a trigram of the same tokens with interpolated Kneser-Ney smoothing."""

import numpy


class Level:
    """Discounted counts of one n-gram order: how often each token followed each context."""

    def __init__(self, grams: numpy.ndarray, counts: numpy.ndarray, vocabulary: int) -> None:
        self.grams = grams
        self.counts = counts
        contexts = grams // vocabulary
        self.contexts, first = numpy.unique(contexts, return_index=True)
        self.totals = numpy.add.reduceat(counts, first)
        self.kinds = numpy.diff(numpy.append(first, len(grams)))
        ones, twos = (counts == 1).sum(), (counts == 2).sum()
        self.discount = ones / (ones + 2 * twos)

    def probability(self, grams: numpy.ndarray, lower: numpy.ndarray, vocabulary: int) -> numpy.ndarray:
        """Return the probabilities of n-grams, given those of their last tokens after a shorter context."""
        count = lookup(self.grams, self.counts, grams)
        total = lookup(self.contexts, self.totals, grams // vocabulary)
        kinds = lookup(self.contexts, self.kinds, grams // vocabulary)
        seen = numpy.maximum(total, 1)
        backed_off = numpy.maximum(count - self.discount, 0) / seen + self.discount * kinds / seen * lower
        return numpy.where(total > 0, backed_off, lower)


def lookup(keys: numpy.ndarray, values: numpy.ndarray, wanted: numpy.ndarray) -> numpy.ndarray:
    """Return the values under the wanted keys, zero where a key is missing; `keys` are sorted."""
    places = numpy.minimum(numpy.searchsorted(keys, wanted), len(keys) - 1)
    return numpy.where(keys[places] == wanted, values[places], 0)


def trigrams(stories: list[list[int]], end: int, vocabulary: int) -> numpy.ndarray:
    """Return every token with the two before it as one number; a story follows two end-of-text tokens."""
    found = []
    for story in stories:
        tokens = numpy.array([end, end, *story], dtype=numpy.int64)
        found.append((tokens[:-2] * vocabulary + tokens[1:-1]) * vocabulary + tokens[2:])
    return numpy.concatenate(found)


class TrigramModel:
    """Interpolated Kneser-Ney; lower orders count in how many different contexts a token occurs."""

    def __init__(self, stories: list[list[int]], end: int, vocabulary: int) -> None:
        self.end = end
        self.vocabulary = vocabulary
        grams, counts = numpy.unique(trigrams(stories, end, vocabulary), return_counts=True)
        self.third = Level(grams, counts, vocabulary)
        grams, counts = numpy.unique(grams % vocabulary**2, return_counts=True)
        self.second = Level(grams, counts, vocabulary)
        grams, counts = numpy.unique(grams % vocabulary, return_counts=True)
        self.first = Level(grams, counts, vocabulary)

    def bits(self, stories: list[list[int]]) -> float:
        """Return the number of bits the model needs for stories."""
        grams = trigrams(stories, self.end, self.vocabulary)
        single = self.first.probability(grams % self.vocabulary, numpy.array(1 / self.vocabulary), self.vocabulary)
        double = self.second.probability(grams % self.vocabulary**2, single, self.vocabulary)
        triple = self.third.probability(grams, double, self.vocabulary)
        return float(-numpy.log2(triple).sum())
