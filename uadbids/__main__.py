"""``python -m uadbids``."""

from uadbids.cli import main

if __name__ == "__main__":
    main()
