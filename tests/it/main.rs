//! Tests of the project as a whole: its layers, its committed files, its command line as a process. One binary, because each one links
//! everything.

mod frame;
mod layering;
