//! Deterministic simulation: whole jobs on one thread, in paused time, on a storage in memory that forgets what was not synced when
//! it crashes. A seed decides when checkpoints are asked for, when operations fail and when the process dies; the oracle is the
//! undisturbed run. The same seed gives the same run.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where something is not as it should be")]

mod exactly_once;
mod world;
