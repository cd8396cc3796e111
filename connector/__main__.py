"""How does `python -m connector` start? As the console script does."""

from connector.cli.main import main

if __name__ == "__main__":
    main()
