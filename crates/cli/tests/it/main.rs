//! The oxsan command as its users run it.

mod cp;
mod files;
mod find;
mod mount;
mod san;
mod trouble;
