"""SR3 and DDPM."""
