"""Something in the place of Inception, whose features are a few averages of the picture."""


class FakeInception:
    """Averages of a 2×2 grid as features, and as logits; remembers the sizes of its batches."""

    def __init__(self):
        self.batches = []

    def __call__(self, pictures):
        self.batches.append(len(pictures))
        features = pictures[:, :, :298, :298].reshape(len(pictures), 3, 2, 149, 2, 149).mean((3, 5)).reshape(-1, 12)
        return features, features * 3
