"""Training batches on mindspore.dataset, the same whatever the number of workers.

Threads do the work: decoding, copying and drawing noise all release Python's lock, so they keep as many cores busy as
processes would, share the cache of decoded pictures, and need no fork, which is unsafe once mindspore has threads.
"""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import mindspore.dataset as ds
import numpy as np

from ..errors import UserError
from .patches import DIFFUSION, DROPOUT, generator


def training_batches(
    patches, *, batch_size, batches, first_sample=0, workers=2, prefetch=4, noise_steps=None, draws=1,
    continuous=False, dropout_keys=False, rank=0, ranks=1,
):  # fmt: skip
    """Return a number of batches of one rank, as a mindspore dataset whose iterators make one pass.

    Sample i of batch k has the global number first_sample + (k * ranks + rank) * batch_size + i and is a function of
    that number and of ``patches.seed`` alone: not of the workers, nor of where a run was interrupted; and the ranks
    together see what one rank with their common batch size would. ``first_sample`` counts what all of them have seen.
    ``workers`` are threads, ``prefetch`` batches kept ready. A worker's UserError is raised as itself.

    Columns, of B = ``batch_size`` samples of ``patches`` (:class:`src.dataset.patches.PatchPairs`):
        hr: float32 (B, 3, P, P) in [-1, 1]; lr: the same (B, 3, p, p), at scale 1 hr
        t, noise: where ``noise_steps`` is given as T, int32 or, if ``continuous``, float32 (B·D,) in [0, T), and
            float32 (B·D, 3, P, P), the D ``draws`` of one sample one after the other
        lr_up: where ``patches.lr_up`` holds, float32 (B, 3, P, P) in [-1, 1]
        keys: with ``dropout_keys``, int32 (B·D,), for :class:`src.layers.dropout.Dropout`
    """
    counts = dict(batch_size=batch_size, batches=batches, workers=workers, prefetch=prefetch, draws=draws, ranks=ranks)
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"{name} must be at least 1, not {value}")
    if first_sample < 0 or not 0 <= rank < ranks:
        given = f"sample {first_sample} and rank {rank} of {ranks}"
        raise UserError(f"expected first_sample >= 0 and 0 <= rank < ranks, not {given}")
    first = first_sample + rank * batch_size
    first_samples = range(first, first + batches * ranks * batch_size, ranks * batch_size)
    make = partial(
        make_batch, patches, batch_size=batch_size, noise_steps=noise_steps, draws=draws, continuous=continuous,
        dropout_keys=dropout_keys,
    )  # fmt: skip
    columns = ["hr", "lr"] + ["t", "noise"] * bool(noise_steps) + ["lr_up"] * patches.lr_up + ["keys"] * dropout_keys
    return _Batches(_Source(make, first_samples, columns, workers, prefetch))


def make_batch(patches, first, batch_size, noise_steps=None, draws=1, continuous=False, dropout_keys=False):
    """Return one batch, a tuple of :func:`training_batches`' columns in NumPy."""
    samples = range(first, first + batch_size)
    hr, lr, *lr_up = zip(*map(patches.sample, samples), strict=True)
    is_one = lr[0] is hr[0]
    hr = _to_network(hr)
    batch = [hr, hr if is_one else _to_network(lr)]
    if noise_steps:
        drawn = [noise_at(patches.seed, k, hr.shape[1:], noise_steps, draws, continuous) for k in samples]
        batch += map(np.concatenate, zip(*drawn, strict=True))
    batch += map(_to_network, lr_up)
    if dropout_keys:
        batch.append(np.concatenate([dropout_keys_at(patches.seed, k, draws) for k in samples]))
    return tuple(batch)


def _to_network(pictures):
    """B pictures uint8 (H, W, 3) → float32 (B, 3, H, W) in [-1, 1]."""
    batch = np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32, order="C")
    batch /= 127.5
    batch -= 1
    return batch


def noise_at(seed, index, shape, steps, draws=1, continuous=False):
    """Draw t and the noise of one training sample, float32 (draws, *shape).

    t, int32 or, if continuous, float32 (draws,) in [0, steps), are each uniform and together evenly spaced (arXiv
    2107.00630, appendix I.1).
    """
    random = generator(seed, DIFFUSION, index)
    if continuous:
        t = (random.random() * steps + np.arange(draws) * (steps / draws)) % steps
        t = np.minimum(t.astype(np.float32), np.nextafter(np.float32(steps), np.float32(0)))  # T after rounding
    else:
        t = ((random.integers(steps) + np.arange(draws) * steps // draws) % steps).astype(np.int32)
    return t, random.standard_normal((draws, *shape), dtype=np.float32)


def dropout_keys_at(seed, index, draws=1):
    """Return the keys, int32 (draws,), of one training sample's dropout masks."""
    return generator(seed, DROPOUT, index).integers(-(2**31), 2**31, draws, dtype=np.int32)


class _Source:
    """An iterable of batches that threads prepare ahead and that come in order."""

    def __init__(self, make, first_samples, columns, workers, prefetch):
        self.make, self.first_samples, self.columns = make, first_samples, columns
        self.workers, self.prefetch = workers, prefetch
        self.error = None

    def __len__(self):
        return len(self.first_samples)

    def __iter__(self):
        self.error = None
        pending = deque()
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="batches")
        try:
            for first in self.first_samples:
                pending.append(pool.submit(self.make, first))
                if len(pending) > self.prefetch:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except Exception as error:
            # mindspore makes a RuntimeError of it, and kills the process if its text speaks of a MemoryError; so it is
            # given something plain, and the iterator raises the error itself
            self.error = error
            raise RuntimeError(str(error)) from None
        finally:  # also when the consumer stops early
            pool.shutdown(wait=False, cancel_futures=True)


class _Batches(ds.GeneratorDataset):
    """A GeneratorDataset with its own queue size, one pass per iterator, and clear errors."""

    def __init__(self, source):
        self.batches = source
        super().__init__(source, source.columns, shuffle=False)

    def __deepcopy__(self, memodict):
        memodict[id(self.batches)] = self.batches  # mindspore copies a dataset before it runs it: share the pictures
        return super().__deepcopy__(memodict)

    def parse(self, children=None):
        # mindspore's own queue takes its size, 16 batches, from a global setting now; the source has one, so 1 will do
        before = ds.config.get_prefetch_size()
        ds.config.set_prefetch_size(1)
        try:
            return super().parse(children)
        finally:
            ds.config.set_prefetch_size(before)

    def create_dict_iterator(self, num_epochs=1, **options):
        return _raising(super().create_dict_iterator(num_epochs, **options), self.batches)

    def create_tuple_iterator(self, columns=None, num_epochs=1, **options):
        return _raising(super().create_tuple_iterator(columns, num_epochs, **options), self.batches)


def _raising(rows, source):
    """Pass mindspore's rows on; raise the error of a worker in place of the RuntimeError made of it."""
    try:
        yield from rows
    except RuntimeError:
        if source.error is not None:
            raise source.error from None
        raise
