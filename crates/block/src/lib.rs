//! The disk: one trait, [`BlockDevice`], and what stands behind it.
//!
//! Everything above this crate (the filesystem, the iSCSI target) reads and writes through the trait and knows
//! neither files nor sockets.

#![deny(unsafe_op_in_unsafe_fn)]

mod buf;
mod device;
mod error;
mod ext;
mod failing;
mod file;
mod future;
mod job;
mod memory;
mod recording;

pub use buf::{Buf, Bufs, total_len};
pub use device::{BlockDevice, Completion, Durability, Geometry};
pub use error::{BlockError, Op};
pub use ext::BlockDeviceExt;
pub use failing::{FailingDevice, Fault, Held, Rule};
pub use file::{Backend, Direct, FileDevice, OpenOptions};
pub use future::{IoFuture, Promise};
pub use memory::MemoryDevice;
pub use recording::{Change, Crash, Crashes, Event, Kept, Log, RecordingDevice};
