"""HTTP as the service speaks it: problems, headers, and bounds on what comes in."""
