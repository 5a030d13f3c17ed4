"""The Gaussian process between x_0 and noise: x_t = √ᾱ·x_0 + √(1 − ᾱ)·ε, and every way to read it.

Plain arithmetic on whatever arrays come in (NumPy or MindSpore, float32, any shape). ``signal`` is √ᾱ_t and
``noise_rate`` is √(1 − ᾱ_t): Python floats, or arrays that broadcast, such as (B, 1, 1, 1).
"""

PREDICTIONS = ("noise", "velocity")


def q_sample(x_0, noise, signal, noise_rate):
    """x_t from x_0 and ε (arXiv 2006.11239, eq. 4)."""
    return signal * x_0 + noise_rate * noise


def x0_from_noise(x_t, noise, signal, noise_rate):
    """x_0 from x_t and ε (arXiv 2006.11239, eq. 15)."""
    return (1 / signal) * x_t - (noise_rate / signal) * noise


def noise_from_x0(x_t, x_0, signal, noise_rate):
    """ε from x_t and x_0, the inverse of :func:`x0_from_noise`."""
    return (x_t - signal * x_0) * (1 / noise_rate)


def velocity(x_0, noise, signal, noise_rate):
    """v = √ᾱ·ε − √(1 − ᾱ)·x_0 (arXiv 2202.00512, section 4)."""
    return signal * noise - noise_rate * x_0


def x0_from_velocity(x_t, v, signal, noise_rate):
    """x_0 from x_t and v (arXiv 2202.00512, appendix D)."""
    return signal * x_t - noise_rate * v


def noise_from_velocity(x_t, v, signal, noise_rate):
    """ε from x_t and v."""
    return noise_rate * x_t + signal * v


def x0_coefficients(prediction, alpha_bar):
    """Return (a, b) such that x_0 = a·x_t + b·prediction, for one of :data:`PREDICTIONS` and ᾱ_t as a float."""
    convert = x0_from_noise if prediction == "noise" else x0_from_velocity
    rates = alpha_bar**0.5, (1 - alpha_bar) ** 0.5
    return convert(1.0, 0.0, *rates), convert(0.0, 1.0, *rates)


class ImageTarget:
    """x_0 = HR, as in DDPM and SR3 (arXiv 2104.07636, section 2); what is sampled is clipped to [−1, 1] if asked."""

    def __init__(self, clip=True):
        self.clip = clip

    def to_x0(self, hr, base):
        """HR picture → x_0, with which the base picture has nothing to do."""
        return hr

    def unclipped(self, picture, base):
        """A picture of any size and the base picture of that size → x_0, as an affine function of both."""
        return picture

    def to_picture(self, x_0, base):
        """x_0 → HR picture, in [−1, 1] but for small overshoot, which is left to whoever writes pixels."""
        return x_0.clip(-1.0, 1.0) if self.clip else x_0


class ResidualTarget:
    """x_0 = scale·(HR − base), clipped to [−1, 1] in both directions if asked; methods as of :class:`ImageTarget`.

    The base picture is LR↑ in SRDiff, which takes a scale of 2: it fills [−1, 1] better than the bare residual does.
    """

    def __init__(self, scale=2.0, clip=True):
        self.scale = float(scale)
        self.clip = clip

    def to_x0(self, hr, base):
        x_0 = self.unclipped(hr, base)
        return x_0.clip(-1.0, 1.0) if self.clip else x_0

    def unclipped(self, picture, base):
        return (picture - base) * self.scale

    def to_picture(self, x_0, base):
        if self.clip:
            x_0 = x_0.clip(-1.0, 1.0)
        return x_0 * (1 / self.scale) + base
