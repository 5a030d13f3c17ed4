"""FID and Inception Score of sets of pictures that come one by one."""

from dataclasses import dataclass

import numpy as np

from src.metrics.fid import InceptionScore, Moments, frechet_distance

SIDE = 299  # pixels of the pictures that Inception looks at
FEATURES = 2048  # that it sees in them: the dimensions of the covariance
_TOGETHER = 8  # pictures that it looks at in one pass


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


class SetComparison:
    """The sets that several methods made, against one reference.

    Args:
        inception, form: as in :class:`PictureSet`.
        count: how many pictures each method makes.
        reference: a :class:`src.metrics.fid.Gaussian`; None takes the pictures of :meth:`add_reference`.
    """

    def __init__(self, inception, form, count, reference=None):
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
        """Return {method: :class:`SetScores`}; UserError for a set of fewer than two pictures, or other features."""
        return {
            method: SetScores(frechet_distance(self.reference(), made.gaussian()), *made.inception_score())
            for method, made in self._sets.items()
        }

    def reference_score(self):
        """Return the reference's own Inception Score as :class:`SetScores`; None where a Gaussian was given."""
        return SetScores(None, *self._reference.inception_score()) if self._reference else None


class PictureSet:
    """One set.

    Args:
        inception: :class:`src.metrics.inception.Inception`, or another function of prepared pictures.
        form: who prepares pictures so, a name in :data:`PREPARATIONS`.
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
        """Return the :class:`src.metrics.fid.Gaussian` of the features; UserError with fewer than two pictures."""
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


def as_pytorch_fid(picture):
    """Return a uint8 (H, W, 3) RGB picture as pytorch-fid prepares it, float32 (3, 299, 299).

    Pixels' centres are aligned, 0…255 becomes −1…1.
    """
    rows, columns = (np.maximum((np.arange(SIDE) + 0.5) * n / SIDE - 0.5, 0) for n in picture.shape[:2])
    return _interpolated(picture, rows, columns) / np.float32(127.5) - 1


def as_torch_fidelity(picture):
    """Return a picture as torch-fidelity prepares it, and TensorFlow 1 for the first FIDs: (v − 128)/128.

    The centres of the first pixels are aligned, the last pixels lie further in: pixel i at i·n/299.
    """
    rows, columns = (np.arange(SIDE) * n / SIDE for n in picture.shape[:2])
    return (_interpolated(picture, rows, columns) - 128) / np.float32(128)


PREPARATIONS = {"pytorch-fid": as_pytorch_fid, "torch-fidelity": as_torch_fidelity}


def _interpolated(picture, rows, columns):
    """Return the picture at rows × columns, which are positions counted in pixels, as float32 (3, rows, columns)."""
    (top, bottom, down), (left, right, across) = (
        _neighbours(positions, n) for positions, n in zip((rows, columns), picture.shape, strict=False)
    )
    above, below = picture[top].astype(np.float32), picture[bottom].astype(np.float32)
    lines = above + (below - above) * down[:, None, None]
    before, behind = lines[:, left], lines[:, right]
    result = before + (behind - before) * across[:, None]
    return np.ascontiguousarray(result.transpose(2, 0, 1))


def _neighbours(positions, count):
    """Return for each position the pixel before it, the one after it, and the float32 share of the latter."""
    before = np.floor(positions).astype(int)
    return before, np.minimum(before + 1, count - 1), (positions - before).astype(np.float32)
