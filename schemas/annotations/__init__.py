"""Readers of official annotation files."""
