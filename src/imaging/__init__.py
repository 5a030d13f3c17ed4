"""Pictures outside the networks: resizing, reading, writing and colour."""
