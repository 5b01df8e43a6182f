"""`python -m deploy.images --registry HOST/PREFIX` is `kfn images`, for a checkout: see cli/images.py. What `make images` runs."""

from cli.main import main

if __name__ == "__main__":
    import sys

    main(["images", *sys.argv[1:]])
