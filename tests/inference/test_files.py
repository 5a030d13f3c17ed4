"""Which file becomes which, and what a picture keeps, with an upscaler that repeats pixels."""

import errno
import io
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageCms

from src.errors import UserError
from src.imaging import io as io_module
from src.imaging.io import read_image, write_image
from src.imaging.metadata import Metadata
from src.imaging.resize import imresize
from src.inference.files import TOGETHER, Watch, comparison, unconditional_samples, upscale_files
from src.inference.jobs import Job, make_folders, plan_jobs, writing_memory
from src.inference.upscaler import to_pixels


class Nearest:
    """Repeats pixels and remembers the batches."""

    scale = 2

    def __init__(self):
        self.batches = []

    def batch(self, wanted, height, width):
        return wanted

    def tiles(self, shape):
        return None

    def passes(self, shape, sampling):
        return shape[0]

    def parts(self, shape, sampling):
        return []

    def encode(self, lr):
        return lr

    def size(self, condition):
        return tuple(2 * side for side in condition.shape[2:])

    def pixels(self, condition, sampling, seed, progress, dtype, see, empty, process):
        self.batches.append((condition.shape, seed, sampling))
        progress()
        sr = condition.repeat(2, 2).repeat(2, 3)
        see(slice(0, sr.shape[2]), sr)
        results = [empty((*sr.shape[2:], 3), dtype) for _ in sr]
        for result, values in zip(results, to_pixels(sr, dtype), strict=True):
            result[0 : sr.shape[2]] = values
        return results


class Seen(Watch):
    """Remembers what it is told."""

    def __init__(self):
        self.begun, self.passes, self.finished = [], 0, []

    def begin(self, jobs, passes):
        self.begun.append(([job.source.stem for job in jobs], passes))

    def passed(self):
        self.passes += 1

    def done(self, *result):
        self.finished.append(result)


@pytest.fixture
def save(tmp_path, photo):
    """``save(name, mode, size)`` writes a crop of the photograph in Pillow's mode and returns the path."""

    def save(name, mode="RGB", size=(6, 5)):
        path = tmp_path / "in é" / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(photo[100 : 100 + size[1], 100 : 100 + size[0]]).convert(mode).save(path)
        return path

    return save


def upscaled(source, output, **options):
    jobs = plan_jobs(source, output)
    upscaler = Nearest()
    upscale_files(upscaler, jobs, "how to sample", **options)
    return [job.result for job in jobs], upscaler


def names(jobs):
    return [(job.source.name, job.result.name) for job in jobs]


def test_one_picture_to_a_file_or_to_a_folder(save, tmp_path):
    source = save("a b.png")
    assert plan_jobs(source, tmp_path / "x.JPG")[0].result == tmp_path / "x.JPG"
    assert plan_jobs(str(source), str(tmp_path / "out"))[0].result == tmp_path / "out" / "a b.png"
    (tmp_path / "folder.png").mkdir()
    assert plan_jobs(source, tmp_path / "folder.png")[0].result == tmp_path / "folder.png" / "a b.png"


def test_names_are_kept_and_kept_apart(save, tmp_path):
    for name in ("a.png", "A.jpg", "b.10.bmp", "b.9.bmp", "ü.webp"):
        save(name)
    assert sorted(names(plan_jobs(tmp_path / "in é", tmp_path / "out.v2"))) == [
        ("A.jpg", "A.jpg.png"), ("a.png", "a.png.png"), ("b.10.bmp", "b.10.png"), ("b.9.bmp", "b.9.png"),
        ("ü.webp", "ü.png"),
    ]  # fmt: skip


def test_two_results_of_one_name_are_refused(save, tmp_path):
    for name in ("a.png", "a.jpg", "a.jpg.png"):
        save(name)
    with pytest.raises(UserError, match="two results would be written to .*a.jpg.png: rename"):
        plan_jobs(tmp_path / "in é", tmp_path / "out")


def test_a_comparison_of_a_results_name_is_refused(save, tmp_path):
    save("a.png")
    save("a_compare.png")
    assert len(plan_jobs(tmp_path / "in é", tmp_path / "out")) == 2
    with pytest.raises(UserError, match="two results would be written to .*a_compare.png"):
        plan_jobs(tmp_path / "in é", tmp_path / "out", compare=True)


@pytest.mark.parametrize("way", ["itself", "its folder", "the folder's folder", "another name", "a link"])
def test_an_input_is_never_overwritten(save, tmp_path, way):
    source = save("a.png")
    (tmp_path / "link").symlink_to(source.parent)
    source, output = {
        "itself": (source, source),
        "its folder": (source, source.parent),
        "the folder's folder": (source.parent, source.parent),
        "another name": (source, source.parent / ".." / "in é" / "a.png"),
        "a link": (source.parent, tmp_path / "link"),
    }[way]
    with pytest.raises(UserError, match="would overwrite a picture of the input: name another --output"):
        plan_jobs(source, output)


def test_a_comparison_never_overwrites_an_input(save):
    folder = save("a.jpg").parent
    save("a_compare.jpg").rename(folder / "a_compare.png")
    with pytest.raises(UserError, match="a_compare.png would overwrite a picture of the input"):
        plan_jobs(folder / "a.jpg", folder, compare=True) + plan_jobs(folder, folder, compare=True)


@pytest.mark.parametrize(
    ("source", "output", "message"),
    [
        ("missing.png", "out", "no picture or folder at .*missing.png"),
        ("in é", "x.png", "is a folder, so --output must be a folder, not the file"),
        ("in é", "a file", "is a folder, so --output must be a folder, not the file"),
        ("in é/a.png", "x.gif", "must be a folder or end in one of .bmp"),
        ("empty", "out", "no pictures in"),
    ],
)
def test_what_does_not_fit(save, tmp_path, source, output, message):
    save("a.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a file").touch()
    with pytest.raises(UserError, match=message):
        plan_jobs(tmp_path / source, tmp_path / output)


def test_an_output_that_cannot_be_written_is_found_before_the_work(save, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot make the folder .*file/out: Not a directory; name another --output"):
        make_folders(plan_jobs(save("a.png"), tmp_path / "file" / "out"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match="the folder .*out cannot be written to"):
        make_folders(plan_jobs(save("a.png"), tmp_path / "out"))


@pytest.mark.parametrize(
    ("name", "mode", "channels"),
    [
        ("gray.png", "L", ()), ("bits.png", "1", ()), ("gray16.png", "I;16", ()), ("grayalpha.png", "LA", (2,)),
        ("rgba.png", "RGBA", (4,)), ("palette.png", "P", (3,)), ("cmyk.jpg", "CMYK", (3,)), ("rgb.bmp", "RGB", (3,)),
    ],
)  # fmt: skip
def test_a_picture_keeps_its_kind(save, tmp_path, name, mode, channels):
    source = save(name, "L" if mode == "I;16" else mode)
    if mode == "I;16":
        gray = np.asarray(Image.open(source)).astype(np.uint16) * 257
        Image.fromarray(gray).save(source)
    (result,), _ = upscaled(source, tmp_path / "out")
    with Image.open(result) as image:
        array = np.asarray(image)
    assert array.shape == (10, 12, *channels) and array.dtype == (np.uint16 if mode == "I;16" else np.uint8)
    picture = read_image(source)
    enlarged = picture.rgb.repeat(2, 0).repeat(2, 1)
    if picture.gray:
        np.testing.assert_array_equal(read_image(result).rgb, enlarged)
    else:
        np.testing.assert_array_equal(array[..., :3], enlarged)


def test_transparency_is_enlarged_by_bicubic(tmp_path, photo):
    rgba = np.dstack([photo[:5, :6], photo[200:205, 200:206, 0]])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    (result,), _ = upscaled(tmp_path / "a.png", tmp_path / "out")
    np.testing.assert_array_equal(read_image(result).alpha, imresize(rgba[..., 3], 2))


def test_transparency_and_jpeg_do_not_go_together(save, tmp_path):
    with pytest.raises(UserError, match="is transparent, which .jpg files cannot be: write a .png"):
        upscaled(save("a.png", "RGBA"), tmp_path / "x.jpg")


def test_pictures_of_one_size_go_together(save, tmp_path):
    for number, size in enumerate([(6, 5), (6, 5), (6, 5), (4, 5), (6, 5), (1, 1)]):
        save(f"{number}.png", size=size)
    watch = Seen()
    results, upscaler = upscaled(tmp_path / "in é", tmp_path / "out", batch=2, seed=7, watch=watch)
    assert [shape for shape, *_ in upscaler.batches] == [(2, 3, 5, 6), (2, 3, 5, 6), (1, 3, 5, 4), (1, 3, 1, 1)]
    assert all(seeds == [7] * shape[0] and how == "how to sample" for shape, seeds, how in upscaler.batches)
    assert [job.source.stem for job, *_ in watch.finished] == ["0", "1", "2", "4", "3", "5"]
    assert watch.begun == [(["0", "1"], 2), (["2", "4"], 2), (["3"], 1), (["5"], 1)] and watch.passes == 4
    assert {paths[0] for *_, paths in watch.finished} == set(results) and all(path.is_file() for path in results)
    for job, lr, sr, _ in watch.finished:
        np.testing.assert_array_equal(lr, read_image(job.source).rgb)
        np.testing.assert_array_equal(sr, read_image(job.result).rgb)


def test_a_broken_picture_does_not_stop_the_others(save, tmp_path, caplog):
    for name in ("a.png", "b.png", "c.png"):
        save(name)
    (tmp_path / "in é" / "b.png").write_bytes(b"no picture")
    watch = Seen()
    with pytest.raises(UserError, match="^1 of 3 pictures could not be done: the lines above say why$"):
        upscaled(tmp_path / "in é", tmp_path / "out", watch=watch)
    assert [record.getMessage().count("b.png") for record in caplog.records] == [1]
    assert [job.source.name for job, *_ in watch.finished] == ["a.png", "c.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


def test_one_broken_picture_alone(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match="^cannot read .*a.png: the file is empty"):
        upscaled(tmp_path / "a.png", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_comparison_is_lr_bicubic_sr(save, tmp_path):
    source = save("a.png")
    jobs = plan_jobs(source, tmp_path / "out", compare=True)
    upscale_files(Nearest(), jobs, None, compare=True)
    assert jobs[0].comparison == Path(tmp_path / "out" / "a_compare.png")
    lr = read_image(source).rgb
    repeated = lr.repeat(2, 0).repeat(2, 1)
    expected = np.concatenate([repeated, imresize(lr, 2), repeated], axis=1)
    np.testing.assert_array_equal(read_image(jobs[0].comparison).rgb, expected)
    np.testing.assert_array_equal(comparison(lr, repeated), expected)


@pytest.mark.parametrize(("outscale", "size"), [(3, (15, 18)), (1.5, (8, 9)), (2.0, (10, 12)), (0.01, (1, 1))])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_the_finished_picture_is_resized_to_any_factor(save, tmp_path, outscale, size, mode):
    source, watch = save("a.png", mode), Seen()
    jobs = plan_jobs(source, tmp_path / "out", compare=True)
    upscale_files(Nearest(), jobs, None, outscale=outscale, compare=True, watch=watch)
    picture = read_image(source)
    (_, _, sr, _), result = watch.finished[0], read_image(jobs[0].result)
    np.testing.assert_array_equal(sr, imresize(picture.rgb.repeat(2, 0).repeat(2, 1), size=size))
    if mode != "LA":
        np.testing.assert_array_equal(result.rgb, sr)
    assert result.gray == (mode == "LA") and (result.alpha is None) == (mode == "RGB")
    if mode != "RGB":
        np.testing.assert_array_equal(result.alpha, imresize(picture.alpha, size=size))
    compared = read_image(jobs[0].comparison).rgb
    assert compared.shape == (size[0], 3 * size[1], 3)
    np.testing.assert_array_equal(compared[:, size[1] : 2 * size[1]], imresize(picture.rgb, size=size))
    np.testing.assert_array_equal(compared[:, 2 * size[1] :], sr)


@pytest.mark.parametrize(
    ("suffix", "outscale", "message"),
    [
        ("jpg", 1100.0, "becomes 66000 pixels long, .jpg files end at 65500"),
        ("webp", 300.0, "becomes 18000 pixels long, .webp files end at 16383"),
        ("png", 1e300, r"would have more than 500 million pixels, 1e\+300 times as large: lower --outscale"),
    ],
)
def test_a_result_that_is_too_large_is_refused_before_the_work(save, tmp_path, suffix, outscale, message):
    upscaler = Nearest()
    with pytest.raises(UserError, match=message):
        upscale_files(
            upscaler, plan_jobs(save("a.png", size=(60, 1)), tmp_path / f"x.{suffix}"), None, outscale=outscale
        )
    assert upscaler.batches == []


def test_pictures_from_nothing_come_in_batches_that_fit_so_that_none_is_cut_into_tiles():
    class Upscaler:
        batches, seeds = [], []

        def batch(self, wanted, height, width):
            return 3 if (wanted, height, width) == (TOGETHER, 16, 24) else wanted

        def encode(self, shape):
            return shape

        def pixels(self, shape, sampling, seed, callback):
            self.batches.append(shape)
            self.seeds.extend(range(seed, seed + shape[0]))
            callback()
            return np.zeros((shape[0], *shape[2:], 3), np.uint8)

    upscaler, done = Upscaler(), []
    pictures = list(unconditional_samples(upscaler, 7, (16, 24), None, 5, done.append))
    assert [picture.shape for picture in pictures] == [(16, 24, 3)] * 7
    assert upscaler.batches == [(3, 3, 16, 24), (3, 3, 16, 24), (1, 3, 16, 24)] and done == [3, 3, 1]
    assert upscaler.seeds == list(range(5, 12))


def deep(photo, channels=3):
    """16 bits a colour, the low bytes of which are their own: uint16 (5, 6, C)."""
    low = np.random.default_rng(0).integers(0, 256, (5, 6, channels), dtype=np.uint16)
    return np.dstack([photo[100:105, 100:106]] * 2)[..., :channels].astype(np.uint16) * 256 + low


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_level_of_sixteen_bits_goes_through(tmp_path, photo, suffix, channels):
    pixels = deep(photo, channels)
    pixels = pixels[..., 0] if channels == 1 else pixels
    write_image(tmp_path / "a.tif", pixels)
    upscaled(tmp_path / "a.tif", tmp_path / f"x.{suffix}")
    result = read_image(tmp_path / f"x.{suffix}")
    expected = np.broadcast_to(pixels.reshape(5, 6, -1)[..., :3].repeat(2, 0).repeat(2, 1), (10, 12, 3))
    assert result.rgb.dtype == np.uint16 and result.gray == (channels == 1)
    np.testing.assert_array_equal(result.rgb, expected)
    if channels == 4:
        np.testing.assert_array_equal(result.alpha, imresize(pixels[..., 3], 2))


def test_eight_and_sixteen_bits_of_one_size_do_not_mix(tmp_path, photo, save):
    save("a.png"), save("c.png")
    write_image(tmp_path / "in é" / "b.png", deep(photo))
    _, upscaler = upscaled(tmp_path / "in é", tmp_path / "out")
    assert [shape[0] for shape, *_ in upscaler.batches] == [1, 1, 1]
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "b.png").rgb[::2, ::2], deep(photo))


def test_samples_and_comparison_of_sixteen_bits(tmp_path, photo):
    write_image(tmp_path / "a.png", deep(photo))
    jobs = plan_jobs(tmp_path / "a.png", tmp_path / "out", compare=True, samples=2)
    upscale_files(Nearest(), jobs, None, samples=2, compare=True)
    for path in (jobs[0].sample(1), jobs[0].mean, jobs[0].best):
        assert np.abs(read_image(path).rgb[::2, ::2].astype(int) - deep(photo)).max() <= 1, path
    assert read_image(jobs[0].comparison).rgb.dtype == np.uint16 and read_image(jobs[0].deviation).rgb.dtype == np.uint8


@pytest.mark.parametrize("background", [(0, 0, 0), (0, 255, 0)])
def test_a_sprite_has_no_halo(tmp_path, background):
    """Whatever is under its invisible pixels: the network, here one that repeats pixels, never sees it."""
    sprite = np.zeros((8, 8, 4), np.uint8)
    sprite[..., :3] = background
    sprite[2:6, 3:7] = (220, 40, 40, 255)
    write_image(tmp_path / "a.png", sprite)
    upscaled(tmp_path / "a.png", tmp_path / "x.png")
    result = read_image(tmp_path / "x.png")
    assert (result.rgb == (220, 40, 40)).all() and result.alpha.min() == 0


def test_field_sprites_have_no_halo(tmp_path, shared):
    results = []
    for name in ("sprite_green_bg", "sprite_black_bg"):
        source = shared / "field/kinds" / f"{name}.png"
        upscaled(source, tmp_path / f"{name}.png")
        results.append(read_image(tmp_path / f"{name}.png"))
        visible = read_image(source).rgb[read_image(source).alpha > 0]
        assert {*map(tuple, results[-1].rgb.reshape(-1, 3))} <= {*map(tuple, visible)}
    np.testing.assert_array_equal(*(result.rgb for result in results))


def test_a_result_keeps_profile_and_text(save, tmp_path):
    source = save("a.png")
    write_image(source, read_image(source).rgb, Metadata(text={"Title": "t"}, dpi=(300.0, 300.0)))
    upscaled(source, tmp_path / "x.png")
    metadata = read_image(tmp_path / "x.png").metadata
    assert metadata.text == {"Title": "t"} and round(metadata.dpi[0]) == 300


def test_what_is_lost_is_told_once(tmp_path, photo, caplog):
    frames = [Image.fromarray(photo[top : top + 5, :6]) for top in (100, 120, 140)]
    for number in range(7):
        frames[0].save(tmp_path / f"{number}.gif", save_all=True, append_images=frames[1:])
    write_image(tmp_path / "deep.png", deep(photo), Metadata(text={"Title": "t"}))
    jobs = plan_jobs(tmp_path, tmp_path / "out", file_format="jpg")
    upscale_files(Nearest(), jobs, None)
    assert [record.getMessage() for record in caplog.records] == [
        "0.gif, 1.gif, 2.gif, 3.gif, 4.gif and 2 more: only the first frame or page is taken",
        "deep.png: 16 bits a colour are written as the 8 that .jpg holds",
    ]


def test_what_of_a_folder_is_left_out_is_told(save, tmp_path, caplog):
    folder = save("a.jfif").parent
    for name in ("sub", "Sub 2"):
        (folder / name).mkdir()
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "notes.txt").touch()
    (folder / ".hidden").touch()
    caplog.set_level("INFO")
    assert names(plan_jobs(folder, tmp_path / "out")) == [("a.jfif", "a.png")]
    assert [record.getMessage() for record in caplog.records] == [
        f"left out of {folder}: sub-folders (2): Sub 2, sub; links to nothing (1): gone.png; other files (1): notes.txt"
    ]


def test_sub_folders_keep_their_places(save, tmp_path, caplog):
    folder = save("a.png").parent
    for name in ("2/a.png", "10/a.png", "2/deep/b.jpg", "2/deep/b.png", ".hidden/a.png", "out/a.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        save(name)
    (folder / "empty").mkdir()
    (folder / "empty" / "x.txt").write_text("x")
    (folder / "link").symlink_to(folder / "2")
    caplog.set_level("INFO")
    jobs = plan_jobs(folder, folder / "out", recursive=True)  # whose own pictures are no sources
    found = [(job.source.relative_to(folder).as_posix(), job.result.relative_to(folder).as_posix()) for job in jobs]
    assert found == [
        ("a.png", "out/a.png"), ("2/a.png", "out/2/a.png"), ("2/deep/b.jpg", "out/2/deep/b.jpg.png"),
        ("2/deep/b.png", "out/2/deep/b.png.png"), ("10/a.png", "out/10/a.png"),
    ]  # fmt: skip
    assert [record.getMessage() for record in caplog.records] == [
        f"left out of {folder}: sub-folders (1): link; other files (1): empty/x.txt"
    ]
    with pytest.raises(UserError, match="/a.png would overwrite a picture of the input"):
        plan_jobs(folder, folder, recursive=True)
    with pytest.raises(UserError, match="no pictures in .* and its sub-folders: put .avif"):
        plan_jobs(folder / "empty", tmp_path / "out", recursive=True)
    with pytest.raises(UserError, match="--recursive is for a folder, and --input .*a.png is a picture: leave it out"):
        plan_jobs(folder / "a.png", tmp_path / "out", recursive=True)


@pytest.mark.parametrize(
    ("file_format", "expected"),
    [
        ("jpg", ["a.jpg", "b.jpg", "c.jpg.jpg", "c.png.jpg", "d.jpg"]),
        ("webp", ["a.webp", "b.webp", "c.jpg.webp", "c.png.webp", "d.webp"]),
        ("source", ["a.tif", "b.jpg", "c.jpg", "c.png", "d.png"]),
    ],
)
def test_the_format_of_a_folders_results(save, tmp_path, file_format, expected):
    for name in ("a.tif", "b.jfif", "c.png", "c.jpg", "d.gif"):
        save(name)
    jobs = plan_jobs(tmp_path / "in é", tmp_path / "out", file_format=file_format, quality=60)
    assert sorted(job.result.name for job in jobs) == expected
    assert {job.result.suffix: job.quality for job in jobs} == {
        suffix: 60 if suffix in (".jpg", ".webp") else None for suffix in {job.result.suffix for job in jobs}
    }
    upscale_files(Nearest(), jobs, None)
    for job in jobs:
        with Image.open(job.result) as image:
            assert image.format == {".jpg": "JPEG", ".tif": "TIFF"}.get(
                job.result.suffix, job.result.suffix[1:].upper()
            )


def test_quality_makes_smaller_files(save, tmp_path):
    source = save("a.png", size=(60, 50))
    sizes = {}
    for suffix in ("jpg", "webp"):
        for quality in (None, 90, 20):
            (job,) = plan_jobs(source, tmp_path / f"x.{suffix}", quality=quality)
            upscale_files(Nearest(), [job], None)
            sizes[suffix, quality] = job.result.stat().st_size
        assert sizes[suffix, None] > sizes[suffix, 90] > sizes[suffix, 20]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 50}, "--quality is of .jpg and .webp, from 1 to 100, not 50: take --format jpg or webp, too"),
        ({"quality": 0, "file_format": "jpg"}, "--quality is of .jpg and .webp, from 1 to 100, not 0"),
        (
            {"file_format": "jpg", "output": "x.png"},
            "--format is of results in a folder, and --output .*x.png is a file",
        ),
    ],
)
def test_formats_that_do_not_fit(save, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        plan_jobs(save("a.png"), tmp_path / options.pop("output", "out"), **options)


def test_a_picture_that_cannot_be_done_does_not_stop_the_others(save, tmp_path, caplog):
    """One is too large for the memory, one for the format, and one is transparent."""

    class Small(Nearest):
        def pixels(self, condition, *rest, **hooks):
            if condition.shape[2:] == (7, 6):
                raise MemoryError
            if len(condition) > 1:
                raise UserError("onnxruntime cannot run: no memory")
            return super().pixels(condition, *rest, **hooks)

    for name, mode, size in (("a", "RGB", (6, 7)), ("b", "RGBA", (6, 5)), ("c", "RGB", (40000, 1))):
        save(f"{name}.png", mode, (min(size[0], 400), size[1]))
    Image.new("RGB", (40000, 1)).save(tmp_path / "in é" / "c.png")
    save("d.png"), save("e.png")
    watch = Seen()
    jobs = plan_jobs(tmp_path / "in é", tmp_path / "out", file_format="jpg")
    with pytest.raises(UserError, match="^3 of 5 pictures could not be done: the lines above say why$"):
        upscale_files(Small(), jobs, None, watch=watch)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["d.jpg", "e.jpg"]
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3 and sum("a.png: lower --max-memory or --tile" in line for line in lines) == 1
    assert sum("b.png is transparent, which .jpg files cannot be" in line for line in lines) == 1
    assert sum("c.png becomes 80000 pixels long" in line for line in lines) == 1


def test_a_full_disk_stops(save, tmp_path, monkeypatch, caplog):
    for name in ("a.png", "b.png"):
        save(name)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UserError, match="^no space left on the disk for the picture .*a.png"):
        upscaled(tmp_path / "in é", tmp_path / "out")
    assert not caplog.records


def test_an_address_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"^--input https://a\.org/b\.png is an address: download it, or pipe it"):
        plan_jobs("https://a.org/b.png", tmp_path)


def test_standard_input(save, tmp_path, monkeypatch):
    content = save("a.png").read_bytes()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(content)))
    (result,), _ = upscaled("-", tmp_path / "out")
    assert result == tmp_path / "out" / "stdin.png"
    np.testing.assert_array_equal(read_image(result).rgb[::2, ::2], read_image(tmp_path / "in é" / "a.png").rgb)
    with pytest.raises(UserError, match="^cannot read standard input: not a picture, or damaged"):
        upscaled("-", tmp_path / "x.png")


def test_a_pipe_is_read_once(save, tmp_path, photo):
    write_image(tmp_path / "deep.png", deep(photo))
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes((tmp_path / "deep.png").read_bytes()))
    writer.start()
    upscaled(tmp_path / "pipe", tmp_path / "x.png")
    writer.join()
    np.testing.assert_array_equal(read_image(tmp_path / "x.png").rgb[::2, ::2], deep(photo))


def test_a_pipe_that_nobody_writes_to(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("src.imaging.io._PATIENCE", 0.1)
    with pytest.raises(UserError, match="^cannot read .*pipe: nobody has written to this pipe for 0.1 seconds"):
        upscaled(tmp_path / "pipe", tmp_path / "x.png")


@pytest.fixture
def small_limit(monkeypatch, tmp_path):
    """Every result is large; temporary files go into the folder that is returned."""
    for place in ("imaging.io", "imaging.spool", "inference.tile_size"):
        monkeypatch.setattr(f"src.{place}.LARGE", 100)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def told_picture(path, channels, photo, sixteen_bits):
    """Write an LR picture with all the metadata that PNG and TIFF hold."""
    exif = Image.Exif()
    exif[271] = "a camera"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() if channels > 2 else None
    metadata = Metadata(profile, exif, b"<x:xmpmeta/>", (300.0, 300.0), {"Title": "é"})
    pixels = deep(photo, channels) if sixteen_bits else deep(photo, channels).astype(np.uint8)
    write_image(path, pixels[..., 0] if channels == 1 else pixels, metadata)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize(
    ("channels", "sixteen_bits"), [(1, False), (2, False), (3, False), (4, False), (3, True), (4, True)]
)
@pytest.mark.parametrize("outscale", [None, 1.5])
def test_large_results_are_those_of_small_ones(tmp_path, photo, request, suffix, channels, sixteen_bits, outscale):
    told_picture(tmp_path / "a.png", channels, photo, sixteen_bits)
    options = {"compare": True, "samples": 3, "outscale": outscale}
    plans = {}
    for name in ("memory", "files"):
        plans[name] = plan_jobs(tmp_path / "a.png", tmp_path / name / f"x.{suffix}", compare=True, samples=3)
        if name == "files":
            temporary = request.getfixturevalue("small_limit")
        upscale_files(Nearest(), plans[name], None, **options)
    assert not list(temporary.iterdir())
    pairs = list(zip(*(plans[name][0].outputs(3, True) for name in plans), strict=True))
    assert len(pairs) == 7
    for expected, found in pairs:
        expected, found = read_image(expected), read_image(found)
        np.testing.assert_array_equal(found.rgb, expected.rgb)
        assert found.rgb.dtype == expected.rgb.dtype and found.gray == expected.gray
        assert (found.alpha is None) == (expected.alpha is None)
        if found.alpha is not None:
            np.testing.assert_array_equal(found.alpha, expected.alpha)
        own, other = found.metadata, expected.metadata
        assert (own.icc, own.xmp, own.dpi, own.text) == (other.icc, other.xmp, other.dpi, other.text)
        assert (own.exif and own.exif.tobytes()) == (other.exif and other.exif.tobytes())


def test_nothing_stays_of_a_large_result_that_fails(save, tmp_path, small_limit, monkeypatch):
    class Failing(Nearest):
        def pixels(self, condition, *_, empty, **__):
            empty((100, 100, 3), np.uint8)[0:50] = 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscale_files(Failing(), plan_jobs(save("a.png"), tmp_path / "out"), None)
    assert not list(small_limit.iterdir()) and not (tmp_path / "out").exists()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("src.imaging.png._write_pixels", full)
    with pytest.raises(UserError, match="^no space left on the disk for the picture .*a.png"):
        upscaled(tmp_path / "in é", tmp_path / "out")
    assert not list(small_limit.iterdir()) and not list((tmp_path / "out").iterdir())


def test_a_tiff_of_more_than_it_holds_is_refused_before_the_work(save, tmp_path, monkeypatch):
    monkeypatch.setitem(io_module._WRITERS, ".tif", io_module._TIFF._replace(largest=100))
    upscaler = Nearest()
    with pytest.raises(UserError, match="becomes 0.0 GB of pixels, .tif files end at 1e-07: write a .png"):
        upscale_files(upscaler, plan_jobs(save("a.png"), tmp_path / "x.tif"), None)
    assert upscaler.batches == []
    with pytest.raises(UserError, match="TIFF holds at most 1e-07 GB of pixels; write .png instead"):
        write_image(tmp_path / "x.tif", np.zeros((10, 11), np.uint8))


@pytest.mark.parametrize(
    ("names", "quality", "expected"),
    [("a.png b.tif", None, 0), ("a.png b.jpg", None, 4), ("b.jpg a.webp", None, 32), ("a.webp", 90, 11)],
)
def test_what_writing_takes_is_that_of_the_dearest_format(names, quality, expected):
    assert writing_memory([Job(Path("x"), Path(name), quality) for name in names.split()]) == expected
    assert writing_memory([Job(None, Path("0.png"))]) is None
