//! The structures against volumes that a real kernel wrote.

mod fixtures_parse;
mod mutations;
mod volume_file;
