"""Fréchet Inception Distance of two sets of pictures, and Inception Score of one, from what Inception makes of them.

FID is how far the sets are apart, as Gaussians of features: Heusel et al., "GANs Trained by a Two Time-Scale Update
Rule…", arXiv 1706.08500, equation 6. IS is from the logits: Salimans et al., arXiv 1606.03498, section 4.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..host.files import replacing

SPLITS = 10  # of a set, for its Inception Score
_DEAL_SEED = 2020  # of the order in which torch-fidelity deals the pictures out
_DAMAGE = (
    (OSError, ValueError, TypeError, LookupError, AttributeError, EOFError, MemoryError)
    + (zipfile.BadZipFile, zlib.error, RuntimeError)  # the last: a zip that Python does not read, or encrypted
)


@dataclass(frozen=True)
class Gaussian:
    """What FID keeps of a set of pictures: mean float64 (D,) and unbiased covariance float64 (D, D)."""

    mean: np.ndarray
    covariance: np.ndarray


class Moments:
    """The mean and covariance of vectors that come one batch after the other, in constant memory.

    Batches are merged as Chan, Golub and LeVeque do ("Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances", 1982, equation 2.1), so that a large mean costs no digits.
    """

    def __init__(self):
        self._count = 0
        self._mean = 0.0  # from the first batch on (D,), and
        self._scatter = 0.0  # (D, D): the sum of (x − mean)·(x − mean)ᵀ

    def add(self, vectors):
        """Take a batch (B, D), B at least 1."""
        vectors = np.asarray(vectors, np.float64)
        batch = len(vectors)
        total = self._count + batch
        mean = vectors.mean(0)
        # The batch's own scatter, and that of the two means, as one product of (B + 1, D) by itself.
        step = (mean - self._mean) * np.sqrt(self._count * batch / total)
        rows = np.vstack((vectors - mean, step))
        self._scatter += rows.T @ rows
        self._mean += (mean - self._mean) * (batch / total)
        self._count = total

    def gaussian(self):
        """Return the :class:`Gaussian` of all vectors so far; UserError where there are fewer than two."""
        if self._count < 2:
            raise UserError(f"FID needs at least 2 pictures of each kind, got {self._count}")
        return Gaussian(self._mean.copy(), self._scatter / (self._count - 1))


def frechet_distance(one, other):
    """The squared Fréchet distance of two :class:`Gaussian`, from 0: |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2·(Σ₁Σ₂)^½).

    The last trace is the sum of the roots of the eigenvalues of Σ₁Σ₂, which are those of the symmetric
    Σ₁^½ Σ₂ Σ₁^½: real and not negative, where a root of the product itself may come out complex or infinite.
    """
    if one.mean.shape != other.mean.shape:
        raise UserError(
            f"the statistics to compare have {len(one.mean)} and {len(other.mean)} features: make both with one network"
        )
    difference = one.mean - other.mean
    root = _root(one.covariance)
    common = np.sqrt(np.maximum(np.linalg.eigvalsh(root.T @ other.covariance @ root), 0)).sum()
    traces = np.trace(one.covariance) + np.trace(other.covariance)
    return max(float(difference @ difference + traces - 2 * common), 0.0)


def _root(covariance):
    """Return R with R·Rᵀ = covariance, without the directions that hold nothing but round-off: (D, rank)."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > len(values) * np.finfo(np.float64).eps * max(values[-1], 0)
    return vectors[:, kept] * np.sqrt(values[kept])


def write_statistics(path, gaussian):
    """Write a Gaussian as pytorch-fid does, an .npz with ``mu`` and ``sigma``; whole or not at all."""
    if Path(path).suffix != ".npz":
        raise UserError(f"statistics are written to an .npz file, not {path}: change its name")
    with replacing(path, "statistics") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, mu=gaussian.mean, sigma=gaussian.covariance)


def read_statistics(path):
    """Return the :class:`Gaussian` of an .npz file with ``mu`` (D,) and ``sigma`` (D, D), as pytorch-fid writes it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            mean, covariance = (np.asarray(file[name], np.float64) for name in ("mu", "sigma"))
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}: name statistics as pytorch-fid writes them") from error
    except _DAMAGE as error:
        raise UserError(
            f"{path} holds no statistics: expected an .npz with mu and sigma, as pytorch-fid writes it ({error})"
        ) from error
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)) or not len(mean):
        raise UserError(
            f"{path} holds mu {mean.shape} and sigma {covariance.shape}, expected (D,) and (D, D): make it anew"
        )
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise UserError(f"{path} holds numbers that are not finite: make it anew")
    return Gaussian(mean, (covariance + covariance.T) / 2)


class InceptionScore:
    """exp(E KL(p(y|x) ‖ p(y))) of ten parts of a set, in constant memory; numbers as torch-fidelity's.

    The ``count`` pictures are dealt out in its fixed random order. Within a part,
    E KL(p(y|x) ‖ p(y)) = E Σ p(y|x)·log p(y|x) − Σ p(y)·log p(y), so that two sums suffice.
    """

    def __init__(self, count, splits=SPLITS):
        bounds = [part * count // splits for part in range(splits + 1)]
        self._sizes = np.diff(bounds)
        self._part_of = np.empty(count, int)
        self._part_of[np.random.RandomState(_DEAL_SEED).permutation(count)] = np.repeat(np.arange(splits), self._sizes)
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
        """The mean and the standard deviation over the parts; (None, None) with fewer pictures than parts."""
        if self._sizes.min() == 0:
            return None, None
        scores = []
        for size, probability, information in zip(self._sizes, self._probability, self._information, strict=True):
            marginal = probability / size
            certain = marginal[marginal > 0]
            scores.append(np.exp(information / size - certain @ np.log(certain)))
        return float(np.mean(scores)), float(np.std(scores))
