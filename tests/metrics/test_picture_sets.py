"""FID and IS of pictures that come one by one, with a small network in the place of Inception; and how it gets them."""

import numpy as np
import pytest

from src.errors import UserError
from src.metrics.evaluate import evaluate
from src.metrics.fid import Gaussian, InceptionScore, frechet_distance
from src.metrics.picture_sets import (
    PREPARATIONS,
    PictureSet,
    SetComparison,
    SetScores,
    as_pytorch_fid,
    as_torch_fidelity,
)
from tests.metrics.fake_inception import FakeInception

FORMS = pytest.mark.parametrize("prepare", PREPARATIONS.values(), ids=PREPARATIONS)


@pytest.fixture(scope="module")
def crops(photo):
    return [photo[20 * n : 20 * n + 24, 10 * n : 10 * n + 32] for n in range(11)]


def features_of(pictures):
    return FakeInception()(np.stack([as_torch_fidelity(picture) for picture in pictures]))


def gaussian_of(pictures):
    features, _ = features_of(pictures)
    return Gaussian(features.mean(0).astype(np.float64), np.cov(features.astype(np.float64), rowvar=False))


def filled(pictures, inception=None, count=None):
    made = PictureSet(inception or FakeInception(), "torch-fidelity", count)
    for picture in pictures:
        made.add(picture)
    return made


def test_a_set_has_the_moments_and_the_score_of_its_pictures(crops):
    inception = FakeInception()
    made = filled(crops, inception, len(crops))
    np.testing.assert_allclose(made.gaussian().covariance, gaussian_of(crops).covariance, atol=1e-6)
    np.testing.assert_allclose(made.gaussian().mean, gaussian_of(crops).mean, atol=1e-6)
    expected = InceptionScore(len(crops))
    expected.add(features_of(crops)[1])
    assert made.inception_score() == pytest.approx(expected.result())
    assert inception.batches == [8, 3]


def test_pictures_of_any_sizes_make_a_set(crops, photo):
    assert np.isfinite(filled([*crops, photo, photo[:1, :1]]).gaussian().covariance).all()


def test_an_evaluation_compares_each_method_with_the_hr_pictures(crops):
    pictures = [(str(number), hr, hr[::2, ::2]) for number, hr in enumerate(crops)]
    sets = SetComparison(FakeInception(), "torch-fidelity", len(pictures))
    made = []

    def nearest(lr, index):
        made.append(lr.repeat(2, 0).repeat(2, 1))
        return made[-1]

    report = evaluate({"nearest": nearest}, pictures, protocol="sr3", scale=2, sets=sets)
    assert list(report.sets) == ["bicubic", "nearest"]
    expected = frechet_distance(gaussian_of(crops), gaussian_of(made))
    assert report.sets["nearest"].fid == pytest.approx(expected, rel=1e-3)
    assert report.hr_set == SetScores(None, *filled(crops, count=len(crops)).inception_score())
    assert report.sets["nearest"].is_mean > 1 and report.sets["nearest"].is_std >= 0


def test_without_being_asked_an_evaluation_has_no_sets(crops):
    report = evaluate({}, [("a", crops[0], crops[0][::2, ::2])], protocol="sr3", scale=2)
    assert (report.sets, report.hr_set) == ({}, None)


def test_a_given_reference_is_compared_with_and_hr_pictures_are_not_looked_at(crops):
    inception = FakeInception()
    sets = SetComparison(inception, "torch-fidelity", 3, gaussian_of(crops))
    for picture in crops[:3]:
        sets.add_reference(picture)
        sets.add("one", picture)
    expected = frechet_distance(gaussian_of(crops), gaussian_of(crops[:3]))
    assert sets.scores()["one"].fid == pytest.approx(expected, rel=1e-3)
    assert sets.reference_score() is None
    assert inception.batches == [3]


def test_one_picture_is_no_set(crops):
    with pytest.raises(UserError, match="at least 2 pictures of each kind, got 1"):
        filled(crops[:1]).gaussian()


@pytest.mark.parametrize("size", [(64, 80), (299, 33), (512, 300), (1, 7)])
def test_it_is_what_pytorch_interpolates(photo, size):
    torch = pytest.importorskip("torch")
    picture = photo[: size[0], : size[1]]
    levels = torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    expected = 2 * torch.nn.functional.interpolate(levels, (299, 299), mode="bilinear", align_corners=False) - 1
    np.testing.assert_allclose(as_pytorch_fid(picture), expected[0].numpy(), atol=1e-4)


@FORMS
def test_a_picture_of_299_pixels_is_left_as_it_is(photo, prepare):
    picture = photo[100:399, 50:349]
    found = prepare(picture)
    assert (found.shape, found.dtype) == ((3, 299, 299), np.float32)
    centre, scale = (127.5, 127.5) if prepare is as_pytorch_fid else (128, 128)
    np.testing.assert_allclose(found * scale + centre, picture.transpose(2, 0, 1), atol=1e-4)


def test_tensorflow_takes_every_so_many_pixels():
    picture = np.arange(598, dtype=np.float64)[:, None, None] / 598 * 255
    picture = np.broadcast_to(picture.astype(np.uint8), (598, 5, 3))
    np.testing.assert_array_equal(as_torch_fidelity(picture)[0, :, 0], (picture[::2, 0, 0] - 128.0) / 128)


@FORMS
def test_one_pixel_fills_the_picture(prepare):
    found = prepare(np.array([[[0, 128, 255]]], np.uint8))
    assert np.ptp(found, (1, 2)).max() == 0
    assert found[:, 0, 0] == pytest.approx([-1, 0, 1], abs=0.01)
