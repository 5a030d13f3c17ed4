"""The degradation: what is drawn lies in its ranges, each stage does what it is called, and all is by the generator."""

import dataclasses
import io
import json

import numpy as np
import pytest
from PIL import Image

from src.config.schema import DegradationConfig
from src.dataset.degradation import degradation_of
from src.imaging import degradation as module
from src.imaging.degradation import gaussian_noise, jpeg, poisson_noise
from src.imaging.resize import interpolate

PUBLISHED = DegradationConfig(kind="real")


def made(**settings):
    return degradation_of(dataclasses.replace(PUBLISHED, **settings))


def random(seed=0):
    return np.random.default_rng(seed)


def as_float(picture):
    return picture.astype(np.float32) / 255


def psnr(one, other):
    return -10 * np.log10(np.mean(np.square(one.astype(float) - other)))


@pytest.fixture(scope="module")
def hr(photo):
    return photo[100:196, 150:246]


def test_lr_is_a_function_of_hr_and_the_generator(hr):
    degrade = made()
    first, again, other = degrade(hr, 4, random(1)), degrade(hr.copy(), 4, random(1)), degrade(hr, 4, random(2))
    assert (first.shape, first.dtype) == ((24, 24, 3), np.uint8)
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize(
    ("scale", "shape", "expected"), [(1, (17, 20), (17, 20)), (3, (50, 41), (16, 13)), (8, (9, 8), (1, 1))]
)
def test_pictures_of_any_size(photo, scale, shape, expected):
    for seed in range(20):
        assert made()(photo[: shape[0], : shape[1]], scale, random(seed)).shape == (*expected, 3)


def test_two_passes_and_one_of_two_orders_at_the_end(hr):
    first = ["blur", "resize", "noise", "JPEG", "second blur", "second resize", "second noise"]
    last = ["second JPEG", "resize to LR", "final sinc"]
    orders = []
    for seed in range(100):
        stages = list(made().stages(hr, 4, random(seed)))
        names = [name for name, _ in stages]
        assert names[:7] == first and names[7:] in (last, [*last[1:], last[0]])
        orders.append(names[-1] == "second JPEG")
        for name, picture in stages:
            assert picture.dtype == np.float32 and picture.ndim == 3 and np.isfinite(picture).all()
            if "noise" in name or "JPEG" in name:
                assert picture.min() >= 0 and picture.max() <= 1
        np.testing.assert_array_equal(module._uint8(stages[-1][1]), made()(hr, 4, random(seed)))
    assert 35 <= sum(orders) <= 65


class Recorder:
    """Notes what the parts of the pipeline are called with."""

    def __init__(self, monkeypatch, *names):
        self.calls = {name: [] for name in names}
        for name in names:
            monkeypatch.setattr(module, name, self.recording(name, getattr(module, name)))

    def recording(self, name, function):
        def recorded(*arguments, **options):
            self.calls[name].append((arguments, options))
            return function(*arguments, **options)

        return recorded


def test_what_is_drawn_lies_in_the_published_ranges_and_fills_them(hr, monkeypatch):
    names = ("blur_kernel", "sinc_kernel", "interpolate", "gaussian_noise", "poisson_noise", "_jpeg", "jpeg")
    calls = Recorder(monkeypatch, *names).calls
    for seed in range(300):
        made()(hr[:32, :32], 4, random(seed))
    blurs = [arguments for arguments, _ in calls["blur_kernel"]]
    sizes, sigmas = {blur[0] for blur in blurs}, [sigma for blur in blurs for sigma in blur[1:3]]
    assert sizes == set(range(7, 22, 2)) and 0.2 <= min(sigmas) < 0.25 and 2.9 < max(sigmas) <= 3
    shapes = [blur[4] + (" turned" if blur[3] else "") for blur in blurs]
    counts = [shapes.count(shape + turned) / len(blurs) for shape in module.SHAPES for turned in ("", " turned")]
    np.testing.assert_allclose(counts, PUBLISHED.kernel_prob, atol=0.06)
    for shape, (low, high) in (("generalized", (0.5, 4)), ("plateau", (1, 2))):
        betas = [blur[5] for blur in blurs if blur[4] == shape]
        assert low <= min(betas) and max(betas) <= high and 0.25 < np.mean(np.array(betas) > 1) < 0.75
    assert all(blur[5] == 1 for blur in blurs if blur[4] == "gaussian")
    assert all(blur[1] == blur[2] for blur in blurs if not blur[3])
    # 300 first and about 240 second blurs, a tenth of which are sinc, and about 240 final ones
    assert 480 - 30 < len(blurs) < 492 + 30 and 240 < len(calls["sinc_kernel"]) < 350
    for (size, cutoff), _ in calls["sinc_kernel"]:
        assert np.pi / (3 if size < 13 else 5) <= cutoff <= np.pi
    factors = np.array([options["scale"] for _, options in calls["interpolate"] if "scale" in options])
    assert 0.15 <= factors.min() < 0.2 and 1.4 < factors.max() <= 1.5
    assert abs(np.mean(factors > 1) - 0.2) < 0.07 and abs(np.mean(factors < 1) - 0.7) < 0.07
    sides = {options["size"][0] for _, options in calls["interpolate"] if "size" in options}
    assert sides == set(range(2, 10))  # 0.3 to 1.2 of 8
    modes = [arguments[1] for arguments, _ in calls["interpolate"]]
    assert all(abs(modes.count(mode) / len(modes) - 1 / 3) < 0.05 for mode in module.MODES)
    widths, grays = zip(*(arguments[1:3] for arguments, _ in calls["gaussian_noise"]), strict=True)
    assert 1 <= 255 * min(widths) < 3 and 28 < 255 * max(widths) <= 30
    assert abs(len(widths) / 600 - 0.5) < 0.06 and abs(np.mean(grays) - 0.4) < 0.08
    qualities = [arguments[1] for arguments, _ in calls["jpeg"]]
    assert (min(qualities), max(qualities)) == (30, 95) and len(qualities) == 600


def test_the_two_passes_have_ranges_of_their_own(hr, monkeypatch):
    calls = Recorder(monkeypatch, "blur_kernel", "jpeg", "gaussian_noise", "interpolate").calls
    degrade = made(
        sinc_prob=0.0, final_sinc_prob=0.0, second_blur_prob=1.0, gaussian_noise_prob=1.0, blur_sigma=(1.0, 1.0),
        blur_sigma2=(2.0, 2.0), noise_range=(4.0, 4.0), noise_range2=(5.0, 5.0), jpeg_range=(50, 50),
        jpeg_range2=(60, 60), resize_prob=(0.0, 1.0, 0.0), resize_range=(0.5, 1.0), resize_prob2=(0.0, 0.0, 1.0),
        gray_noise_prob=1.0, kernel_size=(9, 9),
    )  # fmt: skip
    degrade(hr, 4, random())
    assert [arguments[:2] for arguments, _ in calls["blur_kernel"]] == [(9, 1.0), (9, 2.0)]
    assert [arguments[1] for arguments, _ in calls["jpeg"]] == [50, 60]
    assert [(255 * arguments[1], arguments[2]) for arguments, _ in calls["gaussian_noise"]] == [(4, True), (5, True)]
    assert 0.5 <= calls["interpolate"][0][1]["scale"] <= 1 and calls["interpolate"][1][1]["size"] == [24, 24]


def test_with_everything_at_its_least_it_is_a_resize(hr):
    degrade = made(
        sinc_prob=0.0, final_sinc_prob=0.0, second_blur_prob=0.0, gaussian_noise_prob=1.0, blur_sigma=(0.2, 0.2),
        kernel_prob=(1.0, 0.0, 0.0, 0.0, 0.0, 0.0), noise_range=(0.0, 0.0), noise_range2=(0.0, 0.0),
        jpeg_range=(100, 100), jpeg_range2=(100, 100), resize_prob=(0.0, 0.0, 1.0), resize_prob2=(0.0, 0.0, 1.0),
    )  # fmt: skip
    resized = [interpolate(as_float(hr), mode, size=(24, 24)) for mode in module.MODES]
    for seed in range(5):
        lr = as_float(degrade(hr, 4, random(seed)))
        assert max(psnr(lr, each) for each in resized) > 33  # JPEG halves the resolution of colours, at 100 too


@pytest.mark.parametrize("gray", [False, True])
def test_gaussian_noise(hr, gray):
    noise = gaussian_noise(as_float(hr), 0.1, gray, random())
    assert noise.shape == (96, 96, 1 if gray else 3) and noise.dtype == np.float32
    assert abs(noise.mean()) < 0.005 and noise.std() == pytest.approx(0.1, rel=0.03)


@pytest.mark.parametrize("gray", [False, True])
def test_poisson_noise_has_the_variance_of_what_is_counted(gray):
    levels = np.repeat(np.arange(100, 200, 10, dtype=np.float32) / 255, 4000)  # ten values: sixteen photons
    picture = np.repeat(levels.reshape(200, 200, 1), 3, axis=2)
    noise = poisson_noise(picture, gray, random())
    assert noise.shape == (200, 200, 1 if gray else 3) and noise.dtype == np.float32
    for level in np.unique(levels):
        values = noise[(picture[..., :1] == level)[..., 0]]
        assert values.var() == pytest.approx(level / 16, rel=0.08) and abs(values.mean()) < 0.02


def test_jpeg_is_a_real_encoder_s(hr):
    data = io.BytesIO()
    Image.fromarray(hr).save(data, "JPEG", quality=37, subsampling="4:2:0")
    np.testing.assert_array_equal(jpeg(as_float(hr), 37), as_float(np.asarray(Image.open(data))))
    distances = [psnr(jpeg(as_float(hr), quality), as_float(hr)) for quality in (95, 60, 30)]
    assert distances == sorted(distances, reverse=True) and distances[-1] > 20


def test_jpeg_loses_as_much_as_the_published_imitation(shared):
    """All that can be compared: their DiffJPEG enlarges colours by repetition and rounds otherwise than libjpeg."""
    golden, luma = np.load(shared / "golden/srgan/degradations/golden.npz"), [0.299, 0.587, 0.114]
    for picture, quality, theirs in zip(golden["image_u8"], golden["jpeg_quality"], golden["jpeg"], strict=True):
        ours = jpeg(as_float(picture), round(float(quality))) @ luma
        picture, theirs = as_float(picture) @ luma, theirs.transpose(1, 2, 0) @ luma
        assert abs(psnr(ours, picture) - psnr(theirs, picture)) < 1.5 and psnr(ours, theirs) > psnr(theirs, picture)


def test_the_target_is_hr_or_sharpened(hr, shared):
    assert made().target(hr) is hr
    golden = np.load(shared / "golden/srgan/degradations/golden.npz")
    for picture, expected in zip(golden["image_u8"], golden["usm"], strict=True):
        target = made(gt_usm=True).target(picture)
        assert target.dtype == np.uint8
        np.testing.assert_allclose(as_float(target), expected.transpose(1, 2, 0), rtol=0, atol=0.51 / 255)


def test_the_settings_are_the_published_ones():
    """Of options/train_realesrgan_x4plus.yml, whose names they have."""
    published = {
        "resize_prob": [0.2, 0.7, 0.1], "resize_range": [0.15, 1.5], "gaussian_noise_prob": 0.5,
        "noise_range": [1, 30], "poisson_scale_range": [0.05, 3], "gray_noise_prob": 0.4, "jpeg_range": [30, 95],
        "second_blur_prob": 0.8, "resize_prob2": [0.3, 0.4, 0.3], "resize_range2": [0.3, 1.2],
        "noise_range2": [1, 25], "poisson_scale_range2": [0.05, 2.5], "jpeg_range2": [30, 95],
        "kernel_prob": [0.45, 0.25, 0.12, 0.03, 0.12, 0.03], "sinc_prob": 0.1, "blur_sigma": [0.2, 3],
        "betag_range": [0.5, 4], "betap_range": [1, 2], "blur_sigma2": [0.2, 1.5], "final_sinc_prob": 0.8,
    }  # fmt: skip
    ours = json.loads(json.dumps(dataclasses.asdict(PUBLISHED)))
    assert published == {name: ours[name] for name in published}
    assert ours.keys() - published.keys() == {"kind", "gt_usm", "kernel_size"} and ours["kernel_size"] == [7, 21]
