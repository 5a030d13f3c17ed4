"""From a picture to an upscaled picture."""
