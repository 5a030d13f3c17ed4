"""Settings, names and the scale of an evaluation, from what checkpoints carry and the command line gives."""

from types import SimpleNamespace

import pytest

import src.build
from src.commands.evaluation_setup import common_scale, load_models, settings_for
from src.config.schema import DataConfig, EvalConfig, TrainConfig
from src.errors import UserError
from src.families.registry import family_of
from src.families.rrdb.family import RRDBSettings
from src.families.srdiff.family import SRDiffSettings as Config
from tests import tiny_sr3


@pytest.fixture
def checkpoints(monkeypatch):
    """Three checkpoints, by path; their upscalers have no networks."""
    known = {
        "a": RRDBSettings(name="net", system="rrdb", data=DataConfig(scale=2)),
        "b": Config(name="net", data=DataConfig(scale=2), eval=EvalConfig(steps=9)),
        "c": Config(name="other"),
    }
    known = {
        path: (config, family_of(config).upscaler(None, SimpleNamespace(scale=config.data.scale)))
        for path, config in known.items()
    }
    monkeypatch.setattr(src.build, "load", lambda path, **_: known[path])
    return known


@pytest.fixture
def yaml_file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("eval: {protocol: sr3, steps: 8}\ndata: {val: pictures, scale: 2}\ntrain: {lr: 0.5}\n")
    return path


def test_a_checkpoint_keeps_its_settings():
    config = Config(eval=EvalConfig(protocol="y", steps=7))
    assert settings_for(config) == config


def test_a_file_replaces_only_what_an_evaluation_reads(yaml_file):
    config = Config(name="own", train=TrainConfig(lr=0.25), eval=EvalConfig(temperature=0.5))
    settings = settings_for(config, yaml_file)
    assert settings.eval == EvalConfig(protocol="sr3", steps=8)
    assert (settings.data.val, settings.data.scale) == ("pictures", 4)
    assert (settings.name, settings.train.lr) == ("own", 0.25)


def test_overrides_come_last(yaml_file):
    overrides = ["eval.steps=3", "data.val=other pictures"]
    assert settings_for(Config(), yaml_file, overrides).eval == EvalConfig(protocol="sr3", steps=3)
    settings = settings_for(Config(eval=EvalConfig(protocol="y")), None, overrides)
    assert settings.eval == EvalConfig(protocol="y", steps=3)
    assert settings.data.val == "other pictures"


def test_the_test_pictures_come_from_where_the_validation_pictures_do(yaml_file):
    config = Config(data=DataConfig(val="seen", test="benchmark"))
    assert settings_for(config).data == config.data
    assert settings_for(config, None, ["data.test=others"]).data.test == "others"
    of_file = settings_for(config, yaml_file).data
    assert (of_file.val, of_file.test) == ("pictures", "")
    yaml_file.write_text("data: {test: benchmark 2}\n")
    assert settings_for(config, yaml_file).data.test == "benchmark 2"


def test_validation_pictures_that_would_not_be_scored_are_refused():
    config = Config(data=DataConfig(test="benchmark"))
    with pytest.raises(UserError, match="'data.val=x' has no effect where data.test is 'benchmark'"):
        settings_for(config, None, ["data.val=x"])
    assert settings_for(config, None, ["data.val=x", "data.test="]).data.val == "x"


def test_without_a_checkpoint_the_file_gives_everything(yaml_file):
    assert settings_for(None, yaml_file).data == DataConfig(val="pictures", scale=2)
    assert settings_for(None) == Config()


def test_settings_without_effect_are_refused():
    with pytest.raises(UserError, match="'data.scale=2' has no effect on an evaluation"):
        settings_for(None, None, ["data.scale=2"])


def test_names_that_come_twice_are_numbered(checkpoints):
    models = load_models(["a", "b", "c"])
    assert [model.name for model in models] == ["net", "net-2", "other"]
    assert [model.checkpoint for model in models] == ["a", "b", "c"]


def test_only_a_model_that_samples_has_sampling_settings(checkpoints):
    rrdb, srdiff = load_models(["a", "b"])
    assert rrdb.sampling.options() == {}
    plain = {"spacing": "uniform", "eta": 0.0, "consistency": False}
    assert srdiff.sampling.options() == plain | {"sampler": "ddpm", "steps": 9, "temperature": 1.0}
    rrdb, srdiff = load_models(["a", "b"], overrides=["eval.consistency=true"])
    assert rrdb.sampling.options() == {"consistency": True} and srdiff.sampling.consistency


def test_the_scale_is_the_models(checkpoints):
    assert common_scale(load_models(["a", "b"])) == 2
    assert common_scale(load_models(["a"]), wanted=2) == 2
    with pytest.raises(UserError, match="a upscales x2, not x3"):
        common_scale(load_models(["a"]), wanted=3)
    with pytest.raises(UserError, match="c upscales x4, not x2"):
        common_scale(load_models(["a", "c"]))


def test_without_models_the_scale_is_the_wanted_one():
    assert common_scale([], wanted=3) == 3
    assert common_scale([], default=8) == 8


def test_a_file_of_settings_of_evaluation_alone_fits_any_checkpoint(tmp_path):
    """By itself it would be a configuration of 100 steps."""
    (tmp_path / "eval.yaml").write_text("eval: {steps: 500}\n", encoding="utf-8")
    given = settings_for(tiny_sr3.config("diffusion.steps=2000"), tmp_path / "eval.yaml")
    assert given.eval.steps == 500 and given.diffusion.steps == 2000
