"""What pyproject.toml cannot say: src/ is installed as mindspore_sr, with checkpoints/ and configs/ inside it."""

from setuptools import find_packages, setup

NAME = "mindspore_sr"
DATA = {"checkpoints": ["*.ckpt", "*.json", "exports/*"], "configs": ["*.yaml", "base/*.yaml"]}

setup(
    packages=[NAME, *(f"{NAME}.{each}" for each in [*find_packages("src"), *DATA])],
    package_dir={NAME: "src", **{f"{NAME}.{each}": each for each in DATA}},
    package_data={f"{NAME}.metrics": ["*.npz"], **{f"{NAME}.{each}": files for each, files in DATA.items()}},
    include_package_data=False,
)
