"""sipconf: a SIP conference server in pure Python. The floors and what lives on each: CONTRIBUTING.md."""
