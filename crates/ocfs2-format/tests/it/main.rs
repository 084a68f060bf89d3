//! The structures against volumes that a real kernel wrote.

mod damaged;
mod fixtures_parse;
mod mutations;
mod quota_files;
mod volume_file;
