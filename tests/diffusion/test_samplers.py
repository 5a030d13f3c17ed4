"""The contract that all samplers keep, their noise, and their sums."""

import weakref
from functools import partial

import numpy as np
import pytest

from src.diffusion.samplers import (
    BLOCK,
    SAMPLERS,
    Coefficients,
    SeededNoise,
    ddim,
    ddpm,
    sampler,
    weighted_sum,
)  # fmt: skip
from src.diffusion.schedule import SPACINGS, make_schedule
from src.errors import UserError
from tests.diffusion import gaussian

SCHEDULE = make_schedule(steps=100)
STEPS = SCHEDULE.steps(10)
SHAPE = (2, 3, 4, 5)
DETERMINISTIC = {"ddim", "dpmpp_2m"}
VARIANTS = {**SAMPLERS, "ddim, eta 0.5": partial(ddim, eta=0.5), "ddim, eta 1": partial(ddim, eta=1)}
NETWORK = gaussian.denoiser(0.04, 0.3)


@pytest.fixture(params=VARIANTS)
def name(request):
    return request.param


@pytest.fixture
def sample(name):
    return VARIANTS[name]


def test_shape_and_dtype_are_those_of_the_noise(sample):
    for dtype in (np.float32, np.float64):
        x = sample(NETWORK, SHAPE, STEPS, lambda k, shape, dtype=dtype: np.ones(shape, dtype))
        assert x.shape == SHAPE
        assert x.dtype == dtype


def test_a_temperature_that_is_a_numpy_number_keeps_float32(sample):
    assert sample(NETWORK, SHAPE, STEPS, SeededNoise([1, 2]), temperature=np.float64(0.5)).dtype == np.float32


@pytest.mark.parametrize("spacing", SPACINGS)
def test_a_point_is_always_found(sample, spacing):
    goal = np.random.default_rng(0).uniform(-1, 1, SHAPE).astype(np.float32)
    for count in (1, 2, 3, 10, 100):
        x = sample(lambda x, step: goal, SHAPE, SCHEDULE.steps(count, spacing), SeededNoise([1, 2]))
        np.testing.assert_array_equal(x, goal)
        assert x is not goal


def test_the_temperature_scales_all_noise(sample):
    """Around a linear network the sample is linear in the noise."""
    full, half, none, other = (
        sample(gaussian.denoiser(0.04), SHAPE, STEPS, SeededNoise(seeds), temperature)
        for seeds, temperature in (([1, 2], 1), ([1, 2], 0.5), ([1, 2], 0), ([3, 4], 1))
    )
    np.testing.assert_allclose(half, 0.5 * full, atol=1e-6)
    assert not none.any()
    assert np.abs(full - other).max() > 0.01


def test_temperature_0_is_deterministic(sample):
    first, other = (sample(NETWORK, SHAPE, STEPS, SeededNoise(seeds), 0) for seeds in ([1, 2], [3, 4]))
    np.testing.assert_array_equal(first, other)
    np.testing.assert_allclose(first, 0.3, atol=0.05)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("temperature", [1, 0])
def test_draws_are_numbered_and_asked_only_where_they_count(name, sample, count, temperature):
    asked = []

    def noise(k, shape):
        asked.append((k, shape))
        return np.ones(shape, np.float32)

    sample(NETWORK, SHAPE, SCHEDULE.steps(count), noise, temperature)
    draws = 1 if name in DETERMINISTIC or temperature == 0 else count
    assert asked == [(k, SHAPE) for k in range(draws)]


def test_the_callback_comes_once_after_each_step(sample):
    seen, estimates = [], []

    def denoise(x, step):
        if seen:
            np.testing.assert_array_equal(x, seen[-1][2])
        estimates.append(NETWORK(x, step))
        return estimates[-1]

    def callback(k, step, x, x_0):
        assert x_0 is estimates[-1]
        seen.append((k, step, x.copy()))

    x = sample(denoise, SHAPE, STEPS, SeededNoise([1, 2]), callback=callback)
    assert [entry[:2] for entry in seen] == list(enumerate(STEPS))
    np.testing.assert_array_equal(seen[-1][2], x)
    np.testing.assert_array_equal(estimates[-1], x)


def test_a_sampler_goes_on_from_the_middle():
    states, noise = [], SeededNoise([1, 2])
    expected = ddpm(NETWORK, SHAPE, STEPS, noise, callback=lambda k, step, x, x_0: states.append(x.copy()))
    found = ddpm(NETWORK, SHAPE, STEPS[2:], lambda k, shape: noise(k + 2, shape), start=states[1])
    np.testing.assert_array_equal(found, expected)


def test_tensors_go_through_the_same_code(sample):
    ms = pytest.importorskip("mindspore")
    source = SeededNoise([1, 2])
    temperature = np.float64(0.7)  # NumPy's number times a tensor would be an array
    expected = sample(NETWORK, SHAPE, STEPS, source, temperature)
    tensor = sample(NETWORK, SHAPE, STEPS, lambda k, shape: ms.Tensor(source(k, shape)), temperature)
    assert isinstance(tensor, ms.Tensor) and tensor.dtype == ms.float32
    np.testing.assert_allclose(tensor.asnumpy(), expected, atol=1e-5)


def test_what_noise_and_denoise_return_is_only_read(sample):
    def frozen(array):
        array.flags.writeable = False
        return array

    source = SeededNoise([1, 2])
    expected = sample(NETWORK, SHAPE, STEPS, source)
    x = sample(
        lambda x, step: frozen(NETWORK(x, step)), SHAPE, STEPS, lambda k, shape: frozen(source(k, shape))
    )  # fmt: skip
    np.testing.assert_array_equal(x, expected)
    x += 1  # the result is the caller's


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x[:]])
def test_a_network_may_return_what_it_was_given(sample, view):
    seen = []
    x = sample(
        lambda x, step: view(x), SHAPE, STEPS, SeededNoise([1, 2]),
        callback=lambda k, step, x, x_0: seen.append(np.may_share_memory(x, x_0)),
    )  # fmt: skip
    np.testing.assert_array_equal(x, sample(lambda x, step: x.copy(), SHAPE, STEPS, SeededNoise([1, 2])))
    assert not any(seen)


def test_a_network_may_return_views(sample):
    def cropped(x, step):
        return np.pad(NETWORK(x, step), ((0, 0), (0, 0), (1, 2), (3, 1)))[:, :, 1:-2, 3:-1]

    expected = sample(NETWORK, SHAPE, STEPS, SeededNoise([1, 2]))
    np.testing.assert_array_equal(sample(cropped, SHAPE, STEPS, SeededNoise([1, 2])), expected)


def test_no_large_array_is_kept_longer_than_it_is_needed(name, sample):
    """A picture of 7680 × 4320 takes 400 MB: while the network runs, x and at most one earlier x_0 are alive."""
    made = []

    def remember(array):
        made.append(weakref.ref(array))
        return array

    def denoise(x, step):
        alive = [array for array in (ref() for ref in made) if array is not None]
        assert len(alive) <= (1 if name.startswith("dpmpp") else 0)
        return remember(NETWORK(x, step))

    source = SeededNoise([1, 2])
    sample(denoise, SHAPE, STEPS, lambda k, shape: remember(source(k, shape)))
    assert not any(ref() is not None for ref in made)
    assert len(made) >= len(STEPS) + 1


def test_noise_of_another_shape_is_refused(sample):
    with pytest.raises(UserError, match=r"must give arrays \(2, 3, 4, 5\), but its draw 0 is \(1, 3, 4, 5\)"):
        sample(NETWORK, SHAPE, STEPS, lambda k, shape: np.ones((1, 3, 4, 5)))


@pytest.mark.parametrize("schedule", [make_schedule(steps=100), make_schedule("linear", 1000)])
def test_a_gaussian_is_sampled_with_its_deviation(sample, schedule):
    """All trained steps, from ᾱ = 2e-7 on: what is left is the sampler's own error, of first or second order."""
    for variance in (0.04, 0.5):
        found = gaussian.sampled_variance(sample, variance, schedule.steps())
        assert found**0.5 == pytest.approx(variance**0.5, rel=0.1)


@pytest.mark.parametrize("eta", [-0.1, 1.1, float("nan")])
def test_eta_out_of_range_is_refused(eta):
    with pytest.raises(UserError, match="eta must be from 0 to 1, not"):
        ddim(NETWORK, SHAPE, STEPS, SeededNoise([1, 2]), eta=eta)


def test_a_sampler_tells_its_options_and_its_coefficients():
    assert {name: function.options for name, function in SAMPLERS.items() if function.options} == {"ddim": ("eta",)}
    assert SAMPLERS["ddim"].coefficients(STEPS, eta=1)[0] == pytest.approx(SAMPLERS["ddpm"].coefficients(STEPS)[0])
    for function in SAMPLERS.values():
        rows = function.coefficients(STEPS)
        assert all(type(number) is float for row in rows for number in row)
        assert rows[-1].deviation == 0
    with pytest.raises(TypeError, match="eta"):
        ddpm(NETWORK, SHAPE, STEPS, SeededNoise([1, 2]), eta=0.5)


def test_a_new_sampler_is_one_function():
    @sampler
    def jump(steps, share=1.0):
        return [Coefficients(share, 0.0, 0.0)] * len(steps)

    x = jump(lambda x, step: np.full_like(x, step.t), SHAPE, STEPS, SeededNoise([1, 2]), share=0.5)
    assert jump.options == ("share",) and (x == STEPS[-1].t * 0.5).all()


def test_noise_belongs_to_the_picture_not_to_the_batch():
    together, alone = SeededNoise([7, 8]), SeededNoise([8])
    assert np.array_equal(together(3, (2, 3, 4, 4))[1], alone(3, (1, 3, 4, 4))[0])
    assert not np.array_equal(together(3, (2, 3, 4, 4)), together(4, (2, 3, 4, 4)))


def test_it_is_standard_normal():
    draw = SeededNoise([0])(0, (1, 3, 128, 128))
    assert draw.dtype == np.float32
    assert draw.mean() == pytest.approx(0, abs=0.02)
    assert draw.std() == pytest.approx(1, abs=0.02)


def test_it_stays_the_same_from_version_to_version():
    """Samples that users published with a seed must come out again."""
    first = [-0.26580974, 0.34952223, -0.16579008, 1.4539332]
    second = [-1.2355186, 1.5408639, 0.5721279, -0.024918808]
    assert np.array_equal(SeededNoise([7, 2**64])(3, (2, 4)), np.array([first, second], np.float32))


def test_every_picture_is_a_draw_of_its_own_generator():
    shape = (3, 3, 5, 7)
    for k in (0, 1, 100):
        for seed, picture in zip([4, 9, 4], SeededNoise([4, 9, 4])(k, shape), strict=True):
            generator = np.random.Generator(np.random.Philox(key=seed, counter=k << 192))
            assert np.array_equal(picture, generator.standard_normal(shape[1:], np.float32))


def test_each_draw_is_a_new_array():
    noise = SeededNoise([1])
    first = noise(0, (1, 4))
    first[:] = 0
    assert noise(0, (1, 4)).all()


@pytest.mark.parametrize("seed", [-1, 2**128])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(UserError, match=rf"a seed must be from 0 to 2\^128 - 1, not {seed}"):
        SeededNoise([0, seed])


def test_another_number_of_pictures_is_refused():
    with pytest.raises(UserError, match="each picture of a batch needs a seed: 3 pictures, 2 seeds"):
        SeededNoise([1, 2])(0, (3, 3, 4, 4))


WEIGHTS = (0.3, -1.7, 0.25)


def arrays_of(shape, count=3, dtype=np.float32):
    rng = np.random.default_rng(len(shape))
    return [rng.standard_normal(shape).astype(dtype) for _ in range(count)]


SHAPES = [
    (1,),
    (0, 3),
    (3, 0),
    (2, 3, 5, 7),
    (1, 3, 257, 301),  # blocks of rows, the last one smaller
    (2 * BLOCK + 3,),
    (3, BLOCK + 1),  # a row is more than a block
    (BLOCK // 2 + 5, 3),
    (2, 1, BLOCK // 4, 1, 9),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_equals_the_plain_expression_bit_for_bit(shape, dtype):
    arrays = arrays_of(shape, dtype=dtype)
    for count in (1, 2, 3):
        expected = WEIGHTS[0] * arrays[0]
        for weight, array in zip(WEIGHTS[1:count], arrays[1:count], strict=True):
            expected = expected + weight * array
        found = weighted_sum(list(zip(WEIGHTS[:count], arrays[:count], strict=True)))
        assert found.dtype == dtype and found.shape == shape
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_result_may_replace_any_input(place):
    arrays = arrays_of((1, 3, 257, 301))
    terms = list(zip(WEIGHTS, arrays, strict=True))
    expected, kept = weighted_sum(terms), [array.copy() for array in arrays]
    assert weighted_sum(terms, out=arrays[place]) is arrays[place]
    np.testing.assert_array_equal(arrays[place], expected)
    for other in {0, 1, 2} - {place}:
        np.testing.assert_array_equal(arrays[other], kept[other])


def test_an_array_without_dimensions():
    found = weighted_sum([(0.5, np.array(3, np.float32)), (2.0, np.array(1, np.float32))])
    assert (found.shape, found.dtype, float(found)) == ((), np.float32, 3.5)


def test_an_array_may_come_twice():
    (array,) = arrays_of((5, 7), 1)
    expected = 0.5 * array + 0.25 * array
    np.testing.assert_array_equal(weighted_sum([(0.5, array), (0.25, array)], out=array), expected)


def test_views_of_any_strides():
    whole, other = arrays_of((2, 3, 300, 400), 2)
    view, turned = whole[:, ::-1, 4:-4, 8:-8], other[:, :, 4:-4, 8:-8].transpose(0, 1, 3, 2).transpose(0, 1, 3, 2)
    expected = 2.0 * view + 0.5 * turned
    np.testing.assert_array_equal(weighted_sum([(2.0, view), (0.5, turned)]), expected)
    before = whole.copy()
    weighted_sum([(2.0, view), (0.5, turned)], out=view)
    np.testing.assert_array_equal(view, expected)
    np.testing.assert_array_equal(whole[:, :, :4], before[:, :, :4])


def test_other_dtypes_are_rounded_to_the_results():
    single, double = arrays_of((4, 5), 1)[0], arrays_of((4, 5), 1, np.float64)[0]
    out = np.empty((4, 5), np.float32)
    assert weighted_sum([(0.5, single), (np.float64(0.25), double)], out=out).dtype == np.float32
    np.testing.assert_allclose(out, 0.5 * single + 0.25 * double, atol=1e-6)
    assert weighted_sum([(0.5, np.arange(3))]).tolist() == [0, 0.5, 1]


def test_what_follows_the_first_is_broadcast():
    (array,) = arrays_of((2, 3, 4, 4), 1)
    expected = array + 0.5 * np.ones((2, 1, 1, 1), np.float32)
    np.testing.assert_array_equal(weighted_sum([(1.0, array), (0.5, np.ones((2, 1, 1, 1), np.float32))]), expected)
    with pytest.raises(ValueError, match="broadcast"):
        weighted_sum([(1.0, array), (1.0, np.ones((2, 3, 5, 4), np.float32))])


def test_tensors_are_added_as_tensors():
    ms = pytest.importorskip("mindspore")
    arrays = arrays_of((2, 3))
    found = weighted_sum([(weight, ms.Tensor(array)) for weight, array in zip(WEIGHTS, arrays, strict=True)])
    assert isinstance(found, ms.Tensor) and found.dtype == ms.float32
    np.testing.assert_allclose(found.asnumpy(), weighted_sum(list(zip(WEIGHTS, arrays, strict=True))), atol=1e-6)


@pytest.mark.parametrize("rows", [slice(0, 1), slice(255, 258), slice(500, 700)])
def test_a_part_of_the_noise_is_what_the_whole_has_there(rows):
    noise, shape = SeededNoise([3, 2**90]), (2, 3, 700, 33)
    for k in (0, 5):
        whole = noise(k, shape)
        np.testing.assert_array_equal(noise.part(k, shape, rows, slice(7, 30)), whole[:, :, rows, 7:30])
        np.testing.assert_array_equal(noise.part(k, shape, slice(0, 700), slice(0, 33)), whole)
