"""`python -m textinv.cli`."""

from textinv.cli.app import main

if __name__ == "__main__":
    main()
