"""Store people, accounts, photos, intents and runs in one SQLite file."""
