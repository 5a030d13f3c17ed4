"""SR3 and DDPM from a configuration or a checkpoint to objects."""

import numpy as np

from src.diffusion.process import ImageTarget
from src.families.registry import family_of
from src.weights.checkpoint import load_checkpoint
from tests import tiny_sr3


def test_every_setting_of_the_network_reaches_it():
    config = tiny_sr3.config(
        "sr3.width=12", "sr3.multipliers=[1,2,3]", "sr3.blocks=2", "sr3.attention=[4]", "sr3.groups=3",
        "sr3.dropout=0.5", "sr3.noise_level=discrete", "sr3.affine=true", *tiny_sr3.UNCONDITIONAL,
    )  # fmt: skip
    net = family_of(config).model().unet
    assert [block.block2.conv.out_channels for block in net.down_blocks] == [12, 12, 24, 24, 36, 36]
    assert [hasattr(block.attention, "to_qkv") for block in net.down_blocks] == [False] * 4 + [True] * 2
    first = net.down_blocks[0]
    assert first.block1.norm.num_groups == 3 and first.block2.dropout.rate == 0.5 and first.modulation.affine
    assert type(net.time_activation).__name__ == "SiLU" and net.first_conv.in_channels == 3
    assert family_of(config).size_multiple == net.size_multiple == 4


def test_the_schedule_is_as_the_settings_say_and_the_target_is_the_picture():
    config = tiny_sr3.config("diffusion.steps=20", "diffusion.beta_end=0.2")
    np.testing.assert_allclose(family_of(config).schedule().betas, np.linspace(1e-4, 0.2, 20))
    assert isinstance(family_of(config).target(), ImageTarget) and family_of(config).target().clip
    assert not family_of(tiny_sr3.config("diffusion.clip=false")).target().clip


def test_a_checkpoint_holds_the_unet_alone(tmp_path):
    path = tiny_sr3.checkpoint(tmp_path / "w.ckpt")
    assert {name.split(".")[0] for name in load_checkpoint(path).arrays} == {"unet"}


def test_tiles_are_of_whole_levels_and_never_exact():
    tiling = family_of(tiny_sr3.config("sr3.multipliers=[1,1,1]", "sr3.attention=[]")).tiling()
    grid = tiling.grid(1, 5, 7)
    assert [side % 4 for side in grid.window_size] == [0, 0]
