"""The flow-decoding probe: how much motion the maps of a network hold."""
