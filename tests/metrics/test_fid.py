"""Moments, Fréchet distance and Inception Score against NumPy, pytorch-fid and torch-fidelity; files of statistics."""

import json
from pathlib import Path

import numpy as np
import pytest

from src.errors import UserError
from src.metrics.fid import (
    Gaussian,
    InceptionScore,
    Moments,
    frechet_distance,
    read_statistics,
    write_statistics,
)
from tests.metrics.inception_formula import formula_features, formula_logits

GOLDEN = json.loads((Path(__file__).parent / "inception_golden.json").read_text(encoding="utf-8"))


def gaussian_of(vectors, *bounds):
    moments = Moments()
    for batch in np.split(vectors, bounds):
        moments.add(batch)
    return moments.gaussian()


def rank_deficient(seed, count=5, size=40):
    return np.random.default_rng(seed).standard_normal((count, size)) + seed


@pytest.mark.parametrize("bounds", [(), (1, 2, 17), (59,)])
def test_moments_in_batches_are_those_of_numpy(bounds):
    vectors = formula_features(1, 60)
    found = gaussian_of(vectors, *bounds)
    np.testing.assert_allclose(found.mean, vectors.mean(0), rtol=1e-13)
    np.testing.assert_allclose(found.covariance, np.cov(vectors, rowvar=False), rtol=1e-11, atol=1e-12)


def test_a_mean_far_from_zero_costs_no_digits():
    small = np.random.default_rng(0).standard_normal((100, 3))
    far = gaussian_of(small + 1e7, *range(8, 100, 8))
    np.testing.assert_allclose(far.covariance, np.cov(small, rowvar=False), atol=1e-8)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_vectors_are_refused(count):
    moments = Moments()
    if count:
        moments.add(np.ones((1, 4), np.float32))
    with pytest.raises(UserError, match=f"at least 2 pictures of each kind, got {count}"):
        moments.gaussian()


def test_the_distance_is_that_of_pytorch_fid():
    one, other = gaussian_of(formula_features(1, 40), 7), gaussian_of(formula_features(2, 60), 31)
    assert frechet_distance(one, other) == pytest.approx(GOLDEN["frechet_distance"], rel=1e-10)
    assert frechet_distance(other, one) == pytest.approx(GOLDEN["frechet_distance"], rel=1e-10)


def test_of_gaussians_whose_covariances_commute_it_is_a_difference_of_deviations():
    one = Gaussian(np.array([1.0, 2.0]), np.diag([4.0, 9.0]))
    other = Gaussian(np.array([1.0, 5.0]), np.diag([1.0, 0.0]))
    assert frechet_distance(one, other) == pytest.approx(9 + (2 - 1) ** 2 + (3 - 0) ** 2, rel=1e-12)


def test_fewer_pictures_than_features_still_give_the_exact_distance():
    vectors = [rank_deficient(seed) for seed in (1, 2)]
    centred = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in vectors]
    common = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    expected = np.sum((vectors[0].mean(0) - vectors[1].mean(0)) ** 2) + sum(np.sum(x * x) for x in centred) - 2 * common
    assert frechet_distance(*map(gaussian_of, vectors)) == pytest.approx(expected, rel=1e-7)


def test_a_set_has_no_distance_to_itself_and_it_is_never_negative():
    for vectors in (formula_features(1, 40), rank_deficient(1), np.zeros((3, 4))):
        assert 0 <= frechet_distance(gaussian_of(vectors), gaussian_of(vectors)) < 1e-6


def test_statistics_of_other_features_are_refused():
    with pytest.raises(UserError, match="have 12 and 4 features"):
        frechet_distance(gaussian_of(formula_features(1, 9)), gaussian_of(np.ones((3, 4))))


def test_statistics_are_written_as_pytorch_fid_reads_them(tmp_path):
    written = gaussian_of(formula_features(1, 40))
    path = tmp_path / "new folder" / "统计.npz"
    write_statistics(path, written)
    with np.load(path) as file:
        assert sorted(file) == ["mu", "sigma"]
        np.testing.assert_array_equal(file["mu"][:], written.mean)
    read = read_statistics(path)
    np.testing.assert_array_equal(read.mean, written.mean)
    np.testing.assert_allclose(read.covariance, written.covariance, rtol=1e-15)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_statistics_go_nowhere_else(tmp_path):
    with pytest.raises(UserError, match="written to an .npz file, not .*s.npy"):
        write_statistics(tmp_path / "s.npy", gaussian_of(formula_features(1, 9)))
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the statistics"):
        write_statistics(tmp_path / "file" / "s.npz", gaussian_of(formula_features(1, 9)))


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def test_broken_statistics_are_refused_in_one_line(tmp_path):
    good = write_npz(tmp_path / "good.npz", mu=np.zeros(50), sigma=np.eye(50)).read_bytes()
    (tmp_path / "short.npz").write_bytes(good[: len(good) // 2])
    method = good.index(b"PK\x01\x02") + 10  # of compression, in the archive's table of contents
    (tmp_path / "method.npz").write_bytes(good[:method] + b"\x63" + good[method + 1 :])
    (tmp_path / "locked.npz").write_bytes(good[: method - 2] + b"\x01" + good[method - 1 :])
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "text.npz").write_text("mu sigma")
    np.save(tmp_path / "array.npz.npy", np.zeros(3))
    (tmp_path / "array.npz.npy").rename(tmp_path / "array.npz")
    write_npz(tmp_path / "names.npz", mean=np.zeros(4), cov=np.eye(4))
    write_npz(tmp_path / "pickled.npz", mu=np.array([{}]), sigma=np.eye(1))
    write_npz(tmp_path / "words.npz", mu=np.array(["a"]), sigma=np.eye(1))
    write_npz(tmp_path / "shapes.npz", mu=np.zeros(4), sigma=np.eye(5))
    write_npz(tmp_path / "none.npz", mu=np.zeros(0), sigma=np.zeros((0, 0)))
    write_npz(tmp_path / "nan.npz", mu=np.zeros(2), sigma=np.full((2, 2), np.nan))
    messages = {
        **dict.fromkeys(
            ("short", "method", "locked", "empty", "text", "array", "names", "pickled", "words"),
            "expected an .npz with mu and",
        ),
        **dict.fromkeys(("shapes", "none"), r"expected \(D,\) and \(D, D\)"),
        **{"nan": "not finite", "missing": "there is no file"},
    }
    for name, message in messages.items():
        with pytest.raises(UserError, match=message) as caught:
            read_statistics(tmp_path / f"{name}.npz")
        assert f"{name}.npz" in str(caught.value)


def score_of(logits, *bounds, **options):
    score = InceptionScore(len(logits), **options)
    for batch in np.split(logits, bounds):
        score.add(batch)
    return score.result()


@pytest.mark.parametrize("bounds", [(), (1, 12, 13)])
def test_the_score_is_that_of_torch_fidelity_in_any_batches(bounds):
    assert score_of(formula_logits(), *bounds) == pytest.approx(GOLDEN["is_of_logits"], rel=1e-6)


def test_certain_and_different_pictures_score_the_number_of_classes():
    logits = np.where(np.eye(4, dtype=bool)[np.arange(40) % 4], 1e4, 0)  # far beyond where exp overflows
    assert score_of(logits, splits=1) == pytest.approx((4, 0), rel=1e-12)


def test_equal_pictures_have_a_score_of_one():
    assert score_of(np.tile(formula_logits(1), (20, 1))) == pytest.approx((1, 0), abs=1e-12)


def test_fewer_pictures_than_parts_have_no_score():
    assert score_of(formula_logits(9)) == (None, None)
    assert score_of(formula_logits(10))[0] == pytest.approx(1)
