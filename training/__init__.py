"""Makes a small Orpheus-style voice from nothing, in stages that can be stopped at any time."""
