//! The oxsan command as its users run it.

mod cp;
mod files;
mod mount;
mod san;
