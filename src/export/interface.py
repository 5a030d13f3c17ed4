"""What a graph takes, as the description of an exported model says it."""

from src.export.offline import input_names


def described(role, inputs, conditional):
    """Describe a graph's inputs.

    Args:
        role: "whole", "encode", "step" or "sampler".
        inputs: its inputs as MindSpore tensors; None or −1 in a shape is free.
        conditional: whether the model looks at a picture.

    Returns:
        list of {"name", "shape" with None for free sizes, "dtype" such as "float32"}.
    """
    return [
        {
            "name": name,
            "shape": [None if size in (None, -1) else size for size in tensor.shape],
            "dtype": str(tensor.dtype).rpartition(".")[2].lower(),
        }
        for name, tensor in zip(input_names(role, conditional), inputs, strict=True)
    ]
