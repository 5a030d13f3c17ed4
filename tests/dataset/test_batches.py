"""Batches: the same whatever the workers, the ranks and the interruptions."""

import threading

import mindspore.dataset as ds
import numpy as np
import pytest

from src.config.schema import DegradationConfig
from src.dataset.batches import (
    dropout_keys_at,
    make_batch,
    noise_at,
    training_batches,
)
from src.dataset.degradation import degradation_of
from src.dataset.patches import ORDER, PatchPairs, generator
from src.errors import UserError
from tests.dataset.pictures import crops, write_pictures


@pytest.fixture
def patches(tmp_path, photo):
    return PatchPairs(write_pictures(tmp_path, crops(photo, 5)), scale=4, patch_size=16, seed=3)


def rows(patches, **options):
    options = {"batch_size": 3, "batches": 7, "noise_steps": 50} | options
    return list(training_batches(patches, **options).create_dict_iterator(output_numpy=True))


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            assert np.array_equal(a[name], b[name]), name


def test_columns(patches):
    row = rows(patches)[2]
    assert {name: (value.shape, value.dtype) for name, value in row.items()} == {
        "hr": ((3, 3, 16, 16), np.float32),
        "lr": ((3, 3, 4, 4), np.float32),
        "t": ((3,), np.int32),
        "noise": ((3, 3, 16, 16), np.float32),
    }
    for i in range(3):
        hr, lr = patches.sample(6 + i)
        t, noise = noise_at(3, 6 + i, (3, 16, 16), 50)
        assert np.array_equal(np.rint((row["hr"][i] + 1) * 127.5).astype(np.uint8), hr.transpose(2, 0, 1))
        assert np.array_equal(np.rint((row["lr"][i] + 1) * 127.5).astype(np.uint8), lr.transpose(2, 0, 1))
        assert row["t"][i] == t and np.array_equal(row["noise"][i], noise[0])


def test_keys_of_dropout_come_last(patches):
    row, rest = rows(patches, draws=2, dropout_keys=True)[2], rows(patches, draws=2)[2]
    assert list(row) == [*rest, "keys"] and (row["keys"].shape, row["keys"].dtype) == ((6,), np.int32)
    assert_same([{name: row[name] for name in rest}], [rest])
    assert row["keys"].tolist() == [key for number in (6, 7, 8) for key in dropout_keys_at(3, number, 2)]
    two_ranks = [rows(patches, dropout_keys=True, batches=2, ranks=2, rank=rank)[1]["keys"] for rank in range(2)]
    one = rows(patches, dropout_keys=True, batches=2, batch_size=6)[1]["keys"]
    assert np.concatenate(two_ranks).tolist() == one.tolist() and len(set(one)) == 6


def test_at_scale_1_lr_is_hr(tmp_path, photo):
    folder = write_pictures(tmp_path, crops(photo, 5))
    whole = PatchPairs(folder, scale=1, patch_size=16, seed=3)
    (hr, lr), expected = make_batch(whole, 3, 2), make_batch(PatchPairs(folder, scale=4, patch_size=16, seed=3), 3, 2)
    assert hr is lr and hr.shape == expected[0].shape and hr.min() >= -1 and np.abs(hr).max() <= 1
    on_demand = PatchPairs(folder, scale=1, patch_size=16, seed=3, cache_bytes=1000)
    assert not on_demand.cached and np.array_equal(make_batch(on_demand, 3, 2)[0], hr)


def test_at_scale_1_a_degradation_makes_lr_all_the_same(tmp_path, photo):
    folder = write_pictures(tmp_path, crops(photo, 5))
    degradation = degradation_of(DegradationConfig(kind="real"))
    hr, lr = make_batch(PatchPairs(folder, scale=1, patch_size=16, seed=3, degradation=degradation), 3, 2)
    assert hr.shape == lr.shape == (2, 3, 16, 16) and (hr != lr).any()


def test_ranks_degrade_as_one_process_would(tmp_path, photo):
    degradation = degradation_of(DegradationConfig(kind="real"))
    patches = PatchPairs(write_pictures(tmp_path, crops(photo, 5)), scale=4, patch_size=16, degradation=degradation)
    lr = [[row["lr"] for row in rows(patches, noise_steps=None, batches=2, ranks=2, rank=rank)] for rank in range(2)]
    one = [row["lr"] for row in rows(patches, noise_steps=None, batches=2, batch_size=6)]
    np.testing.assert_array_equal(np.concatenate(lr, axis=1), one)


def test_several_draws_of_a_sample_follow_one_another(patches):
    one, two = rows(patches)[2], rows(patches, draws=2)[2]
    assert two["t"].shape == (6,) and two["noise"].shape == (6, 3, 16, 16)
    for name in ("hr", "lr"):
        assert np.array_equal(two[name], one[name])
    for name in ("t", "noise"):
        assert np.array_equal(two[name][::2], one[name])
    assert np.array_equal(two["t"][1::2], (one["t"] + 25) % 50)


def test_black_is_minus_one_and_white_is_one(tmp_path):
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[:, 8:] = 255
    patches = PatchPairs(write_pictures(tmp_path, [picture]), scale=4, patch_size=16)
    hr, _ = make_batch(patches, 0, 1)
    assert set(np.unique(hr)) == {np.float32(-1), np.float32(1)}


def test_without_noise_there_are_two_columns(patches):
    assert list(rows(patches, noise_steps=None)[0]) == ["hr", "lr"]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("prefetch", [1, 8])
def test_workers_and_prefetch_change_nothing(patches, workers, prefetch):
    assert_same(rows(patches, workers=workers, prefetch=prefetch), rows(patches))


def test_a_resumed_run_sees_what_an_uninterrupted_one_does(patches):
    assert_same(rows(patches, batches=4) + rows(patches, batches=3, first_sample=12), rows(patches))


def test_ranks_share_the_samples_of_one_large_batch(patches):
    whole = rows(patches, batch_size=6)
    parts = [rows(patches, batch_size=2, rank=rank, ranks=3) for rank in range(3)]
    for step, row in enumerate(whole):
        for name in row:
            assert np.array_equal(np.concatenate([part[step][name] for part in parts]), row[name])


def test_a_change_of_ranks_neither_repeats_nor_leaves_out_a_sample(patches):
    two = [rows(patches, batch_size=2, batches=3, rank=rank, ranks=2) for rank in range(2)]
    then = rows(patches, batch_size=4, batches=4, first_sample=3 * 2 * 2)
    whole = rows(patches, batch_size=4, batches=7)
    joined = [{name: np.concatenate([a[name], b[name]]) for name in a} for a, b in zip(*two, strict=True)]
    assert_same(joined + then, whole)


def test_sizes_and_repeated_iteration(patches):
    batches = training_batches(patches, batch_size=2, batches=5)
    assert batches.get_dataset_size() == 5
    first = list(batches.create_dict_iterator(output_numpy=True))
    assert_same(list(batches.create_dict_iterator(output_numpy=True)), first)
    names = [hr for hr, _ in batches.create_tuple_iterator(output_numpy=True)]
    assert len(names) == 5


class Failing:
    """Patches of which one cannot be read; counts how far it was asked."""

    patch_size, scale, seed, lr_up = 8, 4, 0, False

    def __init__(self, error=None, at=None):
        self.error, self.at, self.asked = error, at, 0

    def sample(self, index):
        self.asked = max(self.asked, index + 1)
        if index == self.at:
            raise self.error
        return np.zeros((8, 8, 3), np.uint8), np.zeros((2, 2, 3), np.uint8)


@pytest.mark.parametrize("error", [UserError("0002.png is broken: replace it"), MemoryError("no memory")])
def test_a_workers_error_comes_as_itself(error):
    batches = training_batches(Failing(error, at=5), batch_size=2, batches=100)
    count = 0
    with pytest.raises(type(error)) as raised:
        for _ in batches.create_dict_iterator():
            count += 1
    assert raised.value is error
    assert count <= 2  # mindspore may drop whole batches that wait before it


def test_a_picture_that_is_gone_is_named(patches):
    patches.pairs[0].hr.unlink()
    with pytest.raises(UserError, match=r"0001\.png"):
        rows(patches)


def test_no_more_is_prepared_than_was_asked_for():
    source = Failing()
    batches = training_batches(source, batch_size=1, batches=1000, prefetch=3).create_dict_iterator()
    for _ in range(10):
        next(batches)
    for thread in threading.enumerate():
        if thread.name.startswith("batches"):
            thread.join(0.2)  # give the workers time to run ahead
    assert 10 <= source.asked <= 10 + 3 + 3  # mindspore itself holds up to two rows and asks for one more


def test_mindspores_global_settings_are_left_alone(patches):
    before = ds.config.get_prefetch_size(), ds.config.get_seed(), ds.config.get_num_parallel_workers()
    rows(patches, prefetch=2)
    assert (ds.config.get_prefetch_size(), ds.config.get_seed(), ds.config.get_num_parallel_workers()) == before


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"workers": 0},
        {"prefetch": 0},
        {"batches": 0},
        {"first_sample": -1},
        {"rank": 2, "ranks": 2},
        {"ranks": 0},
    ],
)
def test_numbers_out_of_range(patches, options):
    with pytest.raises(UserError):
        rows(patches, **options)


def test_batches_end_with_lr_up(port):
    patches = PatchPairs(port, scale=4, patch_size=16, lr_up=True)
    for steps, names in ((50, ["hr", "lr", "t", "noise", "lr_up"]), (None, ["hr", "lr", "lr_up"])):
        (row,) = training_batches(patches, batch_size=2, batches=1, noise_steps=steps).create_dict_iterator(
            output_numpy=True
        )
        assert list(row) == names
        np.testing.assert_allclose(row["lr_up"], -row["hr"], atol=1e-6)
        for given, made in zip(make_batch(patches, 0, 2, steps), row.values(), strict=True):
            np.testing.assert_array_equal(given, made)


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
    assert generator(7, ORDER, 3).permutation(6).tolist() == [2, 5, 4, 3, 0, 1]


def test_several_draws_of_a_sample_are_spread_over_time_and_each_is_uniform():
    draws = [noise_at(1, index, (2, 2), 10, draws=3) for index in range(400)]
    times = np.stack([t for t, _ in draws])
    assert times.dtype == np.int32 and times.shape == (400, 3)
    assert set(((times[:, 1:] - times[:, :-1]) % 10).ravel()) == {3}  # a third of ten, rounded down
    for column in times.T:
        assert np.bincount(column, minlength=10).min() > 20  # of 40 expected
    assert draws[0][1].shape == (3, 2, 2) and len(np.unique(draws[0][1])) == 12
    assert np.array_equal(noise_at(1, 5, (2, 2), 10)[1][0], draws[5][1][0])  # the first draw is that of one alone


def test_continuous_times_are_uniform_reals_and_the_noise_is_of_the_usual_law():
    draws = [noise_at(1, index, (2, 2), 10, draws=2, continuous=True) for index in range(2000)]
    times = np.stack([t for t, _ in draws])
    assert times.dtype == np.float32 and times.shape == (2000, 2) and (times >= 0).all() and (times < 10).all()
    assert np.allclose((times[:, 1] - times[:, 0]) % 10, 5, atol=1e-5)
    assert abs(times[:, 0].mean() - 5) < 0.2 and len(np.unique(times)) > 3900
    assert np.bincount(times[:, 0].astype(int), minlength=10).min() > 140  # of 200 expected
    noise = np.stack([noise for _, noise in draws])
    assert noise.shape == (2000, 2, 2, 2) and abs(noise.std() - 1) < 0.03
