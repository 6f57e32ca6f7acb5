"""`python -m sipconf` is the command `sipconf`."""

from sipconf.cli import main

main()
