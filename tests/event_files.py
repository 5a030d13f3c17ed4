"""Reading back what TensorBoard shows: the records of event files, protobuf messages between checksums."""

import io
import struct

import numpy as np
from PIL import Image

HEADER = struct.Struct("<QI")  # the length of the data and its checksum; behind the data stands theirs, 4 bytes


def events(path):
    """Yield the ``Event`` messages of a file, up to one that was cut off."""
    from tensorboardX.proto.event_pb2 import Event

    data, position = path.read_bytes(), 0
    while position + HEADER.size <= len(data):
        start = position + HEADER.size
        end = start + HEADER.unpack_from(data, position)[0]
        position = end + 4
        if position <= len(data):
            yield Event.FromString(data[start:end])


def logged(folder):
    """Return [(step, name, number or picture)] of all files, in the order in which TensorBoard reads them."""
    return [
        (event.step, value.tag, decoded(value.image) if value.HasField("image") else value.simple_value)
        for path in sorted(folder.iterdir())
        for event in events(path)
        for value in event.summary.value
    ]


def decoded(image):
    """Return the picture of an ``Image`` message, whose size it must tell."""
    picture = np.array(Image.open(io.BytesIO(image.encoded_image_string)))
    assert picture.shape == (image.height, image.width, image.colorspace)
    return picture
