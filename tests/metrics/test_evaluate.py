"""The evaluation loop, with functions in the place of models."""

from types import SimpleNamespace

import numpy as np
import pytest

from src.errors import UserError
from src.imaging.resize import imresize
from src.metrics.evaluate import Denoising, Report, Scores, evaluate, picture_seed
from src.metrics.scores import PROTOCOLS, lr_agreement


@pytest.fixture
def pictures(photo):
    """Two pictures as (name, hr, lr) at scale 2."""
    crops = {"left": photo[:48, :64], "right": photo[100:140, 200:232]}
    return [(name, hr, imresize(hr, 1 / 2)) for name, hr in crops.items()]


def nearest(lr, index):
    return lr.repeat(2, 0).repeat(2, 1)


def test_bicubic_is_scored_beside_every_model(pictures):
    report = evaluate({"nearest": nearest, "again": nearest}, pictures, protocol="y", scale=2)
    assert list(report.scores) == ["bicubic", "nearest", "again"]
    assert report.names == ["left", "right"]
    name, hr, lr = pictures[1]
    for method, sr in (("bicubic", imresize(lr, 2)), ("nearest", nearest(lr, 1))):
        expected = Scores(*PROTOCOLS["y"](sr, hr, 2), None, *lr_agreement(sr, lr))
        assert report.scores[method][1] == expected


def test_one_function_is_called_model_and_no_model_is_fine(pictures):
    assert list(evaluate(nearest, pictures, protocol="y", scale=2).scores) == ["bicubic", "model"]
    assert list(evaluate({}, pictures, protocol="y", scale=2).scores) == ["bicubic"]


def test_models_are_given_the_number_of_the_picture(pictures):
    seen = []
    evaluate(lambda lr, index: seen.append(index) or nearest(lr, index), pictures, protocol="y", scale=2)
    assert seen == [0, 1]
    assert [picture_seed(7, index) for index in seen] == [7, 8]


def test_pictures_may_come_from_a_generator_one_at_a_time(pictures):
    events = []

    def stream():
        for picture in pictures:
            events.append(f"read {picture[0]}")
            yield picture

    evaluate({}, stream(), protocol="srdiff", scale=2, progress=lambda name: events.append(f"done {name}"))
    assert events == ["read left", "done left", "read right", "done right"]


def test_results_can_be_kept(pictures):
    kept = {}
    evaluate(nearest, pictures, protocol="y", scale=2, keep=lambda name, method, sr: kept.update({(name, method): sr}))
    assert list(kept) == [("left", "bicubic"), ("left", "model"), ("right", "bicubic"), ("right", "model")]
    np.testing.assert_array_equal(kept["right", "model"], nearest(pictures[1][2], 1))


def test_lpips_is_measured_between_result_and_original(pictures):
    class Distance(SimpleNamespace):
        def __call__(self, sr, hr):
            return float(np.abs(sr.astype(float) - hr).max())

    report = evaluate(nearest, pictures, protocol="y", scale=2, lpips=Distance(net="fake"))
    assert report.lpips_net == "fake"
    name, hr, lr = pictures[0]
    assert report.scores["model"][0].lpips == np.abs(nearest(lr, 0).astype(float) - hr).max()


def test_the_mean_is_over_the_pictures_that_have_the_score():
    report = Report("y", 2, None, ["a", "b"], {"bicubic": [Scores(30, None, None, 40), Scores(20, 0.5, None, np.inf)]})
    assert report.mean("bicubic") == Scores(25, 0.5, None, np.inf)
    assert report.without("ssim") == ["a"]
    assert report.without("psnr") == []


def test_niqe_is_measured_of_results(pictures):
    report = evaluate(nearest, pictures, protocol="y", scale=2, niqe=lambda sr: float(sr.shape[1]))
    assert report.niqe and [scores.niqe for scores in report.scores["model"]] == [64.0, 32.0]
    assert report.with_rows(report.names, report.rows()) == report


def test_rows_make_the_same_report_again():
    report = Report("y", 2, None, ["a"], {"bicubic": [Scores(30, None, 0.5, 40, 1)], "one": [Scores(20, 0.5, None, 9)]})
    assert report.rows().shape == (1, 12)
    assert report.with_rows(["a"], report.rows()) == report
    assert report.with_rows([], []).scores == {"bicubic": [], "one": []}


def test_a_report_holds_losses_too():
    report = Report(names=["a", "b"], scores={"model": [Denoising(1.0), Denoising(2.0)]}, kind=Denoising)
    assert report.mean("model") == Denoising(1.5)
    np.testing.assert_array_equal(report.rows(), [[1.0], [2.0]])
    assert report.with_rows(report.names, report.rows()) == report


def test_a_picture_too_small_for_ssim_does_not_stop_the_evaluation(photo):
    pictures = [(f"{side}", photo[:side, :side], imresize(photo[:side, :side], 1 / 2)) for side in (2, 4, 20)]
    report = evaluate({}, pictures, protocol="srdiff", scale=2)
    assert report.without("ssim") == ["2", "4"]
    assert report.mean("bicubic").ssim == report.scores["bicubic"][2].ssim


def test_no_pictures_have_a_report_that_can_be_joined_to_others():
    assert evaluate({}, [], protocol="y", scale=2).rows().shape == (0, 6)


def test_an_original_of_another_size_is_refused(photo):
    with pytest.raises(UserError, match="original of odd must be 2 times its LR of 10x8, that is 20x16, not 21x16"):
        evaluate({}, [("odd", photo[:16, :21], photo[:8, :10])], protocol="y", scale=2)


def test_a_model_of_another_scale_is_refused(pictures):
    with pytest.raises(UserError, match="model made 32x24 pixels of left, expected 64x48"):
        evaluate(lambda lr, index: lr, pictures, protocol="y", scale=2)


def test_a_model_cannot_take_the_name_of_the_baseline(pictures):
    with pytest.raises(UserError, match="'bicubic' is taken"):
        evaluate({"bicubic": nearest}, pictures, protocol="y", scale=2)
