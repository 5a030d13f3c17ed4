"""What is diffused: a residual between HR and a base picture (arXiv 2104.14951, section 3.1), or HR itself.

Both targets work on NumPy arrays and on MindSpore tensors, in a graph too. Pictures and x_0 are (B, 3, H, W) float32,
pictures in [−1, 1].
"""


class ResidualTarget:
    """x_0 = scale·(HR − base), clipped to [−1, 1] if asked. The base picture is LR↑ in SRDiff.

    Args:
        scale: the factor that fills [−1, 1] better than the bare residual does; SRDiff takes 2.
        clip: clip x_0 to [−1, 1], in both directions.
    """

    def __init__(self, scale=2.0, clip=True):
        self.scale = float(scale)
        self.clip = clip

    def to_x0(self, hr, base):
        """HR picture → x_0."""
        x_0 = self.unclipped(hr, base)
        return x_0.clip(-1.0, 1.0) if self.clip else x_0

    def unclipped(self, picture, base):
        """A picture of any size and the base picture of that size → x_0, as an affine function of both."""
        return (picture - base) * self.scale

    def to_picture(self, x_0, base):
        """x_0 → HR picture, in [−1, 1] but for small overshoot, which is left to whoever writes pixels."""
        if self.clip:
            x_0 = x_0.clip(-1.0, 1.0)
        return x_0 * (1 / self.scale) + base


class ImageTarget:
    """x_0 = HR, as in DDPM and SR3 (arXiv 2104.07636, section 2); methods as of :class:`ResidualTarget`.

    Args:
        clip: clip what is sampled to [−1, 1].
    """

    def __init__(self, clip=True):
        self.clip = clip

    def to_x0(self, hr, base):
        """HR picture → x_0; the base picture has no part in it."""
        return hr

    def unclipped(self, picture, base):
        """The picture itself."""
        return picture

    def to_picture(self, x_0, base):
        """x_0 → HR picture."""
        return x_0.clip(-1.0, 1.0) if self.clip else x_0
