"""Pictures prepared for Inception, against PyTorch's interpolation and by hand."""

import numpy as np
import pytest

from src.metrics.inception import PREPARATIONS, as_pytorch_fid, as_torch_fidelity

FORMS = pytest.mark.parametrize("prepare", PREPARATIONS.values(), ids=PREPARATIONS)


@pytest.mark.parametrize("size", [(64, 80), (299, 33), (512, 300), (1, 7)])
def test_it_is_what_pytorch_interpolates(photo, size):
    torch = pytest.importorskip("torch")
    picture = photo[: size[0], : size[1]]
    levels = torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32) / 255)
    expected = 2 * torch.nn.functional.interpolate(levels, (299, 299), mode="bilinear", align_corners=False) - 1
    np.testing.assert_allclose(as_pytorch_fid(picture), expected[0].numpy(), atol=1e-4)


@FORMS
def test_a_picture_of_299_pixels_is_left_as_it_is(photo, prepare):
    picture = photo[100:399, 50:349]
    found = prepare(picture)
    assert (found.shape, found.dtype) == ((3, 299, 299), np.float32)
    centre, scale = (127.5, 127.5) if prepare is as_pytorch_fid else (128, 128)
    np.testing.assert_allclose(found * scale + centre, picture.transpose(2, 0, 1), atol=1e-4)


def test_tensorflow_takes_every_so_many_pixels():
    picture = np.arange(598, dtype=np.float64)[:, None, None] / 598 * 255
    picture = np.broadcast_to(picture.astype(np.uint8), (598, 5, 3))
    np.testing.assert_array_equal(as_torch_fidelity(picture)[0, :, 0], (picture[::2, 0, 0] - 128.0) / 128)


@FORMS
def test_one_pixel_fills_the_picture(prepare):
    found = prepare(np.array([[[0, 128, 255]]], np.uint8))
    assert np.ptp(found, (1, 2)).max() == 0
    assert found[:, 0, 0] == pytest.approx([-1, 0, 1], abs=0.01)
