import numpy as np

from src.dataset.batches import AUGMENTATION, DIFFUSION, ORDER, generator, noise_at, permutation_at


def test_a_value_depends_on_seed_stream_and_index_alone():
    first = generator(5, AUGMENTATION, 9).random(4)
    generator(5, AUGMENTATION, 8).random(100)
    assert np.array_equal(generator(5, AUGMENTATION, 9).random(4), first)
    for other in (generator(6, AUGMENTATION, 9), generator(5, DIFFUSION, 9), generator(5, AUGMENTATION, 10)):
        assert not np.array_equal(other.random(4), first)


def test_neighbouring_indices_do_not_overlap():
    long = generator(0, ORDER, 0).integers(2**63, size=4096)
    following = generator(0, ORDER, 1).integers(2**63, size=4096)
    assert not set(long.tolist()) & set(following.tolist())


def test_the_largest_seed_and_index_are_accepted():
    assert 0 <= generator(2**64 - 1, DIFFUSION, 2**64 - 1).random() < 1


def test_noise_is_standard_normal_and_every_time_step_comes():
    draws = [(tuple(t), noise) for t, noise in (noise_at(1, index, (3, 16, 16), 10) for index in range(400))]
    noise = np.concatenate([noise for _, noise in draws])
    assert noise.dtype == np.float32 and noise.shape == (400, 3, 16, 16)
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01
    assert {t for t, _ in draws} == {(n,) for n in range(10)}
    correlation = np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]
    assert abs(correlation) < 0.01


def test_values_are_pinned_so_that_old_runs_can_be_resumed():
    t, noise = noise_at(7, 123456789, (2,), 100)
    assert (t.tolist(), noise.tolist()) == ([59], [[-1.533296823501587, -0.3376345634460449]])
    assert permutation_at(7, 3, 6).tolist() == [2, 5, 4, 3, 0, 1]


def test_several_draws_of_a_sample_are_spread_over_time_and_each_is_uniform():
    draws = [noise_at(1, index, (2, 2), 10, draws=3) for index in range(400)]
    times = np.stack([t for t, _ in draws])
    assert times.dtype == np.int32 and times.shape == (400, 3)
    assert set(((times[:, 1:] - times[:, :-1]) % 10).ravel()) == {3}  # a third of ten, rounded down
    for column in times.T:
        assert np.bincount(column, minlength=10).min() > 20  # of 40 expected
    assert draws[0][1].shape == (3, 2, 2) and len(np.unique(draws[0][1])) == 12
    assert np.array_equal(noise_at(1, 5, (2, 2), 10)[1][0], draws[5][1][0])  # the first draw is that of one alone


def test_permutation_holds_every_picture_once():
    assert sorted(permutation_at(0, 2, 50).tolist()) == list(range(50))
    assert permutation_at(0, 2, 50).tolist() != permutation_at(0, 3, 50).tolist()


def test_continuous_times_are_uniform_reals_and_the_noise_is_of_the_usual_law():
    draws = [noise_at(1, index, (2, 2), 10, draws=2, continuous=True) for index in range(2000)]
    times = np.stack([t for t, _ in draws])
    assert times.dtype == np.float32 and times.shape == (2000, 2) and (times >= 0).all() and (times < 10).all()
    assert np.allclose((times[:, 1] - times[:, 0]) % 10, 5, atol=1e-5)
    assert abs(times[:, 0].mean() - 5) < 0.2 and len(np.unique(times)) > 3900
    assert np.bincount(times[:, 0].astype(int), minlength=10).min() > 140  # of 200 expected
    noise = np.stack([noise for _, noise in draws])
    assert noise.shape == (2000, 2, 2, 2) and abs(noise.std() - 1) < 0.03
