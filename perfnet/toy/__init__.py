"""A learnable world: generated figures whose motions RGB, flow and pose tell apart differently."""
