"""Inception Score: how certain a classifier is of each picture, and how different pictures are.

Salimans et al., "Improved Techniques for Training GANs", arXiv 1606.03498, section 4.
"""

import numpy as np

SPLITS = 10
_SEED = 2020  # of the order in which torch-fidelity deals the pictures out


class InceptionScore:
    """exp(E KL(p(y|x) ‖ p(y))) of ten parts of a set, in constant memory; numbers as torch-fidelity's.

    The pictures are dealt out in its fixed random order. Within a part,
    E KL(p(y|x) ‖ p(y)) = E Σ p(y|x)·log p(y|x) − Σ p(y)·log p(y), so that two sums suffice.

    Args:
        count: how many pictures there will be.
        splits: the number of parts.
    """

    def __init__(self, count, splits=SPLITS):
        bounds = [part * count // splits for part in range(splits + 1)]
        sizes = np.diff(bounds)
        self._part_of = np.empty(count, int)
        self._part_of[np.random.RandomState(_SEED).permutation(count)] = np.repeat(np.arange(splits), sizes)
        self._sizes = sizes
        self._seen = 0
        self._probability, self._information = [0.0] * splits, [0.0] * splits

    def add(self, logits):
        """Take the next pictures' logits: (B, classes)."""
        logits = np.asarray(logits, np.float64)
        logits = logits - logits.max(1, keepdims=True)
        logarithm = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        for row in logarithm:
            part = self._part_of[self._seen]
            self._probability[part] += np.exp(row)
            self._information[part] += np.exp(row) @ row
            self._seen += 1

    def result(self):
        """Return the mean and the standard deviation over the parts; (None, None) with fewer pictures than parts."""
        if self._sizes.min() == 0:
            return None, None
        scores = []
        for size, probability, information in zip(self._sizes, self._probability, self._information, strict=True):
            marginal = probability / size
            certain = marginal[marginal > 0]
            scores.append(np.exp(information / size - certain @ np.log(certain)))
        return float(np.mean(scores)), float(np.std(scores))
