//! Functions over the rows of a stream, with state and timers for each key.

mod driver;

pub use driver::{ProcessBody, ProcessContext, ProcessFactory, ProcessInput, ProcessOperatorFactory, ProcessOutput, ProcessSpec, Timer};
