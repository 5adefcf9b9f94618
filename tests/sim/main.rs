//! Deterministic simulation: whole jobs on one thread, in paused time, on a storage in memory that forgets what was not synced when
//! it crashes. A seed decides when checkpoints are asked for, when operations fail and when the process dies; the oracle is the
//! undisturbed run. The same seed gives the same run.

mod exactly_once;
mod world;
