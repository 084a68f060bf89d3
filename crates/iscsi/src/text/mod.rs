//! Text keys: `key=value` pairs, the table of every key with its rule, and their negotiation (RFC 7143, 6 and 13).

mod error;
mod keys;
mod negotiate;
mod pairs;
mod params;

pub use error::TextError;
pub use keys::{Key, KeySpec, Rule, Sender};
pub use negotiate::{Negotiator, Role};
pub use pairs::{Pair, TextBuf, TextWriter, parse_pairs};
pub use params::{DigestPolicy, Params, Settings};
