//! iSCSI (RFC 7143), both ends, without I/O: PDUs, text keys, login, CHAP, windows, data transfer, recovery level 0.
//!
//! [`Initiator`] and [`Target`] are one end each of one connection, which is one session. They own no socket, clock,
//! task or random source. A driver owns those and goes round one loop:
//!
//! 1. Make the engine, with `now`, a configuration, and a [`Seed`] of 32 bytes drawn for this connection alone.
//! 2. **Send**: while `transmit()` is not empty, gather it with [`Transmit::fill`] into a `writev` and tell it with
//!    [`Transmit::advance`] what went out. Data of large payloads is referred to, not copied.
//! 3. **Wait** for whichever comes first: the socket has bytes, the socket takes bytes (when some wait), the time
//!    of `poll_timeout()`, or a call of the user's (a command to submit, a backend's answer).
//! 4. **Receive**: give what arrived to `receive(now, &mut bytes)` until it returns `Ok(None)`. All bytes are taken
//!    then. Data in events is borrowed from those bytes: copy it to its place at once. After other calls, look for
//!    events with an empty slice (`solicit` makes one when all data is there already).
//!    Stop receiving while more than a few MiB wait to be sent: a peer that asks without reading would fill memory.
//! 5. **Time**: when it is due, call `handle_timeout(now)`.
//! 6. Back to 2.
//!
//! An `Err` from any call ends the connection. Send what still waits (a refused login or a reject says why), close
//! the socket, and drop the engine; an initiator first takes [`Initiator::take_unfinished`] and submits those
//! commands again to the next engine with the same [`Isid`]. That replay is error recovery level 0 and may do a
//! command twice, which is harmless for reads and for writes of the same data as long as nothing else was
//! answered in between; a driver decides for each command.
//!
//! ```
//! use std::time::Instant;
//!
//! use bytes::Bytes;
//! use iscsi::{Event, Initiator, InitiatorConfig, Isid, ScsiRequest, Seed};
//! use iscsi::{LoginGrant, Response, Target, TargetAuth, TargetConfig, TargetEvent};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # #[allow(clippy::disallowed_methods, reason = "driver: an example")]
//! let now = Instant::now();
//! let config = InitiatorConfig::new("iqn.2026-01.example:me", "iqn.2026-01.example:disk", Isid::random([1, 2, 3], 0));
//! let mut initiator: Initiator<Bytes> = Initiator::new(now, config, Seed::new([1; 32]))?;
//! let mut target: Target<Bytes> = Target::new(now, TargetConfig::default(), Seed::new([2; 32]))?;
//!
//! let read = initiator.submit(ScsiRequest::read(0, [0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], 512))?;
//! let mut buffer = [0; 512];
//! let mut done = false;
//! while !done {
//!     let mut wire = Vec::new();
//!     initiator.transmit().drain_into(&mut wire);
//!     let mut bytes = wire.as_slice();
//!     while let Some(event) = target.receive(now, &mut bytes)? {
//!         match event {
//!             TargetEvent::Login(_) => {
//!                 target.grant(LoginGrant { tsih: 1, auth: TargetAuth::None, target_alias: None })?;
//!             }
//!             TargetEvent::Command { task, .. } => {
//!                 target.respond(task, &Response::read(Bytes::from(vec![7; 512])));
//!             }
//!             _ => {}
//!         }
//!     }
//!     let mut wire = Vec::new();
//!     target.transmit().drain_into(&mut wire);
//!     let mut bytes = wire.as_slice();
//!     while let Some(event) = initiator.receive(now, &mut bytes)? {
//!         match event {
//!             Event::DataIn { task, offset, data } if task == read => {
//!                 let offset = usize::try_from(offset)?;
//!                 buffer[offset..offset + data.len()].copy_from_slice(data);
//!             }
//!             Event::Done { outcome, .. } => done = outcome.status == 0,
//!             _ => {}
//!         }
//!     }
//! }
//! assert_eq!(buffer, [7; 512]);
//! # Ok(())
//! # }
//! ```
//!
//! ## Tables by task
//!
//! [`Task::index`] and [`TargetTask::index`] are small numbers, unique among the commands in flight: a driver keeps
//! its buffers in a `Vec` by them.
//!
//! ## What a target's driver does
//!
//! * [`TargetEvent::Login`]: look up the target's name, the allow-list and the secrets, then [`Target::grant`] or
//!   [`Target::refuse`], before the next `receive`. CHAP runs in the engine.
//! * [`TargetEvent::LoggedIn`]: register the session; end an older one of the same name, ISID and portal group.
//! * [`TargetEvent::Command`]: a read is answered by [`Target::respond`] with [`Response::read`]; long reads may send
//!   parts before with [`Target::data_in`]. For a write, get a buffer and call [`Target::solicit`] with the length that
//!   the CDB asks for; copy each [`TargetEvent::DataOut`] into it; at [`TargetEvent::WriteReady`] do the write, then
//!   respond. A command that fails at once is responded to at once; its data is dropped by the engine.
//! * [`TargetEvent::TaskManagement`]: stop the victims' I/O (or wait for it), [`Target::abort`] each, then
//!   [`Target::manage_done`]. A function may hit commands of other sessions: those are the driver's to find.
//! * After `abort`, `respond` for the same task does nothing; late answers of a backend are harmless.
//!
//! ## Limits
//!
//! No length field sizes an allocation: data segments longer than declared are refused by their header, text is
//! bounded, commands are bounded by the window. A login takes at most 64 requests and its deadline.
//!
//! ## Not built
//!
//! Error recovery levels 1 and 2 (SNACK, connection recovery, task reassignment), more than one connection in a
//! session, SRP and Kerberos, markers. What needs them is refused in negotiation or with an error.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::as_conversions, clippy::arithmetic_side_effects, clippy::indexing_slicing)
)]
#![cfg_attr(test, allow(clippy::cast_possible_truncation, reason = "tests make patterns of numbers"))]

pub mod chap;
pub mod digest;
mod error;
pub mod framer;
mod initiator;
pub mod pdu;
pub mod serial;
mod status;
mod target;
pub mod text;
mod transmit;
mod types;

pub use chap::{Credentials, Secret, Seed};
pub use error::SessionError;
pub use initiator::{
    Event, Initiator, InitiatorConfig, Outcome, ScsiRequest, SubmitError, Task, UseError, Verdict,
};
pub use status::LoginStatus;
pub use target::{
    Command, DataFault, LoginGrant, LoginInfo, Response, Target, TargetAuth, TargetConfig, TargetEvent,
    TargetTask,
};
pub use transmit::{Payload, Transmit};
pub use types::{Attribute, Cdb, Isid, Residual, SessionType, TargetRecord};
