"""FID and Inception Score of whole sets of pictures, which come one by one."""

from dataclasses import dataclass

import numpy as np

from src.metrics.fid import Moments, frechet_distance
from src.metrics.inception_input import PREPARATIONS
from src.metrics.inception_score import InceptionScore

_TOGETHER = 8  # pictures that the network looks at in one pass


@dataclass(frozen=True)
class SetScores:
    """The scores of a set; None where there is no such score.

    Attributes:
        fid: Fréchet Inception Distance to the reference, from 0, less is better.
        is_mean: Inception Score from 1, the mean over ten parts; None with fewer than ten pictures.
        is_std: its standard deviation over the parts.
    """

    fid: float | None = None
    is_mean: float | None = None
    is_std: float | None = None


class PictureSet:
    """One set.

    Args:
        inception: :class:`src.metrics.inception.Inception`, or another function of prepared pictures.
        form: a name in :data:`src.metrics.inception_input.PREPARATIONS`.
        count: how many pictures there will be; None where no Inception Score is wanted.
    """

    def __init__(self, inception, form, count=None):
        self._inception = inception
        self._prepare = PREPARATIONS[form]
        self._moments = Moments()
        self._score = None if count is None else InceptionScore(count)
        self._waiting = []

    def add(self, picture):
        """Take one uint8 (H, W, 3) RGB picture."""
        self._waiting.append(self._prepare(picture))
        if len(self._waiting) == _TOGETHER:
            self._look()

    def gaussian(self):
        """Return the :class:`src.metrics.fid.Gaussian` of the features of all pictures so far.

        Raises:
            UserError: there are fewer than two.
        """
        self._look()
        return self._moments.gaussian()

    def inception_score(self):
        """Return the mean and the standard deviation, when all pictures have come; see ``InceptionScore``."""
        self._look()
        return self._score.result()

    def _look(self):
        if self._waiting:
            features, logits = self._inception(np.stack(self._waiting))
            self._moments.add(features)
            if self._score:
                self._score.add(logits)
            self._waiting = []


class SetComparison:
    """The sets that several methods made, against one reference.

    Args:
        inception, form: as in :class:`PictureSet`.
        count: how many pictures each method makes.
        reference: a :class:`src.metrics.fid.Gaussian`; None takes the pictures of :meth:`add_reference`.

    Attributes:
        form: as given.
    """

    def __init__(self, inception, form, count, reference=None):
        self.form = form
        self._new_set = lambda: PictureSet(inception, form, count)
        self._given = reference
        self._reference = self._new_set() if reference is None else None
        self._sets = {}

    def add_reference(self, picture):
        """Take a picture of the reference, uint8 (H, W, 3) RGB; without effect where a Gaussian was given."""
        if self._reference:
            self._reference.add(picture)

    def add(self, method, picture):
        """Take a picture that a method made, uint8 (H, W, 3) RGB."""
        if method not in self._sets:
            self._sets[method] = self._new_set()
        self._sets[method].add(picture)

    def reference(self):
        """Return the reference's :class:`src.metrics.fid.Gaussian`."""
        if self._given is None:
            self._given = self._reference.gaussian()
        return self._given

    def scores(self):
        """Return {method: :class:`SetScores`}.

        Raises:
            UserError: a set has fewer than two pictures, or the reference has other features.
        """
        return {
            method: SetScores(frechet_distance(self.reference(), made.gaussian()), *made.inception_score())
            for method, made in self._sets.items()
        }

    def reference_score(self):
        """Return the reference's own Inception Score as :class:`SetScores`; None where a Gaussian was given."""
        return SetScores(None, *self._reference.inception_score()) if self._reference else None
