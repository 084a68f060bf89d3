//! The oxsan command as its users run it.

mod check;
mod cp;
mod data;
mod files;
mod find;
mod ls;
mod mkfs;
mod mount;
mod san;
mod trouble;
mod written;
