"""Settings from YAML, bases and overrides: what is accepted, and what each mistake is answered with."""

import json
from dataclasses import dataclass, field
from typing import Literal

import pytest

from src.config import loader
from src.config.loader import config_to_dict, dump_yaml, overrides_to_dict, with_overrides
from src.config.schema import Config, DiffusionConfig, setting, settings_of
from src.errors import UserError


@dataclass(frozen=True)
class Encoder:
    features: int = setting(64, at_least=1)


@dataclass(frozen=True)
class PretrainedEncoder(Encoder):
    checkpoint: str = ""


@dataclass(frozen=True)
class UNet:
    multipliers: tuple[int, ...] = (1, 2, 3)
    space_to_depth: Literal[1, 2] = 1


@dataclass(frozen=True)
class Plain(Config):
    encoder: Encoder = field(default_factory=Encoder)


@dataclass(frozen=True)
class Refined(Config):
    encoder: PretrainedEncoder = field(default_factory=PretrainedEncoder)
    unet: UNet = field(default_factory=UNet)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)


SCHEMAS = {"rrdb": Plain, "srdiff": Refined}


def load_config(path, overrides=()):
    return loader.load_config(path, overrides, SCHEMAS)


def config_from_dict(settings, **options):
    return loader.config_from_dict(settings, SCHEMAS, **options)


@pytest.fixture
def load(tmp_path):
    """Return a function that writes YAML (text or bytes) to a file and loads it with overrides."""

    def write_and_load(content, *overrides):
        path = tmp_path / "a.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_config(path, overrides)

    return write_and_load


def test_the_system_decides_what_sections_there_are(load):
    assert load("name: x") == Refined(name="x")
    assert load("system: rrdb\nencoder: {features: 8}") == Plain(system="rrdb", encoder=Encoder(features=8))
    assert type(load("encoder: {features: 8}", "system=rrdb")) is Plain


def test_the_system_of_a_base_holds_and_the_last_one_wins(tmp_path):
    (tmp_path / "low.yaml").write_text("system: rrdb\nencoder: {features: 8}")
    (tmp_path / "top.yaml").write_text("base: low.yaml")
    assert type(load_config(tmp_path / "top.yaml")) is Plain
    assert type(load_config(tmp_path / "top.yaml", ["system=srdiff", "unet.multipliers=[1]"])) is Refined


@pytest.mark.parametrize("system", ["sr4", "[rrdb]", "", "Rrdb"])
def test_an_unknown_system_is_refused_with_those_there_are(load, system):
    with pytest.raises(UserError, match=r"a\.yaml: 'system' must be one of rrdb, srdiff, got "):
        load(f"system: {system}\nwhatever: 1")


@pytest.mark.parametrize("name", ["unet.multipliers", "unet", "diffusion.steps", "encoder.checkpoint"])
def test_a_setting_of_another_system_is_unknown(load, name):
    with pytest.raises(UserError, match=rf"unknown setting '{name}', it belongs to system=srdiff; leave it out"):
        load(f"system: rrdb\n{name}: 1")


def test_the_config_yaml_of_a_run_of_an_earlier_version_is_read(load):
    common = "name: a\nseed: 0\nsystem: rrdb\ndata: {}\ntrain: {}\neval: {}\n"
    sections = "encoder: {features: 8}\nunet: {space_to_depth: 2}\ndiffusion: {steps: 5}\n"
    assert load(common + sections) == Plain(name="a", system="rrdb", encoder=Encoder(features=8))
    assert load("system: rrdb\nunet:\n") == Plain(system="rrdb")
    with pytest.raises(UserError, match="unknown setting 'unet.space_to_depth', it belongs to system=srdiff"):
        load("system: rrdb\nunet: {space_to_depth: 2}\n")


def test_what_was_stored_with_every_family_s_sections_loses_the_others(load):
    stored = {
        "system": "rrdb",
        "encoder": {"features": 8, "checkpoint": "e.ckpt"},
        "unet": {"multipliers": [1]},
        "diffusion": {},
    }
    assert config_from_dict(stored, stored=True) == Plain(system="rrdb", encoder=Encoder(features=8))
    with pytest.raises(UserError, match="unknown setting 'encoder.checkpoint'"):
        config_from_dict(stored)
    with pytest.raises(UserError, match=r"unknown setting 'unet\.widht'; did you mean"):
        config_from_dict({"system": "rrdb", "unet": {"widht": 1}}, stored=True)


def test_a_config_yaml_of_before_the_degradation_loses_them_too(load):
    sections = "name: a\nsystem: rrdb\nseed: 0\ndata: {}\ntrain: {}\neval: {}\nunet: {multipliers: [1]}\n"
    assert load(sections) == Plain(name="a", system="rrdb")


def test_lists_of_numbers(load):
    settings = load("system: rrdb\ndegradation: {blur_sigma: [1, 2.5e+0]}\n", "degradation.resize_range2=[.5, 1]")
    assert settings.degradation.blur_sigma == (1.0, 2.5) and settings.degradation.resize_range2 == (0.5, 1.0)
    assert loader.config_from_dict(json.loads(json.dumps(config_to_dict(settings))), SCHEMAS) == settings
    with pytest.raises(UserError, match=r"'degradation.blur_sigma' expects a list of numbers such as \[0.5, 2\], got"):
        load("system: rrdb\ndegradation: {blur_sigma: 1}\n")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("unet.space_to_depth", 3, "one of 1, 2"),
        ("unet.space_to_depth", 0, "one of 1, 2"),
        ("encoder.features", 0, "at least 1"),
        ("seed", -1, "at least 0 and below 2^32"),
        ("seed", 2**32, "at least 0 and below 2^32"),
        ("name", "", "a plain file name"),
        ("name", "..", "a plain file name"),
        ("name", "a/b", "a plain file name"),
        ("name", "bicubic", "another name than 'bicubic'"),
        ("data.scale", 5, "one of 1, 2, 3, 4, 8"),
        ("data.train", "", "a path, not empty"),
        ("data.val", " ", "a path, not empty"),
        ("data.workers", 0, "at least 1"),
        ("data.prefetch", 0, "at least 1"),
        ("data.cache_mb", -1, "at least 0"),
        ("data.val_pictures", -1, "at least 0"),
        ("diffusion.schedule", "", "one of cosine, linear"),
        ("diffusion.prediction", "x0", "one of noise, velocity"),
        ("diffusion.loss", "huber", "one of l1, l2"),
        ("diffusion.steps", 0, "at least 1"),
        ("diffusion.cosine_offset", -0.1, "at least 0"),
        ("diffusion.beta_start", 0.0, "above 0 and below 1"),
        ("diffusion.beta_end", 1.0, "above 0 and below 1"),
        ("train.lr_schedule", "cos", "one of step, milestones, cosine, constant"),
        ("train.batch_size", 0, "at least 1"),
        ("train.lr", 0.0, "above 0"),
        ("train.lr_decay_every", 0, "at least 1"),
        ("train.lr_decay_factor", 1.1, "above 0 and at most 1"),
        ("train.beta1", 1.0, "above 0 and below 1"),
        ("train.beta2", 0.0, "above 0 and below 1"),
        ("train.ema_decay", 1.0, "at least 0 and below 1"),
        ("train.clip_norm", -1.0, "at least 0"),
        ("train.max_loss_ratio", 1.0, "0 or above 1"),
        ("train.wandb_project", "", "a name, not empty"),
        ("train.val_every", -1, "at least 0"),
        ("train.save_every", 0, "at least 1"),
        ("train.log_every", 0, "at least 1"),
        ("train.keep", 0, "at least 1"),
        ("eval.protocol", "Y", "one of srdiff, classic, y, sr3"),
        ("eval.eta", 1.1, "at least 0 and at most 1"),
        ("eval.temperature", -0.5, "at least 0"),
        ("eval.steps", 0, "at least 1"),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_would_do(name, value, expected):
    with pytest.raises(UserError) as caught:
        config_from_dict({name: value}, where="a.yaml")
    assert str(caught.value) == f"a.yaml: '{name}' must be {expected}, got {value!r}"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("train.max_loss_ratio", (0.0, 1.01)),
        ("eval.eta", (0.0, 1.0)),
        ("train.lr_decay_factor", (1.0, 1e-9)),
        ("seed", (0, 2**32 - 1)),
        ("name", ("名前 2.0", "a.b")),
    ],
)
def test_the_edges_of_a_range_are_in_it(name, values):
    section, _, leaf = name.rpartition(".")
    for value in values:
        settings = config_to_dict(config_from_dict({name: value}))
        assert (settings[section] if section else settings)[leaf] == value


@pytest.mark.parametrize("schema", SCHEMAS.values())
def test_every_default_is_in_its_range(schema):
    assert loader.config_from_dict(config_to_dict(schema()), {schema().system: schema}) == schema()


def test_what_a_file_leaves_out_keeps_its_default(load):
    config = load("name: mine\ntrain: {lr: 0.5}")
    expected = config_to_dict(Refined())
    expected["name"] = "mine"
    expected["train"]["lr"] = 0.5
    assert config_to_dict(config) == expected


def test_a_section_without_content_is_allowed(load):
    assert load("train:\n  # lr: 1e-4\n") == load("train: {}") == load("name: srdiff_df2k_x4", "train=") == Refined()


@pytest.mark.parametrize("text", ["1e-4", "1.0e-4", "1E-4", "0.0001", ".0001", "+1e-4"])
def test_every_spelling_of_a_float_is_a_float(load, text):
    assert load(f"train: {{lr: {text}}}").train.lr == 1e-4
    assert load("name: x", f"train.lr={text}").train.lr == 1e-4


@pytest.mark.parametrize("text", ["true", "True", "TRUE"])
def test_every_spelling_of_a_truth_value_is_one(load, text):
    assert load(f"data: {{sink: {text}}}").data.sink is True
    assert load("name: x", f"data.sink={text}").data.sink is True


@pytest.mark.parametrize("text", ["no", "1:30", "2024-01-31", "1e5", "0160", "true", "12"])
def test_text_that_yaml_takes_for_something_else_is_text_where_text_is_expected(load, text):
    assert load(f"name: {text}").name == text


def test_an_int_is_a_float_where_one_is_expected(load):
    lr = load("train: {lr: 1}").train.lr
    assert lr == 1.0
    assert type(lr) is float


def test_a_list_is_a_tuple(load):
    assert load("unet: {multipliers: [1, 2]}").unet.multipliers == (1, 2)
    assert load("name: x", "unet.multipliers=[1, 2, 4]").unet.multipliers == (1, 2, 4)


def test_overrides_win_and_the_last_of_them_most(load):
    config = load("train: {steps: 1, batch_size: 1}", "train.steps=2", "train={steps: 3}", "data.flip=false")
    assert (config.train.steps, config.train.batch_size, config.data.flip) == (3, 1, False)


@pytest.mark.parametrize("text", ["#1", "a: b", "2024", "true", "null", "[x", "名前/ä", "", "a=b", "it's"])
def test_text_of_an_override_stands_as_typed(load, text):
    assert load("name: x", f"encoder.checkpoint={text}").encoder.checkpoint == text


@pytest.mark.parametrize("text", ["'2024'", '"2024"'])
def test_quotes_around_the_text_of_an_override_are_taken_off(load, text):
    assert load("name: x", f"name={text}").name == "2024"


def test_bases_are_relative_to_their_file_and_the_later_wins(tmp_path, monkeypatch):
    folder = tmp_path / "sub folder"
    folder.mkdir()
    (tmp_path / "far.yaml").write_text("train: {steps: 1, epochs: 1, keep: 1}")
    (folder / "one.yaml").write_text("base: ../far.yaml\ntrain: {steps: 2, epochs: 2, lr: 2}")
    (folder / "two.yaml").write_text("base: ../far.yaml\ntrain: {steps: 3}")
    (folder / "top.yaml").write_text("base: [one.yaml, two.yaml]\ntrain: {lr: 4}")
    monkeypatch.chdir("/")
    train = load_config(folder / "top.yaml").train
    assert (train.steps, train.epochs, train.keep, train.lr) == (3, 1, 1, 4.0)


def test_an_error_in_a_base_names_the_base(tmp_path):
    (tmp_path / "low.yaml").write_text("train: {lrr: 1}")
    (tmp_path / "top.yaml").write_text("base: low.yaml")
    with pytest.raises(UserError, match=r"low\.yaml: unknown setting 'train\.lrr'; did you mean 'train\.lr'\?"):
        load_config(tmp_path / "top.yaml")


@pytest.mark.parametrize("bases", [("a", "a"), ("b", "a"), ("../{here}/a", "a")])
def test_a_circle_of_bases_is_refused(tmp_path, bases):
    first, second = (base.format(here=tmp_path.name) for base in bases)
    (tmp_path / "a.yaml").write_text(f"base: {first}.yaml")
    (tmp_path / "b.yaml").write_text(f"base: {second}.yaml")
    with pytest.raises(UserError, match=r"is its own base"):
        load_config(tmp_path / "a.yaml")


def test_a_missing_base_names_the_file_that_asks_for_it(tmp_path):
    (tmp_path / "a.yaml").write_text("base: none.yaml")
    with pytest.raises(UserError, match=r"none\.yaml \(a base of .*a\.yaml\): no such file"):
        load_config(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [
        ("train.lrr", "'train.lr'"),
        ("trian.steps", "'train.steps'"),
        ("difusion.steps", "'diffusion.steps'"),
        ("lr", "'train.lr'"),
        ("steps", "'train.steps' or 'eval.steps' or 'diffusion.steps'"),
        ("batchsize", "'train.batch_size'"),
        ("tran", "'train'"),
        ("train.lr.x", "'train.lr'"),
    ],
)
def test_an_unknown_setting_is_answered_with_the_nearest(load, unknown, nearest):
    with pytest.raises(UserError) as caught:
        load("name: x", f"{unknown}=1")
    assert str(caught.value) == f"override '{unknown}=1': unknown setting '{unknown}'; did you mean {nearest}?"


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        ("train.steps", "1.0", "a whole number, got '1.0'"),
        ("train.steps", "true", "a whole number, got 'true'"),
        ("train.steps", "0160", "a whole number, got '0160'"),
        ("train.steps", "1_000", "a whole number, got '1_000'"),
        ("train.steps", "1:30", "a whole number, got '1:30'"),
        ("train.steps", "", "a whole number, got nothing"),
        ("train.lr", "true", "a finite number, got 'true'"),
        ("train.lr", "fast", "a finite number, got 'fast'"),
        ("train.lr", "1_0", "a finite number, got '1_0'"),
        ("train.lr", ".nan", "a finite number, got '.nan'"),
        ("train.lr", "!!float .inf", "a finite number, got inf"),
        ("train.lr", "1e999", "a finite number, got '1e999'"),
        ("train.lr", "1" + "0" * 400, "a finite number, got '1000"),
        ("data.flip", "1", "true or false, got '1'"),
        ("data.flip", "yes", "true or false, got 'yes'"),
        ("unet.multipliers", "2", "a list of whole numbers such as [1, 2, 4], got '2'"),
        ("unet.multipliers", "1,2", "a list of whole numbers such as [1, 2, 4], got '1,2'"),
        ("unet.multipliers", "[1, true]", "a list of whole numbers such as [1, 2, 4], got ['1', 'true']"),
    ],
)
def test_a_wrong_type_says_what_was_expected_and_what_came(load, setting, value, expected):
    with pytest.raises(UserError) as caught:
        load("name: x", f"{setting}={value}")
    assert str(caught.value).startswith(f"override '{setting}={value}': '{setting}' expects {expected}")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", r"a\.yaml: expected settings such as .* got an empty file"),
        ("# nothing but a comment", r"got an empty file"),
        ("- 1", r"expected settings such as .* got \['1'\]"),
        ("name: x\ntrain: {lr: 1", r"a\.yaml, line 2: not valid YAML"),
        ("train:\n  lr: 1\n  lr: 2", r"line 3: not valid YAML: 'lr' is given twice"),
        ("train.lr: 1\ntrain: {lr: 2}", r"'train\.lr' is given twice"),
        ("name: x\nname: x", r"'name' is given twice"),
        ("name: [1]", r"'name' expects text, got \['1'\]; write it in quotes"),
        ("name:", r"'name' expects text, got nothing; write it in quotes"),
        ("name: null", r"'name' expects text, got nothing; write it in quotes"),
        ("train: 3", r"'train' should be a group of settings, got '3'"),
        ("1: b", r"unknown setting '1'"),
        ("? [a]\n: b", r"line 1: not valid YAML"),
        ("--- 1\n--- 2", r"line 2: not valid YAML"),
        ("base: [[1]]", r"'base' expects a path or a list of paths, got \[\['1'\]\]"),
        ("base:", r"'base' expects a path or a list of paths, got nothing"),
        ("base: .", r"cannot be read \(Is a directory\)"),
        ('base: "a\\0b"', r"cannot be read"),
        ("train: !!python/object/apply:os.getcwd []", r"line 1: not valid YAML"),
        ("train: {lr: !!timestamp x}", r"not valid YAML"),
        ("train: {lr: !!int x}", r"not valid YAML"),
        ("train: &a {x: *a}", r"unknown setting 'train\.x'"),
        ("train: {lr: !!bool x}", r"not valid YAML"),
        ("[" * 20_000, r"not valid YAML"),
        ("a: &a [1, 1]\nname: &b [*a, *a, *b]", r"unknown setting 'a'"),
        ("name: &b [*b]", r"'name' expects text, got \[\[\[.*\.\.\."),
        (b"name: \xe9\n", r"not valid YAML"),
        (b"\x89PNG\r\n\x1a\n\0\0", r"not valid YAML"),
    ],
)
def test_a_broken_file_is_one_clear_error(load, content, problem):
    with pytest.raises(UserError, match=problem) as caught:
        load(content)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("path", ["missing.yaml", "."])
def test_a_path_that_is_no_file_is_refused(tmp_path, path):
    with pytest.raises(UserError, match="no such file|cannot be read"):
        load_config(tmp_path / path)


def test_an_override_without_equals_is_refused(load):
    with pytest.raises(UserError, match=r"'train\.lr': expected key=value"):
        load("name: x", "train.lr")


def test_a_file_with_a_byte_order_mark_is_read(load):
    assert load(b"\xef\xbb\xbfname: x\n").name == "x"


def test_dictionary_round_trip_through_json():
    config = config_from_dict({"name": "é", "unet": {"multipliers": [1, 2]}, "train": {"lr": 1}})
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


def test_a_dictionary_from_before_a_setting_existed_gets_its_default():
    before = config_to_dict(config_from_dict({"data": {"val": "pictures", "test": "others"}}))
    del before["data"]["test"]
    data = config_from_dict(before, where="old.ckpt").data
    assert (data.val, data.test) == ("pictures", "")


def test_a_dictionary_with_an_unknown_setting_names_its_source():
    with pytest.raises(UserError, match=r"model\.ckpt: unknown setting 'train\.lrr'"):
        config_from_dict({"train": {"lrr": 1}}, where="model.ckpt")
    with pytest.raises(UserError, match=r"model\.ckpt: it should be a group of settings, got \[\]"):
        config_from_dict([], where="model.ckpt")


@pytest.mark.parametrize(
    "text", ["1e5", "1.5", "no", "true", "1:30", "a: b", "#x", "", "é😀", "\udcff", "null", "0160", "<<", "a\nb", " x "]
)
def test_yaml_round_trip(load, text):
    config = config_from_dict({"train": {"init": text, "lr": 1e-5, "lr_min": 1e-300}, "data": {"flip": False}})
    assert load(dump_yaml(config)) == config


def test_settings_are_listed_by_their_full_names_in_order():
    settings = settings_of(Refined)
    assert list(settings)[:4] == ["name", "system", "seed", "data.train"]
    assert settings["unet.multipliers"].kind == tuple[int, ...]
    assert settings["encoder.features"].rules[0][0] == "at least 1"


def test_overrides_alone_are_a_nested_dictionary_of_any_family_s_settings():
    overrides = ["train.lr=1e-4", "name=x", "unet.multipliers=[1, 2]", "encoder={features: 8}", "train.lr=1"]
    assert overrides_to_dict(overrides, SCHEMAS) == {
        "train": {"lr": 1.0},
        "name": "x",
        "unet": {"multipliers": [1, 2]},
        "encoder": {"features": 8},
    }
    with pytest.raises(UserError, match=r"unknown setting 'unet\.x'"):
        overrides_to_dict(["unet.x=1"], SCHEMAS)


def test_overrides_of_a_configuration_leave_its_system():
    plain = Plain(system="rrdb", seed=3)
    assert with_overrides(plain, ["encoder.features=8"]) == Plain(system="rrdb", seed=3, encoder=Encoder(features=8))
    with pytest.raises(UserError, match=r"override 'system=srdiff': 'system' must be one of rrdb, got 'srdiff'"):
        with_overrides(plain, ["system=srdiff"])
    with pytest.raises(UserError, match="override 'unet.x=1': unknown setting"):
        with_overrides(plain, ["unet.x=1"])
