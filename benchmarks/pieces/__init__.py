"""Work in pieces: shared between processes by locks, each done once, its figures kept."""
