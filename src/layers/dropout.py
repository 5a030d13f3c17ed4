"""Dropout whose masks are a function of a number for each sample, so that a training resumes bit for bit.

MindSpore's generators cannot be set back to where they were. Here each sample of a batch brings a key, a 32-bit number
that is drawn where its crop and its noise are, and each layer has a salt; both and a value's place decide whether the
value is dropped. The arithmetic is that of int32 that wraps around, which makes the same masks wherever it does; it has
run on the CPU alone so far.
"""

import zlib

import mindspore as ms
from mindspore import nn, ops

from ..errors import UserError

_GOLDEN = 0x9E3779B9 - 2**32  # 2^32 / the golden ratio: spreads small numbers over all 32 bits
# of the hash "lowbias32" (Chris Wellons, "Prospecting for hash functions", 2018): shift, factor, shift, factor, shift
_SHIFTS, _FACTORS = (16, 15, 16), (0x7FEB352D, 0x846CA68B - 2**32)


class Dropout(nn.Cell):
    """Drop a share of the values and scale up the others (JMLR 15, 2014, "Dropout").

    Value (c, i) of channel c and pixel i is kept where a_c · p_i, odd 32-bit numbers hashed from key and salt, is
    below a threshold. So a value costs one product and one comparison, where a hash of its own would cost ten.

    ``rate`` is the share, ``salt`` a whole number, another one for each layer of a network.
    """

    def __init__(self, rate, salt=0):
        super().__init__()
        if not 0 <= rate < 1:
            raise UserError(f"sr3.dropout must be at least 0 and below 1, not {rate}")
        self.rate, self.salt = rate, salt
        self.below = min(round((1 - rate) * 2**32) - 2**31, 2**31 - 1)
        self.gain = 1 / (1 - rate)
        self.salt_bits = zlib.crc32(b"%d" % salt) - 2**31  # unlike others'; the keys are scattered as they are

    def construct(self, x, keys=None):
        """Drop values of x, (B, C, H, W) float32 or float16, by keys, (B,) int32.

        None, as in inference, drops nothing and leaves nothing of this in the graph.
        """
        if keys is None or self.rate == 0:
            return x
        b, c, h, w = x.shape
        words = self._words(keys, c + h * w)  # (B, C + H·W)
        product = words[:, :c].reshape(b, c, 1) * words[:, c:].reshape(b, 1, h * w)
        kept = ops.stop_gradient((product < self.below).astype(x.dtype))
        return x * self.gain * kept.reshape(b, c, h, w)

    def _words(self, keys, count):
        """``count`` odd numbers for each key, (B, count) int32."""
        places = ops.arange(0, count, 1, dtype=ms.int32) * _GOLDEN
        start = ops.bitwise_xor(keys, self.salt_bits).reshape(-1, 1)
        return ops.bitwise_or(hashed(ops.bitwise_xor(places.reshape(1, -1), start)), 1)


def hashed(z):
    """A hash of int32 numbers to int32 numbers, one to one; any shape."""
    z = _shifted(z, _SHIFTS[0]) * _FACTORS[0]
    z = _shifted(z, _SHIFTS[1]) * _FACTORS[1]
    return _shifted(z, _SHIFTS[2])


def _shifted(z, shift):
    """z ^ (z >> shift) of the 32 bits; the shift of an int32 would repeat the sign."""
    return ops.bitwise_xor(z, ops.bitwise_and(ops.bitwise_right_shift(z, shift), 2 ** (32 - shift) - 1))
