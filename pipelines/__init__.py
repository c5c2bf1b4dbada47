"""The Beam pipeline and its command line."""
