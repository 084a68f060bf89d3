//! Files beside plain vectors of bytes.

mod model;
