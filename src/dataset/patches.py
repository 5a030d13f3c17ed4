"""Random training patches, each a function of (seed, sample number) alone. NumPy only."""

import logging
from functools import lru_cache
from itertools import compress

import numpy as np

from src.dataset.manifest import checked_sizes
from src.dataset.pairs import check_headers, find_folders, find_pairs, load_lr_up, load_pair, made_by
from src.errors import UserError
from src.imaging.io import read_rgb

# The streams: pictures of an epoch; crop, flip and turn; t and noise; keys of dropout; noise of validations.
ORDER, AUGMENTATION, DIFFUSION, DROPOUT, VALIDATION = range(5)


def generator(seed, stream, index):
    """Return the random generator of one index of a stream; seed and index are in [0, 2**64)."""
    key = np.array([seed, stream], dtype=np.uint64)
    counter = np.array([0, index, 0, 0], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


class PatchPairs:
    """HR and LR patches by sample number; an instance may be shared by threads.

    Every epoch passes over all pictures once in a new order; each visit cuts one patch, mirrors and turns it.
    Picture, place, mirroring and turn of a sample are functions of (seed, index) alone, so any process can
    draw any sample, and a run resumes by continuing to count.

    Args:
        root: a split that ``div2k_preprocess.py`` wrote or such an output's root (then ``train`` is taken), a folder
            with ``HR`` and perhaps ``LR``, or a folder of pictures. LR pictures that are absent are made when first
            needed and stay in memory; for the scale 1 they are HR's.
        patch_size: side of the HR patch in pixels, a multiple of ``scale``; pictures that are smaller are left out.
        flip: mirror every other patch left to right.
        rotate: turn patches by 0, 90, 180 or 270 degrees.
        cache_bytes: decoded pictures stay in memory if all of them together are no larger; else each visit decodes.
        lr_up: also give the LR↑ pictures that somebody has prepared; as an attribute: whether there are any.
        lr_kernel: how LR is made, of ``src.imaging.resize.LR_KERNELS``; all but bicubic want no LR pictures there.
    """

    def __init__(
        self, root, *, scale, patch_size, seed=0, flip=True, rotate=True, cache_bytes=2 << 30, lr_up=False,
        lr_kernel="bicubic",
    ):  # fmt: skip
        if scale < 1 or patch_size < scale or patch_size % scale:
            raise UserError(f"patch_size must be a multiple of the scale {scale}, not {patch_size}: change one of them")
        if not 0 <= seed < 2**64:
            raise UserError(f"seed must be from 0 to 2**64 - 1, not {seed}: name another")
        self.scale, self.patch_size, self.seed, self.flip, self.rotate = scale, patch_size, seed, flip, rotate
        folder = find_folders(root, scale, "train").hr
        # first the manifest: it says that a preprocessing is unfinished, which explains what is missing
        listed = checked_sizes(folder, scale)
        self.pairs = find_pairs(root, scale=scale, split="train")
        if lr_kernel != "bicubic":
            self.pairs = made_by(self.pairs, lr_kernel)
        self.lr_up = lr_up and all(pair.lr_up is not None for pair in self.pairs)
        self.lr_sizes = _lr_sizes(listed, self.pairs, folder, scale)
        self._leave_small_out()
        self.cached = self._fits(cache_bytes)
        self._pictures, self._made = {}, {}  # whole pictures; LR alone of those that have none
        self._order = lru_cache(maxsize=2)(lambda epoch: generator(seed, ORDER, epoch).permutation(len(self.pairs)))

    def _leave_small_out(self):
        side = self.patch_size // self.scale
        large = [min(size) >= side for size in self.lr_sizes]
        if all(large):
            return
        first = large.index(False)
        height, width = (n * self.scale for n in self.lr_sizes[first])
        message = f"{large.count(False)} of {len(large)} pictures are smaller than patch_size {self.patch_size}"
        message += f", first {self.pairs[first].hr} ({width}×{height})"
        if not any(large):
            raise UserError(f"{message}: lower patch_size or name other pictures")
        logging.getLogger(__name__).warning("%s: they are left out", message)
        self.pairs, self.lr_sizes = ([*compress(items, large)] for items in (self.pairs, self.lr_sizes))

    def _fits(self, cache_bytes):
        """Tell whether all decoded pictures fit; those of LR that are to be made have to."""
        lr_bytes = [3 * height * width for height, width in self.lr_sizes]
        if self.scale == 1:
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
        number = int(self._order(epoch)[place])
        height, width = self.lr_sizes[number]
        side = self.patch_size // self.scale
        random = generator(self.seed, AUGMENTATION, index)
        top, left = random.integers((height - side + 1, width - side + 1)).tolist()
        mirrored, turns = random.integers((2, 4)).tolist()
        mirrored, turns = mirrored * self.flip, turns * self.rotate
        hr, lr, *lr_up = self._picture(number)
        large = (top * self.scale, left * self.scale, self.patch_size, mirrored, turns)
        patch = _crop(hr, *large)
        small = patch if self.scale == 1 else _crop(lr, top, left, side, mirrored, turns)
        return patch, small, *(_crop(enlarged, *large) for enlarged in lr_up)

    def _picture(self, number):
        # two threads may decode the same picture at once: both get the same, and one of them is kept
        if number in self._pictures:
            return self._pictures[number]
        pair, lr_size = self.pairs[number], self.lr_sizes[number]
        if number in self._made:
            hr, lr = read_rgb(pair.hr), self._made[number]
        else:
            hr, lr = load_pair(pair, self.scale)
            if lr.shape[:2] != lr_size:
                remedy = "replace it, or run div2k_preprocess.py with --force"
                raise UserError(f"{pair.hr} is not of the size its header or manifest says: {remedy}")
        pictures = (hr, lr, load_lr_up(pair, [n * self.scale for n in lr_size])) if self.lr_up else (hr, lr)
        if self.cached:
            self._pictures[number] = pictures
        elif pair.lr is None and self.scale > 1:
            self._made[number] = lr
        return pictures


def _lr_sizes(listed, pairs, folder, scale):
    """Return the LR sizes of ``pairs``, by their headers or by the manifest, which must list just these."""
    if listed is None:
        return [check_headers(pair, scale)[1] for pair in pairs]
    for pair in pairs:
        if pair.name not in listed:
            raise UserError(f"{pair.hr} is not in the manifest of {folder.parent.parent}: remove it")
    if len(pairs) != len(listed):
        found = f"{folder} holds {len(pairs)} pictures, its manifest lists {len(listed)}"
        raise UserError(f"{found}: run div2k_preprocess.py again")
    return [tuple(n // scale for n in listed[pair.name]) for pair in pairs]


def _crop(picture, top, left, side, mirrored, turns):
    patch = picture[top : top + side, left : left + side]
    if mirrored:
        patch = patch[:, ::-1]
    return np.rot90(patch, turns).copy()
