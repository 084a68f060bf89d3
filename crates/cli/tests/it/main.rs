//! The oxsan command as its users run it.

mod check;
mod cp;
mod files;
mod find;
mod ls;
mod mkfs;
mod mount;
mod san;
mod trouble;
