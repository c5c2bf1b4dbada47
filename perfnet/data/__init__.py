"""Shards in, augmented clips out: everything that a training project needs of the data."""
