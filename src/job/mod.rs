//! job.toml → Spec (what was written) → Plan (what it means) → Graph (what runs). Text in, values out.

pub mod configuration;
pub mod ddl;
pub mod graph;
pub mod options;
pub mod problem;
pub mod settings;
pub mod spec;
pub mod text;
