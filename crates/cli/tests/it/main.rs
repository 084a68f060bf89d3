//! The oxsan command as its users run it.

mod files;
mod mount;
