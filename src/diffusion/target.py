"""What is diffused: the residual between HR and a base picture, LR↑ in SRDiff (arXiv 2104.14951, section 3.1)."""


class ResidualTarget:
    """x_0 = scale·(HR − base), clipped to [−1, 1] if asked; all pictures (B, 3, H, W) float32 in [−1, 1].

    Works on NumPy arrays and on MindSpore tensors, in a graph too.

    Args:
        scale: the factor that fills [−1, 1] better than the bare residual does; SRDiff takes 2.
        clip: clip x_0 to [−1, 1], in both directions.
    """

    def __init__(self, scale=2.0, clip=True):
        self.scale = float(scale)
        self.clip = clip

    def to_x0(self, hr, base):
        """HR picture → x_0."""
        x_0 = (hr - base) * self.scale
        return x_0.clip(-1.0, 1.0) if self.clip else x_0

    def to_picture(self, x_0, base):
        """x_0 → HR picture, in [−1, 1] but for small overshoot, which is left to whoever writes pixels."""
        if self.clip:
            x_0 = x_0.clip(-1.0, 1.0)
        return x_0 * (1 / self.scale) + base
