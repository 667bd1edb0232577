"""`python train.py`: the same as `python -m frostline.train`; options with `--help`."""

from frostline.train import main

if __name__ == "__main__":
    main()
