"""`python -m frostline`: the same as `frostline`."""

from frostline.cli import main

main()
