"""What should happen to one photo, and may the whole plan happen? Pure: no clock, no wire, no disk."""
