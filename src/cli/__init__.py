"""The arguments of each command; importing one is light, what it does is in commands/."""
