"""Distillation's teacher: its walk is the sampler's, the student's step ends where it ends; what does not fit."""

import mindspore as ms
import numpy as np
import pytest

from src.build import load_upscaler
from src.dataset.batches import noise_at
from src.diffusion.samplers import implicit
from src.errors import UserError
from src.families.registry import family_of
from src.host.device import select_device
from src.inference.upscaler import to_network
from src.training.run import run_training
from src.training.teacher import teacher_of
from src.training.trainer import training_of
from src.weights.checkpoint import load_checkpoint, load_into
from tests import tiny, tiny_sr3
from tests.training.test_trainer import assert_resumed_run_equals

VELOCITY = "diffusion.prediction=velocity"
REGRESSION = ("distill.method=regression", "distill.steps=4", "eval.steps=1", "eval.sampler=ddim", VELOCITY)
HALVING = (
    "distill.method=progressive", "distill.steps=4", "eval.steps=2", "eval.sampler=ddim",
    "eval.spacing=trailing", VELOCITY,
)  # fmt: skip
FORMS = {  # name: what makes its configuration
    "srdiff": lambda pictures, *more: tiny.config("srdiff", pictures, "unet.multipliers=[1]", *more),
    "sr3": lambda pictures, *more: tiny_sr3.config(
        *tiny_sr3.ONE_LEVEL, "sr3.dropout=0.2", f"data.train={pictures}/train", f"data.val={pictures}/val", *more
    ),
}


@pytest.fixture(autouse=True)
def device():
    select_device("CPU")


@pytest.fixture(scope="module", params=FORMS)
def form(request):
    return FORMS[request.param]


@pytest.fixture(scope="module")
def checkpoint(form, tiny_pictures, tmp_path_factory):
    return tiny.save_untrained(tmp_path_factory.mktemp("teacher") / "teacher.ckpt", form(tiny_pictures))


def taught(form, pictures, checkpoint, *more):
    """A family, its student with the teacher's weights, and the teacher."""
    family = family_of(form(pictures, f"distill.teacher={checkpoint}", *more))
    student = family.model()
    load_into(student, load_checkpoint(checkpoint).arrays, checkpoint)
    return family, student, teacher_of(family, student)


def batch_of(family, photo, draws=2):
    side = family.config.data.patch_size
    hr = to_network([photo[:side, :side], photo[50 : 50 + side, 90 : 90 + side]])
    lr = hr[:, :, ::4, ::4].copy()
    drawn = [noise_at(0, number, hr.shape[1:], 4, draws) for number in range(2)]
    return hr, lr, *map(np.concatenate, zip(*drawn, strict=True))


def test_from_x_T_it_makes_the_samplers_picture(form, checkpoint, tiny_pictures, photo):
    family, _, teacher = taught(form, tiny_pictures, checkpoint, *REGRESSION)
    hr, lr, t, noise = batch_of(family, photo)
    *_, base, x_t, told, rates, x_0 = teacher(0, *map(ms.Tensor, (hr, lr, t, noise)))
    np.testing.assert_array_equal(x_t.asnumpy(), noise)
    np.testing.assert_allclose(told.asnumpy(), family.noise_level().of(family.steps()[0]), rtol=1e-6)
    up = load_upscaler(checkpoint, "CPU", runtime="mindspore")
    wanted = up.sample(
        lr.repeat(2, 0), sampler="ddim", steps=4, temperature=1.0, noise=lambda k, shape: noise, consistency=False
    )
    made = family.target().to_picture(x_0.asnumpy(), base.asnumpy().repeat(2, 0))
    np.testing.assert_allclose(made, wanted, atol=1e-4)


def test_each_step_of_several_is_learnt_where_the_students_own_lead(form, checkpoint, tiny_pictures, photo):
    family, student, teacher = taught(form, tiny_pictures, checkpoint, *REGRESSION, "eval.steps=2")
    changed = student.unet if hasattr(student, "unet") else student
    for parameter in changed.trainable_params():  # the student's steps are no longer the teacher's
        parameter.set_data(parameter * 1.2)
    hr, lr, t, noise = batch_of(family, photo)
    batch = [ms.Tensor(array) for array in (hr, lr, t, noise)]
    (*_, x_T, _, _, first), (*_, x_t, told, rates, second) = teacher(0, *batch), teacher(1, *batch)
    np.testing.assert_array_equal(x_T.asnumpy(), noise)
    np.testing.assert_array_equal(first.asnumpy(), second.asnumpy())  # the goal of all steps is the teacher's picture
    start, step = family.steps()
    np.testing.assert_allclose(told.asnumpy(), family.noise_level().of(step), rtol=1e-6)
    np.testing.assert_allclose(rates.asnumpy(), [step.alpha_bar**0.5, (1 - step.alpha_bar) ** 0.5], rtol=1e-6)
    visited = []
    up = family.upscaler(family.model_networks(student), family.tiling())
    up.sample(
        lr.repeat(2, 0), sampler="ddim", steps=2, temperature=1.0, noise=lambda k, shape: noise, consistency=False,
        callback=lambda k, step, x, x_0: visited.append(x.copy()),
    )  # fmt: skip
    np.testing.assert_allclose(x_t.asnumpy(), visited[0], atol=1e-4)


def test_in_a_halving_the_students_step_ends_where_its_two_end(form, checkpoint, tiny_pictures, photo):
    family, _, teacher = taught(form, tiny_pictures, checkpoint, *HALVING)
    batch = [ms.Tensor(array) for array in batch_of(family, photo)]
    ends = []
    for number, step in enumerate(family.steps()):
        *_, base, x_t, told, rates, x_0 = teacher(number, *batch)
        np.testing.assert_allclose(told.asnumpy(), family.noise_level().of(step), rtol=1e-6)
        np.testing.assert_allclose(rates.asnumpy(), [step.alpha_bar**0.5, (1 - step.alpha_bar) ** 0.5], rtol=1e-6)
        part = teacher.parts[number]
        assert (part[0].t, part[-1].t_prev) == (step.t, step.t_prev)
        row = implicit(step)
        ends.append(row.of_x0 * x_0.asnumpy() + row.of_xt * x_t.asnumpy())
        condition = teacher.encode(batch[1])[3].asnumpy().repeat(2, 0)
        np.testing.assert_allclose(ends[-1], teacher.walk(x_t.asnumpy(), part, [condition]), atol=1e-5)
    assert np.abs(ends[0] - ends[1]).max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        (*REGRESSION, "distill.truth=0.5", "distill.inverse=0.1", "discriminator.network=pooled",
         "discriminator.features=4", "discriminator.hidden=8", "loss.adversarial=0.1", "train.accumulate=2"),
        HALVING,
        (*REGRESSION, "eval.steps=2"),
    ],
    ids=["regression", "progressive", "two steps"],
)  # fmt: skip
def test_a_resumed_run_equals_an_uninterrupted_one(form, checkpoint, tiny_pictures, tmp_path, monkeypatch, more):
    config = form(tiny_pictures, f"distill.teacher={checkpoint}", "train.steps=4", "train.ema_decay=0.9", *more)
    run_training(config, tmp_path / "whole")
    assert_resumed_run_equals(config, tmp_path / "whole", tmp_path / "run", monkeypatch, stop=3)
    before, after = (load_checkpoint(path).arrays for path in (checkpoint, tmp_path / "run" / "model.ckpt"))
    assert before.keys() == after.keys()
    assert any(np.abs(before[name] - after[name]).max() > 0 for name in before if name.startswith("unet."))
    assert all(np.array_equal(before[name], after[name]) for name in before if name.startswith("encoder."))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("distill.teacher=",), "'distill.teacher' is empty"),
        (("eval.steps=2", "distill.inverse=1"), "'distill.inverse' has no effect, since x_T is not what the last of 2"),
        (("eval.sampler=ddpm",), "'eval.sampler' must be one of ddim, dpmpp_2m, where"),
        (("distill.sampler=sr3",), "'distill.sampler' must be one of ddim, dpmpp_2m"),
        ((*HALVING, "distill.steps=3"), "must be a multiple of 'eval.steps'.* set distill.steps=4"),
        ((*HALVING, "distill.inverse=1"), "'distill.inverse' has no effect, since distill.method is progressive"),
        (("distill.method=none", "distill.steps=8"), "'distill.teacher' has no effect, since distill.method is none"),
        (("distill.method=none", "distill.teacher=", "distill.steps=8", "loss.pixel=2"), "'loss.pixel' has no effect"),
        (("loss.adversarial=1",), "'discriminator.network' is none"),
        (("data.sink=true",), "'data.sink' feeds batches that no teacher has seen"),
        (("eval.eta=0.5",), "'eval.eta' must be 0"),
        (("diffusion.prediction=noise",), "'diffusion.prediction' must be velocity, got noise"),
        (("diffusion.loss_weight=min_snr",), "'diffusion.loss_weight' is of training without a teacher"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tiny_pictures, more, message):
    with pytest.raises(UserError, match=message):
        FORMS["srdiff"](tiny_pictures, "distill.teacher=teacher.ckpt", *REGRESSION, *more)


def test_a_teacher_that_does_not_fit_is_refused(form, checkpoint, tiny_pictures, tiny_checkpoints):
    with pytest.raises(UserError, match="no teacher at nowhere.ckpt"):
        training_of(form(tiny_pictures, "distill.teacher=nowhere.ckpt", *REGRESSION))
    with pytest.raises(UserError, match="expected a .* in distill.teacher, got the rrdb"):
        training_of(form(tiny_pictures, f"distill.teacher={tiny_checkpoints['rrdb']}", *REGRESSION))
    with pytest.raises(UserError, match="has diffusion.steps=4, and the student 8: set diffusion.steps=4"):
        taught(form, tiny_pictures, checkpoint, *REGRESSION, "diffusion.steps=8")
    with pytest.raises(UserError, match="4 steps of eval.spacing=uniform do not hold the student's 2"):
        taught(form, tiny_pictures, checkpoint, *HALVING, "eval.spacing=uniform")


def test_a_student_with_another_encoder_is_refused(tiny_pictures, tmp_path, photo):
    form = FORMS["srdiff"]
    path = tiny.save_untrained(tmp_path / "teacher.ckpt", form(tiny_pictures))
    family, student, teacher = taught(form, tiny_pictures, path, *REGRESSION)
    for parameter in student.encoder.get_parameters():
        parameter.set_data(parameter + 1)
    with pytest.raises(UserError, match="the student's encoder is not the teacher's"):
        teacher(0, *map(ms.Tensor, batch_of(family, photo)))
