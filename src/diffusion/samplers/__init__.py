"""Samplers: functions over (t, t_prev) pairs that know no network."""
