"""Draw poses and flow; pure functions of arrays."""
