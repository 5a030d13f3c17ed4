"""The contract of a family (src/families/family.py): every family answers every question of it."""

import functools
import json

import mindspore as ms
import numpy as np
import pytest

from src.build import load_upscaler
from src.dataset.batches import training_batches
from src.dataset.patches import PatchPairs
from src.errors import UserError
from src.export.artefact import roles_of
from src.export.onnx_model import CurrentGraph
from src.families.registry import FAMILIES, family_of
from src.inference.sampling import Sampling
from src.inference.upscaler import to_network, to_pixels
from src.layers.graph import Graph
from tests import tiny, tiny_sr3, tiny_srgan

ONE_LEVEL = (*tiny_sr3.ONE_LEVEL, "sr3.dropout=0")
CONFIGS = {  # name: what makes its configuration; together they are all families in all their forms
    "rrdb": lambda *more: tiny.config("rrdb", None, *more),
    "srdiff": lambda *more: tiny.config("srdiff", None, "unet.multipliers=[1]", *more),
    "sr3": lambda *more: tiny_sr3.config(*ONE_LEVEL, *more),
    "ddpm": lambda *more: tiny_sr3.config(*ONE_LEVEL, "sr3.noise_level=discrete", *more),
    "unconditional": lambda *more: tiny_sr3.config(*ONE_LEVEL, *tiny_sr3.TRAINED_UNCONDITIONAL, *more),
    "regression": lambda *more: tiny_sr3.config(*ONE_LEVEL, "sr3.noise_level=none", *more),
    **{f"srgan {form}": functools.partial(tiny_srgan.config, form) for form in tiny_srgan.FORMS},
}
PARTS = {"rrdb": {"encoder"}, "srdiff": {"encoder", "unet"}}  # the others' is the U-Net
PARTS |= {f"srgan {form}": {"generator"} for form in tiny_srgan.FORMS}


@pytest.fixture(params=CONFIGS)
def name(request):
    return request.param


@pytest.fixture
def family(name):
    return family_of(CONFIGS[name]())


def test_every_family_is_here():
    assert {CONFIGS[each]().system for each in CONFIGS} == set(FAMILIES)


def test_its_settings_are_its_own_and_checked(family):
    assert isinstance(family.config, FAMILIES[family.config.system].Settings)
    family.check()


def test_a_patch_that_does_not_fit_is_refused(name):
    with pytest.raises(UserError, match="'data.patch_size' must be a multiple of .* got 7; the nearest valid"):
        CONFIGS[name]("data.patch_size=7", *["sr3.space_to_depth=2"] * (name == "unconditional"))


def test_parameters_are_named_by_part(family, name):
    parts = {parameter.name.split(".")[0] for parameter in family.model().get_parameters()}
    assert parts == PARTS.get(name, {"unet"})


def test_batches_fit_the_loss_and_the_trained_parameters_have_gradients(family, tiny_pictures):
    config, columns = family.config, family.columns()
    patches = PatchPairs(
        tiny_pictures / "train", scale=family.scale, patch_size=config.data.patch_size, lr_up=family.takes_lr_up
    )
    batches = training_batches(patches, batch_size=2, batches=1, **columns._asdict())
    model = tiny.model(config)
    (objective,) = family.objectives(model, lr_up=patches.lr_up)
    (batch,) = batches.create_tuple_iterator(num_epochs=1)
    parameters = [parameter for group, rate in objective.groups for parameter in group]
    assert all(rate > 0 for _, rate in objective.groups)
    loss, gradients = ms.value_and_grad(objective.loss, None, ms.ParameterTuple(parameters))(*batch)
    loss = loss[0] if isinstance(loss, tuple) else loss  # a generator's has its parts besides
    assert np.isfinite(loss.asnumpy())
    assert any(np.abs(gradient.asnumpy()).max() > 0 for gradient in gradients)


def test_what_is_loaded_first_is_a_part_of_the_model(name):
    more = {"srdiff": ("encoder.checkpoint=",)}.get(name, ())
    family = family_of(CONFIGS[name](*more))
    if name == "srdiff":
        with pytest.raises(UserError, match="encoder.checkpoint is empty .* name stage 1"):
            family.pretrained()
    else:
        assert family.pretrained() == []


def test_its_graphs_are_those_that_an_export_holds(family):
    kind = "whole" if family.one_pass else "step"
    graphs = family.graphs(tiny.model(family.config), (1, 8, 8))
    assert list(graphs) == list(roles_of(kind, family.conditional))
    for cell, inputs in graphs.values():
        assert isinstance(cell, ms.nn.Cell)
        assert all(None not in given.shape for given in inputs)


def test_its_upscaler_makes_pictures_in_graph_mode(family):
    upscaler = tiny.upscaler(family.config)
    assert upscaler.scale == family.scale
    if family.conditional:
        lr = np.random.default_rng(0).uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)
        sr = upscaler.sample(lr, seed=3)
    else:
        sr = upscaler.sample(None, seed=3, shape=(1, 3, 8 * family.scale, 8 * family.scale))
    assert sr.shape == (1, 3, 8 * family.scale, 8 * family.scale)
    assert np.isfinite(sr).all()


def test_reach_and_cost_are_of_its_sizes(family):
    reach, cost = family.reach(), family.cost()
    assert reach.network >= family.scale
    assert cost.denoise > 0
    assert cost.pictures >= 2


def test_its_own_sampling_is_that_of_the_configuration(family):
    evaluation = family.config.eval
    assert family.sampling() == Sampling(*(getattr(evaluation, field) for field in Sampling._fields))


def test_its_description_is_json_and_says_how_it_samples(family):
    about = json.loads(json.dumps(family.description()))
    assert ("alphas_cumprod" in about) == (not family.one_pass)
    if not family.one_pass:
        assert about["sampling"]["steps"] == len(about["sampling"]["times"])
        assert about["process"]["noise_level"] == {"step": "discrete", "level": "continuous"}[family.told]


def test_its_summary_names_its_sizes(family):
    assert any(character.isdigit() for line in family.summary() for character in line)


@pytest.mark.parametrize("system", FAMILIES)
def test_a_file_of_nobody_is_not_converted(system):
    assert FAMILIES[system].convert({"another.weight": np.zeros(3, np.float32)}, {}) is None


def test_onnx_runtime_makes_mindspores_pictures(family, name, tmp_path, photo):
    path = tiny.save_untrained(tmp_path / "w.ckpt", family.config, gates=0.7)
    pictures = []
    for runtime in ("onnxruntime", "mindspore"):
        up = load_upscaler(path, "CPU", runtime=runtime)
        shape = {} if up.conditional else {"shape": (1, 3, 80, 96)}
        lr = to_network([photo[100:120, 200:224]]) if up.conditional else None
        pictures.append(to_pixels(up.sample(lr, seed=1, **shape))[0])
    tiny.assert_equal_pictures(*pictures)


def test_its_graphs_take_new_weights_without_compiling_anew(family, monkeypatch):
    model, random = tiny.model(family.config, gates=0.7), np.random.default_rng(0)
    graphs = {role: CurrentGraph(role, *graph, family.conditional) for role, graph in family.graphs(model).items()}
    for graph in graphs.values():
        graph.refresh()
    for parameter in model.get_parameters():
        parameter.set_data(parameter + ms.Tensor(random.normal(0, 0.02, parameter.shape), ms.float32))
    monkeypatch.setattr("src.export.onnx_model._graph_of", None)
    for role, (cell, inputs) in family.graphs(model).items():
        arrays = [random.uniform(0, 1, [size if size > 0 else 8 for size in tensor.shape]) for tensor in inputs]
        given = [ms.Tensor(array, tensor.dtype) for array, tensor in zip(arrays, inputs, strict=True)]
        before = graphs[role](*(tensor.asnumpy() for tensor in given))
        graphs[role].refresh()
        after = graphs[role](*(tensor.asnumpy() for tensor in given))
        wanted = Graph(cell, inputs)(*given)
        assert role == "encode" or np.abs(after[0] - before[0]).max() > 1e-3
        for one, two in zip(after, wanted, strict=True):
            np.testing.assert_allclose(one, two.asnumpy(), atol=1e-4)
