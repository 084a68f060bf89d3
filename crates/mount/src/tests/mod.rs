//! The transport as a whole: against a pretended kernel, and mounted for real.

mod changed;
mod kernel;
mod memfs;
mod pretended;
mod real;
mod volumes;
