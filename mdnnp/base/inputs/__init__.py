"""Input files: TOML, read strictly into frozen records."""
