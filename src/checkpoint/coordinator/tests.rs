//! Scenarios and random events.
