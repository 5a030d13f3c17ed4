"""SRGAN, ESRGAN and Real-ESRGAN: generators of one pass, trained against a discriminator."""
