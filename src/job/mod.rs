//! job.toml → Spec (what was written) → Plan (what it means) → Graph (what runs). Text in, values out.

pub mod graph;
pub mod settings;
