"""What do we remember from night to night? People, accounts, photos, intents and runs, in one SQLite file."""
