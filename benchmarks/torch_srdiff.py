"""SRDiff in plain PyTorch, the yardstick of ``train_step.py`` and ``engines.py``.

Written from the architecture (arXiv 2104.14951, section 3), as one would write it in PyTorch without measuring: every
layer is PyTorch's own, run eagerly. The parameters have the names and shapes of this project's, so that weights are
copied by name.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional


class ReflectConv(nn.Module):
    """A 3×3 convolution over reflected edges."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, padding_mode="reflect")

    def forward(self, x):
        return self.conv(x)


class ConvBlock(nn.Module):
    """Convolution and Mish, with GroupNorm between them where groups > 0."""

    def __init__(self, in_channels, out_channels, groups):
        super().__init__()
        self.conv = ReflectConv(in_channels, out_channels)
        self.norm = nn.GroupNorm(groups, out_channels) if groups else nn.Identity()

    def forward(self, x):
        return functional.mish(self.norm(self.conv(x)))


class ResnetBlock(nn.Module):
    """Two ConvBlocks, the time embedding between them, a skip connection around both."""

    def __init__(self, in_channels, out_channels, embedding_channels, groups):
        super().__init__()
        self.time_dense = nn.Linear(embedding_channels, out_channels)
        self.block1 = ConvBlock(in_channels, out_channels, groups)
        self.block2 = ConvBlock(out_channels, out_channels, groups)
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x, embedding):
        h = self.block1(x) + self.time_dense(embedding)[:, :, None, None]
        return self.block2(h) + self.skip(x)


class Level(nn.Module):
    """Two ResnetBlocks; on the way up a transposed convolution to twice the size as well."""

    def __init__(self, in_channels, out_channels, embedding_channels, groups, up=False):
        super().__init__()
        self.block1 = ResnetBlock(in_channels, out_channels, embedding_channels, groups)
        self.block2 = ResnetBlock(out_channels, out_channels, embedding_channels, groups)
        self.up = nn.ConvTranspose2d(out_channels, out_channels, 4, stride=2, padding=1) if up else nn.Identity()

    def forward(self, x, embedding):
        return self.up(self.block2(self.block1(x, embedding), embedding))


class UNet(nn.Module):
    """The conditional noise predictor, without attention."""

    def __init__(self, width, multipliers, condition_channels, factor, groups, picture_channels, add_base=False):
        super().__init__()
        if add_base:
            self.lr_up_conv = ReflectConv(picture_channels, width)
        channels = [width * m for m in multipliers]
        self.condition_conv = (
            nn.Conv2d(condition_channels, width, 3, padding=1)
            if factor == 1
            else nn.ConvTranspose2d(condition_channels, width, 2 * factor, stride=factor, padding=factor // 2)
        )
        frequencies = np.exp(np.arange(width // 2) * (-math.log(10000.0) / (width // 2 - 1)))
        self.register_buffer("frequencies", torch.tensor(frequencies, dtype=torch.float32), persistent=False)
        self.time_mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.Mish(), nn.Linear(4 * width, width))
        ins = [picture_channels, *channels[:-1]]
        self.downs = nn.ModuleList(Level(i, o, width, groups) for i, o in zip(ins, channels, strict=True))
        self.halvings = nn.ModuleList(ReflectConv(c, c, stride=2) for c in channels[:-1])
        self.mid_block1 = ResnetBlock(channels[-1], channels[-1], width, groups)
        self.mid_block2 = ResnetBlock(channels[-1], channels[-1], width, groups)
        ups = zip(channels[:0:-1], channels[-2::-1], strict=True)
        self.ups = nn.ModuleList(Level(2 * i, o, width, groups, up=True) for i, o in ups)
        self.last_block = ConvBlock(width, width, groups)
        self.last_conv = nn.Conv2d(width, picture_channels, 1)

    def forward(self, x, t, condition):
        angles = t[:, None].float() * self.frequencies
        embedding = functional.mish(self.time_mlp(torch.cat((angles.sin(), angles.cos()), 1)))
        skips = []
        for level, down in enumerate(self.downs):
            x = down(x, embedding)
            if level == 0:
                x = x + condition
            skips.append(x)
            if level < len(self.halvings):
                x = self.halvings[level](x)
        x = self.mid_block2(self.mid_block1(x, embedding), embedding)
        for up in self.ups:
            x = up(torch.cat((x, skips.pop()), 1), embedding)
        return self.last_conv(self.last_block(x))


class DenseBlock(nn.Module):
    """ESRGAN's residual dense block."""

    def __init__(self, features, growth):
        super().__init__()
        for i in range(1, 5):
            setattr(self, f"conv{i}", nn.Conv2d(features + (i - 1) * growth, growth, 3, padding=1))
        self.conv5 = nn.Conv2d(features + 4 * growth, features, 3, padding=1)

    def forward(self, x):
        found = [x]
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            found.append(functional.leaky_relu(conv(torch.cat(found, 1)), 0.2))
        return self.conv5(torch.cat(found, 1)) * 0.2 + x


class RRDB(nn.Module):
    """Three dense blocks in a row."""

    def __init__(self, features, growth):
        super().__init__()
        self.dense1, self.dense2, self.dense3 = (DenseBlock(features, growth) for _ in range(3))

    def forward(self, x):
        return self.dense3(self.dense2(self.dense1(x))) * 0.2 + x


class PixelShuffleUpsampler(nn.Module):
    """A correction of LR↑, made at LR resolution."""

    def __init__(self, features, scale):
        super().__init__()
        self.hidden_conv = nn.Conv2d(features, 2 * features, 3, padding=1)
        self.last_conv = nn.Conv2d(2 * features, 3 * scale * scale, 3, padding=1)
        self.scale = scale

    def forward(self, features, lr_up):
        hidden = functional.leaky_relu(self.hidden_conv(features), 0.2)
        return lr_up + functional.pixel_shuffle(self.last_conv(hidden), self.scale)


class Encoder(nn.Module):
    """RRDBNet: the condition of SRDiff, and with the upsampler "pixelshuffle" its own picture.

    Args:
        features, blocks, growth: sizes.
        every: the condition has the features of every so many blocks.
        scale: of the picture; 0 leaves it out.
    """

    def __init__(self, features, blocks, growth, every=3, scale=0):
        super().__init__()
        self.every = every
        if scale:
            self.upsampler = PixelShuffleUpsampler(features, scale)
        self.first_conv = nn.Conv2d(3, features, 3, padding=1)
        self.trunk = nn.ModuleList(RRDB(features, growth) for _ in range(blocks))
        self.trunk_conv = nn.Conv2d(features, features, 3, padding=1)

    def outputs(self, lr):
        """Every block's output and last the trunk's sum."""
        first = x = self.first_conv((lr + 1) * 0.5)
        found = []
        for block in self.trunk:
            x = block(x)
            found.append(x)
        return [*found, first + self.trunk_conv(x)]

    def condition(self, outputs):
        return torch.cat(outputs[self.every - 1 :: self.every], 1)

    def picture(self, outputs, lr_up):
        """The picture in [−1, 1] from LR↑ in [−1, 1]."""
        return self.upsampler(outputs[-1], (lr_up + 1) * 0.5) * 2 - 1


class SRDiff(nn.Module):
    """Encoder and U-Net of a configuration."""

    def __init__(self, config):
        super().__init__()
        encoder, unet = config.encoder, config.unet
        growth = encoder.growth or encoder.features // 2
        r = self.space_to_depth = unet.space_to_depth
        self.encoder = Encoder(encoder.features, encoder.blocks, growth)
        self.of_encoder, self.add_base = config.diffusion.residual_of == "encoder", unet.add_lr_up
        scale = config.data.scale if encoder.upsampler == "pixelshuffle" else 0
        self.encoder = Encoder(encoder.features, encoder.blocks, growth, unet.condition_every, scale)
        condition_channels = encoder.features * ((encoder.blocks + 1) // unet.condition_every)
        self.unet = UNet(
            unet.width,
            unet.multipliers,
            condition_channels,
            config.data.scale // r,
            unet.groups,
            3 * r * r,
            self.add_base,
        )

    def encode(self, lr):
        """What does not depend on x_t; the encoder is frozen."""
        with torch.no_grad():
            features = self.encoder.condition(self.encoder.outputs(lr))
        return self.unet.condition_conv(features)

    def encode_with_base(self, lr, lr_up):
        """The condition and the base picture, from LR and LR↑ in [−1, 1]."""
        outputs = self.encoder.outputs(lr)
        base = self.encoder.picture(outputs, lr_up) if self.of_encoder else lr_up
        condition = self.unet.condition_conv(self.encoder.condition(outputs))
        if self.add_base:
            condition = condition + self.unet.lr_up_conv(functional.pixel_unshuffle(base, self.space_to_depth))
        return condition, base

    def forward(self, x_t, t, condition):
        x = functional.pixel_unshuffle(x_t, self.space_to_depth)
        return functional.pixel_shuffle(self.unet(x, t, condition), self.space_to_depth)

    def load(self, weights):
        """See :func:`load`."""
        load(self, weights)


def load(model, weights):
    """Give a model this project's weights, {name: float32 array}; names that have no counterpart here are left out."""
    renamed = {n.replace("gamma", "weight").replace("beta", "bias"): array for n, array in weights.items()}
    model.load_state_dict({name: torch.tensor(renamed[name]) for name in model.state_dict()})


class TorchStep:
    """Forward, L1 or L2, backward, clipping, Adam: one optimiser step of a frozen-encoder SRDiff.

    Args:
        config: a ``Config``.
        weights: of :meth:`SRDiff.load`.
        schedule: ``src.diffusion.schedule.Schedule``.
    """

    def __init__(self, config, weights, schedule):
        self.config = config
        self.model = SRDiff(config)
        self.model.load(weights)
        self.trained = list(self.model.unet.parameters())
        self.optimizer = torch.optim.Adam(
            self.trained, lr=config.train.lr, betas=(config.train.beta1, config.train.beta2), eps=1e-8
        )
        self.signal = torch.tensor(schedule.signal_rate, dtype=torch.float32)
        self.noise_rate = torch.tensor(schedule.noise_rate, dtype=torch.float32)

    def __call__(self, hr, lr, t, noise, lr_up):
        """Train on one batch of tensors; LR↑, which has no weights, is given. Returns loss and gradient norm."""
        diffusion = self.config.diffusion
        x_0 = (hr - lr_up) * diffusion.residual_scale
        if diffusion.clip:
            x_0 = x_0.clamp(-1, 1)
        signal, noise_rate = (rate[t].reshape(-1, 1, 1, 1) for rate in (self.signal, self.noise_rate))
        x_t = signal * x_0 + noise_rate * noise
        goal = noise if diffusion.prediction == "noise" else signal * noise - noise_rate * x_0
        measure = functional.l1_loss if diffusion.loss == "l1" else functional.mse_loss
        loss = measure(self.model(x_t, t, self.model.encode(lr)), goal)
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.trained, self.config.train.clip_norm or math.inf)
        self.optimizer.step()
        return float(loss.detach()), float(norm)
