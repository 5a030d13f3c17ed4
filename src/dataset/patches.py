"""Random training patches and their degradation, each a function of (seed, sample number) alone."""

import logging
from dataclasses import replace
from functools import lru_cache, partial
from itertools import compress
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..imaging.io import read_rgb
from .layouts import find_folders
from .manifest import checked_sizes
from .pairs import check_headers, find_pairs, is_damage, load_lr_up, load_pair

# The streams: pictures of an epoch; crop, flip and turn; t and noise; keys of dropout; noise, and degradation, of
# validations; degradation of patches.
ORDER, AUGMENTATION, DIFFUSION, DROPOUT, VALIDATION, DEGRADATION = range(6)
MARGIN = 8  # LR pixels on each side of a patch that are degraded with it: blurs reach so far, and JPEG's blocks


def generator(seed, stream, index):
    """Return the random generator of one index of a stream; seed and index are in [0, 2**64)."""
    key = np.array([seed, stream], dtype=np.uint64)
    counter = np.array([0, index, 0, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def degraded(pairs, degradation, seed):
    """Return pairs with LR to be made of HR, whatever LR they had, the same for a seed and a picture's number.

    ``degradation`` is a :class:`src.imaging.degradation.Degradation`.
    """

    def degrade(number, hr, scale):
        return degradation(hr, scale, generator(seed, VALIDATION, number))

    return [replace(pair, lr=None, lr_up=None, degrade=partial(degrade, number)) for number, pair in enumerate(pairs)]


class PatchPairs:
    """HR and LR patches by sample number; an instance may be shared by threads.

    Every epoch passes over all pictures once in a new order; each visit cuts one patch, mirrors and turns it. A
    damaged picture is left out with a warning when it is found, and the next one in the order stands in for it.
    Picture, place, mirroring and turn of a sample are functions of (seed, index) alone, so any process can
    draw any sample, and a run resumes by continuing to count.

    Args:
        root: a folder as of :func:`src.dataset.pairs.find_picture_set`, of which ``train`` is taken. LR pictures that
            are absent are made when first needed and stay in memory; for the scale 1 they are HR's.
        patch_size: side of the HR patch in pixels, a multiple of ``scale``; pictures that are smaller are left out.
        flip: mirror every other patch left to right.
        rotate: turn patches by 0, 90, 180 or 270 degrees.
        cache_bytes: decoded pictures stay in memory if all of them together are no larger; else each visit decodes.
        lr_up: also give the LR↑ pictures that somebody has prepared; as an attribute: whether there are any.
        lr_kernel: how LR is made, of ``src.imaging.resize.LR_KERNELS``; all but bicubic want no LR pictures there.
        degradation: a :class:`src.imaging.degradation.Degradation` that makes the LR of each sample anew, whatever LR
            pictures are there; HR is its ``target``, one for all that looks at HR.
    """

    def __init__(
        self, root, *, scale, patch_size, seed=0, flip=True, rotate=True, cache_bytes=2 << 30, lr_up=False,
        lr_kernel="bicubic", degradation=None,
    ):  # fmt: skip
        if scale < 1 or patch_size < scale or patch_size % scale:
            raise UserError(f"patch_size must be a multiple of the scale {scale}, not {patch_size}: change one of them")
        if not 0 <= seed < 2**64:
            raise UserError(f"seed must be from 0 to 2**64 - 1, not {seed}: name another")
        self.scale, self.patch_size, self.seed, self.flip, self.rotate = scale, patch_size, seed, flip, rotate
        self.degradation = degradation
        self._paired = 1 if degradation else scale  # the scale of the pictures' pairs
        prepared = find_folders(root, self._paired, "train")
        folder = prepared.hr if prepared else Path(root)
        # first the manifest: it says that a preprocessing is unfinished, which explains what is missing
        listed = checked_sizes(folder, self._paired)
        kernel = None if lr_kernel == "bicubic" else lr_kernel
        self.pairs = find_pairs(root, scale=self._paired, split="train", lr_kernel=kernel)
        self.lr_up = lr_up and all(pair.lr_up is not None for pair in self.pairs)
        self._damaged = {}  # number or path of a picture: what is wrong with it
        self.lr_sizes = self._read_sizes(listed, folder)
        self._leave_small_out()
        self.cached = self._fits(cache_bytes)
        self._pictures, self._made = {}, {}  # whole pictures; LR alone of those that have none
        self._order = lru_cache(maxsize=2)(lambda epoch: generator(seed, ORDER, epoch).permutation(len(self.pairs)))

    def _read_sizes(self, listed, folder):
        """Return the LR sizes of the pairs by the manifest, which must list just these, or by their headers.

        Pairs whose headers are damaged are left out.
        """
        if listed is not None:
            return _listed_sizes(listed, self.pairs, folder, self._paired)
        sizes, whole, count = [], [], len(self.pairs)
        for pair in self.pairs:
            try:
                sizes.append(check_headers(pair, self._paired)[1])
                whole.append(pair)
            except UserError as error:
                self._leave_out(pair.hr, error, count)
        if not whole:
            raise self._none_left()
        self._damaged, self.pairs = {}, whole
        return sizes

    def _leave_out(self, picture, error, count):
        """Note and log that a damaged picture is left out; raise what is no damage."""
        if not is_damage(error):
            raise error
        if self._damaged.setdefault(picture, error) is error:  # two threads may find it at once
            so_far = f"{len(self._damaged)} of {count} training pictures left out so far"
            logging.getLogger(__name__).warning("%s, this one: %s", so_far, error)

    def _none_left(self):
        (first, *_) = self._damaged.values()
        return UserError(f"none of the {len(self._damaged)} training pictures can be read; the first: {first}")

    def _leave_small_out(self):
        side = self.patch_size // self._paired
        large = [min(size) >= side for size in self.lr_sizes]
        if all(large):
            return
        first = large.index(False)
        height, width = (n * self._paired for n in self.lr_sizes[first])
        message = f"{large.count(False)} of {len(large)} pictures are smaller than patch_size {self.patch_size}"
        message += f", first {self.pairs[first].hr} ({width}×{height})"
        if not any(large):
            raise UserError(f"{message}: lower patch_size or name other pictures")
        logging.getLogger(__name__).warning("%s: they are left out", message)
        self.pairs, self.lr_sizes = ([*compress(items, large)] for items in (self.pairs, self.lr_sizes))

    def _fits(self, cache_bytes):
        """Tell whether all decoded pictures fit; those of LR that are to be made have to."""
        lr_bytes = [3 * height * width for height, width in self.lr_sizes]
        if self._paired == 1:
            return sum(lr_bytes) <= cache_bytes
        made = sum(size for pair, size in zip(self.pairs, lr_bytes, strict=True) if pair.lr is None)
        if made > cache_bytes:
            problem = f"need {made >> 20} MiB for it, more than the cache of {cache_bytes >> 20} MiB"
            remedy = "enlarge the cache, or prepare them with div2k_preprocess.py"
            raise UserError(f"{len(self.pairs)} pictures without LR {problem}: {remedy}")
        return sum(lr_bytes) * (self.scale**2 * (1 + self.lr_up) + 1) <= cache_bytes

    def __len__(self):
        """Return the number of pictures, the samples of one epoch."""
        return len(self.pairs)

    def sample(self, index):
        """Cut the sample of a global number 0, 1, 2, …; return new uint8 arrays.

        hr (P, P, 3); lr (P/scale, P/scale, 3), at scale 1 hr itself; where :attr:`lr_up` holds, lr_up (P, P, 3).
        """
        epoch, place = divmod(index, len(self.pairs))
        order = self._order(epoch)
        for step in range(len(order)):  # where one is damaged the next one stands in for it, in every process
            number = int(order[(place + step) % len(order)])
            if pictures := self._picture(number):
                break
        else:
            raise self._none_left()
        hr, lr, *lr_up = pictures
        side = self.patch_size // self._paired + (2 * MARGIN * self.scale if self.degradation else 0)
        random = generator(self.seed, AUGMENTATION, index)
        top, left = random.integers([max(length - side, 0) + 1 for length in self.lr_sizes[number]]).tolist()
        mirrored, turns = random.integers((2, 4)).tolist()
        mirrored, turns = mirrored * self.flip, turns * self.rotate
        if self.degradation:
            return self._degraded(_crop(hr, top, left, side, mirrored, turns), index)
        large = (top * self.scale, left * self.scale, self.patch_size, mirrored, turns)
        patch = _crop(hr, *large)
        small = patch if self.scale == 1 else _crop(lr, top, left, side, mirrored, turns)
        return patch, small, *(_crop(enlarged, *large) for enlarged in lr_up)

    def _degraded(self, picture, index):
        """Degrade a part of a picture that is larger than the patch, and cut both patches out of it."""
        random, scale, side = generator(self.seed, DEGRADATION, index), self.scale, self.patch_size // self.scale
        top, left = random.integers([length // scale - side + 1 for length in picture.shape[:2]]).tolist()
        hr = self.degradation.target(picture)
        lr = self.degradation(hr, scale, random)
        return _crop(hr, top * scale, left * scale, self.patch_size), _crop(lr, top, left, side)

    def _picture(self, number):
        """Return (hr, lr[, lr_up]) whole, None of a damaged picture."""
        # two threads may decode the same picture at once: both get the same, and one of them is kept
        if number in self._pictures or number in self._damaged:
            return self._pictures.get(number)
        pair = self.pairs[number]
        try:
            pictures = self._load(pair, self.lr_sizes[number], self._made.get(number))
        except UserError as error:
            return self._leave_out(number, error, len(self.pairs))
        if self.cached:
            self._pictures[number] = pictures
        elif pair.lr is None and self._paired > 1:
            self._made[number] = pictures[1]
        return pictures

    def _load(self, pair, lr_size, made):
        hr, lr = load_pair(pair, self._paired) if made is None else (read_rgb(pair.hr), made)
        if lr.shape[:2] != lr_size:
            remedy = "replace it, or run div2k_preprocess.py with --force"
            raise UserError(f"{pair.hr} is not of the size its header or manifest says: {remedy}")
        return (hr, lr, load_lr_up(pair, [n * self.scale for n in lr_size])) if self.lr_up else (hr, lr)


def _listed_sizes(listed, pairs, folder, scale):
    for pair in pairs:
        if pair.name not in listed:
            raise UserError(f"{pair.hr} is not in the manifest of {folder.parent.parent}: remove it")
    if len(pairs) != len(listed):
        found = f"{folder} holds {len(pairs)} pictures, its manifest lists {len(listed)}"
        raise UserError(f"{found}: run div2k_preprocess.py again")
    return [tuple(n // scale for n in listed[pair.name]) for pair in pairs]


def _crop(picture, top, left, side, mirrored=False, turns=0):
    patch = picture[top : top + side, left : left + side]
    if mirrored:
        patch = patch[:, ::-1]
    return np.rot90(patch, turns).copy()
