"""The flagship: reviews commercial contracts by the thousand, through Seawall's public names only."""
