"""Files that torch.save writes."""

import pytest


@pytest.fixture
def saved(tmp_path):
    """Return save(value, is_zip) → path."""
    torch = pytest.importorskip("torch")

    def save(value, is_zip=True, name="model ü 1.pth", **options):
        path = tmp_path / name
        torch.save(value, path, _use_new_zipfile_serialization=is_zip, **options)
        return path

    return save
