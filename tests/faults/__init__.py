"""Real processes, real kills, real full disks."""
