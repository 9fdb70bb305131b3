"""``python -m attnstore``: the command `attnstore`."""

from .cli import main

if __name__ == "__main__":
    main()
