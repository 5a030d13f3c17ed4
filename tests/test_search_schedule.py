"""The search for a short noise schedule."""

import json

import numpy as np
import pytest

from scripts.search_schedule import Candidate, Search, candidates, halve, main, record_sampling, rungs, scorer
from src.build import load_model
from src.errors import UserError
from src.imaging.io import write_image
from src.metrics.evaluate import Scores
from tests import tiny, tiny_sr3
from tests.inference.fake_networks import enlarger

HR = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
ABOUT = {"checkpoint": "c", "seed": 0}


@pytest.fixture
def search(tmp_path):
    def search(about=ABOUT, path=tmp_path / "a b" / "search.json", up=None, given=lambda number: {}):
        up = up or enlarger(4)
        score = scorer("sr3", None, 4)
        return Search(path, about, up, lambda number: (HR[number], HR[number][::4, ::4], given(number)), score)

    return search


def test_the_grid_leaves_out_what_the_model_cannot_sample():
    found = candidates(enlarger(4), ["ddpm", "ddim", "ddpm"], 2, ["linear_beta"], ["1e-3", "1e-2"], ["0.5", "0.999999"])
    assert len(found) == len(set(found)) == 2 * (5 + 2)
    own = [candidate for candidate in found if not candidate.is_trained()]
    assert {candidate.spacing for candidate in own} == {"linear_beta:1e-3,0.5", "linear_beta:1e-2,0.5"}
    for arguments, message in (
        ((["ddpm"], 5), "from 1 to 4 for this model, not 5"),
        ((["euler"], 2), "sampler must be one of"),
        (
            (["ddpm"], 2, ["cubic_beta"]),
            "a family must be one of linear_beta, quadratic_beta, geometric_beta, not 'cub",
        ),
    ):
        with pytest.raises(UserError, match=message):
            candidates(enlarger(4), *arguments, *[[]] * (5 - len(arguments)))


def test_scores_are_the_upscalers_and_are_kept(search, tmp_path):
    up = enlarger(4)
    one, other = Candidate("ddpm", 2, "uniform"), Candidate("ddim", 3, "linear_beta:1e-3,0.5")
    first = search(up=up)
    first.measure([one, other], 0)
    first.measure([one], 1)
    assert len(up.networks.noise_levels) == 2 + 3 + 2
    expected = HR[1][::4, ::4].repeat(4, 0).repeat(4, 1)
    error = np.square(expected.astype(float) - HR[1]).mean()
    found = first.rows(one)["1"]
    assert found["psnr"] == pytest.approx(10 * np.log10(255**2 / error), abs=0.01) and found["lpips"] is None
    assert set(found) == set(Scores.__dataclass_fields__)

    again = search(up=up)
    ticks = []
    again.measure([one, other], 0, lambda: ticks.append(1))
    assert len(up.networks.noise_levels) == 7 and len(ticks) == 2  # all of it was there
    again.measure([one, other], 1)
    assert len(up.networks.noise_levels) == 7 + 3
    mean = search().mean(one, "psnr", 2)
    assert mean == pytest.approx(np.mean([first.rows(one)[n]["psnr"] for n in "01"]))
    assert search().loss(one, "psnr", 2) == -mean
    with pytest.raises(UserError, match="too small for lpips"):
        search().loss(one, "lpips", 2)


def test_a_prepared_lr_up_is_taken(search):
    one = Candidate("ddpm", 2, "uniform")
    found = search(given=lambda number: {"lr_up": [HR[number]]})
    found.measure([one], 0)
    assert found.rows(one)["0"]["psnr"] > 60


def test_a_file_of_another_search_is_left_alone(search, tmp_path):
    path = tmp_path / "search.json"
    search(path=path).measure([Candidate("ddpm", 1, "uniform")], 0)
    with pytest.raises(UserError, match="is of another search, with another seed: name another --output"):
        search({"checkpoint": "c", "seed": 1}, path)
    whole = path.read_text()
    for text in (whole[:-40], "[]", "{}", json.dumps({"about": ABOUT, "scores": {"x": {"0": {}}}})):
        path.write_text(text)
        with pytest.raises(UserError, match="is not the file of a search of schedules"):
            search(path=path)


def test_a_found_schedule_becomes_a_checkpoints_default(tmp_path):
    source = tiny_sr3.checkpoint(tmp_path / "w.ckpt")
    record_sampling(source, tmp_path / "v.ckpt", {"sampler": "ddim", "steps": 6, "spacing": "linear_beta:1e-4,0.4"})
    config, model = load_model(tmp_path / "v.ckpt")
    assert (config.eval.sampler, config.eval.steps, config.eval.spacing) == ("ddim", 6, "linear_beta:1e-4,0.4")
    before = {parameter.name: parameter.asnumpy() for parameter in load_model(source)[1].get_parameters()}
    for parameter in model.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), before[parameter.name])
    with pytest.raises(UserError, match="eval.spacing"):
        record_sampling(source, tmp_path / "u.ckpt", {"steps": 2, "spacing": "betas:0.5"})


def test_from_the_command_line(tmp_path, photo):
    for number in range(3):
        write_image(tmp_path / "val set" / f"{number}.png", photo[100 + 16 * number : 116 + 16 * number, 200:216])
    path = tiny_sr3.checkpoint(tmp_path / "w.ckpt", *tiny_sr3.ONE_LEVEL)
    given = ["--checkpoint", path, "--data", "val set", "--steps", 2, "--metric", "psnr", "--samplers", "ddim"]
    given += ["--families", "linear_beta", "--firsts", "1e-3", "--lasts", "0.5", "0.7", "--device", "CPU"]
    given += ["--output", "s.json", "--first-pictures", 1, "--record", "best.ckpt"]
    code, out, err = tiny.run("scripts/search_schedule.py", *given, cwd=tmp_path)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "the best of 7 ways to sample by psnr, 3 pictures, protocol sr3"
    assert lines[-2].startswith("use: --sampler ddim --steps 2 --spacing ") and lines[-1] == "written best.ckpt"
    spacing = lines[-2].split()[-1]
    assert lines[2].split()[:2] == ["ddim", spacing]
    assert load_model(tmp_path / "best.ckpt")[0].eval.spacing == spacing
    code, out, err = tiny.run("scripts/search_schedule.py", *given[:-2], "--lasts", "half", cwd=tmp_path)
    assert (code, out) == (2, "") and err == [
        "error: argument --lasts: a β is a number above 0 and below 1, not 'half' (see search_schedule.py --help)"
    ]
    write_image(tmp_path / "val set" / "1.png", photo[:16, :16])
    code, out, err = tiny.run("scripts/search_schedule.py", *given[:-2], cwd=tmp_path)
    assert (code, out) == (2, "") and err[-1].endswith(
        "is of another search, with another pictures: name another --output"
    )
    counts = sorted(len(row) for row in json.loads((tmp_path / "s.json").read_text())["scores"].values())
    assert counts == [1] * 3 + [2] * 2 + [3] * 2  # 7 on one picture, 4 on two, 2 on all


def test_a_model_that_samples_nothing_is_refused(tmp_path, monkeypatch):
    path = tiny_sr3.checkpoint(tmp_path / "w.ckpt", "sr3.noise_level=none", *tiny_sr3.ONE_LEVEL)
    given = ["--checkpoint", path, "--data", tmp_path, "--device", "CPU"]
    monkeypatch.setattr("sys.argv", ["search_schedule.py", *map(str, given)])
    with pytest.raises(UserError, match="is no diffusion model that enlarges pictures"):
        main()


def test_the_plan():
    assert rungs(40, 16) == [(40, 0, 2), (20, 2, 4), (10, 4, 8), (5, 8, 16)]
    assert rungs(9, 10, first=3, keep=0.3) == [(9, 0, 3), (3, 3, 6), (2, 6, 10)]
    assert rungs(1, 5, first=9) == [(1, 0, 5)]


@pytest.mark.parametrize("pictures", [1, 3, 8])
def test_the_best_is_found_and_only_it_sees_all_pictures(pictures):
    seen = {candidate: [] for candidate in range(20)}

    def measure(alive, number):
        for candidate in alive:
            seen[candidate].append(number)

    plan = rungs(20, pictures, first=1)
    best = halve(list(range(20)), plan, measure, lambda c, count: abs(c - 13) if len(seen[c]) == count else None)
    assert best[0] == 13 and best == sorted(best, key=lambda c: abs(c - 13))
    assert len(best) == plan[-1][0]
    assert all(seen[candidate] == list(range(pictures)) for candidate in best)
    assert sum(map(len, seen.values())) == sum(count * (last - first) for count, first, last in plan)


def test_the_best_reference_goes_on():
    plan = rungs(10, 4, first=1)
    best = halve(list(range(10)), plan, lambda *_: None, lambda c, count: c, is_reference=lambda c: c > 6)
    assert best == [0, 1, 7]
    best = halve(list(range(10)), plan, lambda *_: None, lambda c, count: c, is_reference=lambda c: c == 1)
    assert best == [0, 1, 2]
