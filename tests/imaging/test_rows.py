"""Pictures by rows, and what resizes and stores them."""

import numpy as np
import pytest

from src.imaging.resize import imresize, resized
from src.imaging.rows import Rows, strips


@pytest.mark.parametrize("size", [(400, 300), (300, 1203), (37, 41), (150, 20), (20, 150), (200, 150), (1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_resizing_by_rows_gives_every_value_of_the_whole(size, dtype, channels):
    """Enlarged, reduced, and one dimension before the other in either order."""
    shape = (150, 200, *channels)
    picture = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    by_rows = resized(Rows(shape, dtype, lambda rows: picture[rows]), size)
    assert by_rows.shape == (*size, *channels) and by_rows.dtype == dtype
    np.testing.assert_array_equal(by_rows, imresize(picture, size=size))
    np.testing.assert_array_equal(by_rows[size[0] // 3 :], imresize(picture, size=size)[size[0] // 3 :])


def test_a_picture_of_the_size_is_itself():
    picture = np.zeros((3, 4, 3), np.uint8)
    assert resized(picture, (3, 4)) is picture


def test_all_rows_are_asked_for_a_few_at_a_time():
    asked = []
    picture = Rows((130, 2), np.uint8, lambda rows: asked.append(rows) or np.full((rows.stop - rows.start, 2), 7))
    assert np.asarray(picture).tolist() == [[7, 7]] * 130 and asked == strips(130) and len(picture) == 130
    assert np.asarray(picture, np.float32).dtype == np.float32
