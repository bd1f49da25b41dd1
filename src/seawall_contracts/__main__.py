"""`python -m seawall_contracts`, the same as `seawall-contracts`."""

from seawall_contracts.cli import main

if __name__ == "__main__":
    main()
