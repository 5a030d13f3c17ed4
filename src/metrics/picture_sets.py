"""FID and Inception Score of sets of pictures that come one by one."""

from dataclasses import dataclass

import numpy as np

from .fid import InceptionScore, Moments, frechet_distance

SIDE = 299  # pixels of the pictures that Inception looks at
FEATURES = 2048  # that it sees in them: the dimensions of the covariance
_TOGETHER = 8  # pictures that it looks at in one pass


@dataclass(frozen=True)
class SetScores:
    """The scores of a set; None where there is no such score."""

    fid: float | None = None  # Fréchet Inception Distance to the reference, from 0, less is better
    is_mean: float | None = None  # Inception Score from 1 over ten parts; None with fewer than ten pictures
    is_std: float | None = None  # its standard deviation over the parts


class SetComparison:
    """The sets of ``count`` pictures that each of several methods made, against a Gaussian or :meth:`add_reference`."""

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
        if method not in self._sets:
            self._sets[method] = self._new_set()
        self._sets[method].add(picture)

    def reference(self):
        if self._given is None:
            self._given = self._reference.gaussian()
        return self._given

    def scores(self):
        """{method: :class:`SetScores`}; UserError for a set of fewer than two pictures, or other features."""
        return {
            method: SetScores(frechet_distance(self.reference(), made.gaussian()), *made.inception_score())
            for method, made in self._sets.items()
        }

    def reference_score(self):
        """The reference's own Inception Score as :class:`SetScores`; None where a Gaussian was given."""
        return SetScores(None, *self._reference.inception_score()) if self._reference else None


class PictureSet:
    """One set of pictures that an ``Inception`` sees; ``count`` of them, None where no Inception Score is wanted."""

    def __init__(self, inception, form, count=None):
        self._inception = inception
        self._prepare = PREPARATIONS[form]
        self._moments = Moments()
        self._score = None if count is None else InceptionScore(count)
        self._waiting = []

    def add(self, picture):
        self._waiting.append(self._prepare(picture))
        if len(self._waiting) == _TOGETHER:
            self._look()

    def gaussian(self):
        """The :class:`src.metrics.fid.Gaussian` of the features; UserError with fewer than two pictures."""
        self._look()
        return self._moments.gaussian()

    def inception_score(self):
        """The mean and the standard deviation, when all pictures have come; see ``InceptionScore``."""
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
    """Prepare uint8 (H, W, 3) as pytorch-fid does: float32 (3, 299, 299), pixels' centres aligned, 0…255 → −1…1."""
    positions = (np.maximum((np.arange(SIDE) + 0.5) * n / SIDE - 0.5, 0) for n in picture.shape[:2])
    return _interpolated(picture, *positions) / np.float32(127.5) - 1


def as_torch_fidelity(picture):
    """Prepare it as torch-fidelity does, and TensorFlow 1 did for the first FIDs: (v − 128)/128, pixel i at i·n/299."""
    positions = (np.arange(SIDE) * n / SIDE for n in picture.shape[:2])
    return (_interpolated(picture, *positions) - 128) / np.float32(128)


PREPARATIONS = {"pytorch-fid": as_pytorch_fid, "torch-fidelity": as_torch_fidelity}


def _interpolated(picture, rows, columns):
    """The picture at rows × columns, which are positions counted in pixels, as float32 (3, rows, columns)."""
    (top, bottom, down), (left, right, across) = _neighbours(rows, len(picture)), _neighbours(columns, picture.shape[1])
    above, below = picture[top].astype(np.float32), picture[bottom].astype(np.float32)
    lines = above + (below - above) * down[:, None, None]
    before, behind = lines[:, left], lines[:, right]
    result = before + (behind - before) * across[:, None]
    return np.ascontiguousarray(result.transpose(2, 0, 1))


def _neighbours(positions, count):
    """For each position the pixel before it, the one after it, and the float32 share of the latter."""
    before = np.floor(positions).astype(int)
    return before, np.minimum(before + 1, count - 1), (positions - before).astype(np.float32)
