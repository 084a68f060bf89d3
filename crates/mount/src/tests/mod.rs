//! The transport as a whole: against a pretended kernel, and mounted for real.

mod kernel;
mod memfs;
mod pretended;
mod real;
mod volumes;
