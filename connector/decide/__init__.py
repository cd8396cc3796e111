"""Decide what happens to one photo, and whether a whole plan may run. Pure: no clock, no network, no disk."""
