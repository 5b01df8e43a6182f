"""`python -m kfn.function`: serve the function in the current folder, or the one that the environment names."""

from kfn.function.main import main

if __name__ == "__main__":
    raise SystemExit(main())
