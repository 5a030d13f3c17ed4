"""What the machine gives: device, files, signals, logs."""
