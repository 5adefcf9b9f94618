//! Plans, refusals, positions.
