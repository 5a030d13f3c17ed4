"""Finding the network in a checkpoint, and weight normalisation."""

import numpy as np
import pytest

from src.errors import UserError
from src.weights.state_dict import container_of, find_state_dict, fold_weight_norm

ONE = np.ones(1, np.float32)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda d: d,
        lambda d: {"state_dict": d},
        lambda d: {"state_dict": {"model": d}, "global_step": 7},
        lambda d: {"model": d, "epoch": 3, "hparams": {"lr": [0.1]}},
        lambda d: {"params_ema": d},
        lambda d: {f"module.{k}": v for k, v in d.items()},
        lambda d: {"state_dict": {f"model.module.{k}": v for k, v in d.items()}},
    ],
)
def test_nesting_and_prefixes(wrap):
    tensors, unused = find_state_dict(wrap({"a.weight": ONE, "b": ONE}))
    assert list(tensors) == ["a.weight", "b"] and unused == []


@pytest.mark.parametrize(("average", "weights"), [("params_ema", "params"), ("ema_state_dict", "state_dict")])
def test_an_average_is_taken_before_the_weights(average, weights):
    both = {weights: {"a": ONE}, average: {"_orig_mod.n_averaged": np.array(5), "_orig_mod.module.a": 2 * ONE}}
    tensors, unused = find_state_dict(both)
    assert tensors == {"a": 2} and unused == [weights, "_orig_mod.n_averaged"]
    assert container_of(both) == average
    assert find_state_dict(both | {average: None}) == ({"a": 1}, [])
    assert container_of(both | {average: None}) == weights


def test_the_container_s_name():
    assert container_of({"a": ONE}) == "bare"
    assert container_of({"state_dict": {"model": {"a": ONE}}}) == "state_dict.model"


def test_what_is_for_training_is_listed():
    optimiser = {"state": {0: {"exp_avg": ONE}}}
    found = {"optimizer_states": [optimiser], "lr_schedulers": [], "step": np.array(5), "state_dict": {"a": ONE}}
    assert find_state_dict(found) == ({"a": ONE}, ["optimizer_states", "lr_schedulers", "step"])


@pytest.mark.parametrize(
    "obj",
    [
        {"state_dict": {"a": ONE}, "discriminator": {"b": ONE}},
        {"state_dict": {"model": {"a": ONE}, "extra": [[ONE]]}},
        {"a": ONE, "nested": {"b": ONE}},
        {"params_ema": {"a": ONE}, "state_dict": {"a": ONE}},
    ],
)
def test_tensors_elsewhere_are_refused(obj):
    with pytest.raises(UserError, match="besides the network's"):
        find_state_dict(obj)


@pytest.mark.parametrize("obj", [None, 5, "text", [ONE], ONE, {}, {"state_dict": {}}, {"a": 1}, {1: ONE}, {"model": 5}])
def test_no_network(obj):
    with pytest.raises(UserError, match="no network in the file"):
        find_state_dict(obj)


def test_containers_that_hold_themselves_end():
    loop = {"model": []}
    loop["again"] = [loop]
    with pytest.raises(UserError, match="no network"):
        find_state_dict(loop)


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("kind", ["old", "parametrised"])
@pytest.mark.parametrize("layer", ["Conv2d", "Linear", "ConvTranspose2d"])
def test_weight_norm_equals_torch(kind, layer):
    torch = pytest.importorskip("torch")
    made = getattr(torch.nn, layer)(*((3, 5) if layer == "Linear" else (3, 5, 3)))
    old, new = torch.nn.utils.weight_norm, torch.nn.utils.parametrizations.weight_norm
    net = torch.nn.Sequential((old if kind == "old" else new)(made), torch.nn.Linear(2, 2))
    with torch.no_grad():
        next(p for p in net.parameters() if p.numel() in (3, 5) and p.ndim > 1).mul_(1.7)
        net[0](torch.ones((1, 3) if layer == "Linear" else (1, 3, 4, 4)))  # the old kind computes its weight here
    folded = fold_weight_norm({name: value.numpy() for name, value in net.state_dict().items()})
    assert sorted(folded) == ["0.bias", "0.weight", "1.bias", "1.weight"]
    np.testing.assert_allclose(folded["0.weight"], net[0].weight.detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    "tensors",
    [
        {"a.weight_g": ONE},
        {"a.weight_v": ONE},
        {"a.weight_g": ONE, "a.weight_v": ONE, "a.weight": ONE},
        {"a.weight_g": np.ones((2, 1)), "a.weight_v": np.ones((3, 4))},
        {"a.weight_g": np.ones(3), "a.weight_v": np.ones((3, 4))},
    ],
)
def test_halves_that_do_not_fit(tensors):
    with pytest.raises(UserError, match="a.weight"):
        fold_weight_norm(tensors)
