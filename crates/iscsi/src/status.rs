//! Login status: class and detail (RFC 7143, 11.13.5).

use std::fmt;

/// How a login step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginStatus {
    /// 0 success, 1 redirection, 2 initiator error, 3 target error.
    pub class: u8,
    /// What of that class.
    pub detail: u8,
}

impl LoginStatus {
    /// It goes on.
    pub const SUCCESS: Self = Self::new(0, 0);
    /// The target has moved for now.
    pub const MOVED_TEMPORARILY: Self = Self::new(1, 1);
    /// The target has moved for good.
    pub const MOVED_PERMANENTLY: Self = Self::new(1, 2);
    /// The initiator breaks the protocol.
    pub const INITIATOR_ERROR: Self = Self::new(2, 0);
    /// CHAP failed, or is asked for and was not done.
    pub const AUTHENTICATION_FAILED: Self = Self::new(2, 1);
    /// This initiator may not use this target.
    pub const FORBIDDEN: Self = Self::new(2, 2);
    /// There is no such target here.
    pub const NOT_FOUND: Self = Self::new(2, 3);
    /// The target is gone for good.
    pub const REMOVED: Self = Self::new(2, 4);
    /// No version that both speak.
    pub const UNSUPPORTED_VERSION: Self = Self::new(2, 5);
    /// One more connection than the session may have.
    pub const TOO_MANY_CONNECTIONS: Self = Self::new(2, 6);
    /// A key that must be there is not.
    pub const MISSING_PARAMETER: Self = Self::new(2, 7);
    /// The connection cannot be in this session.
    pub const CANNOT_INCLUDE: Self = Self::new(2, 8);
    /// SessionType is not served here.
    pub const SESSION_TYPE: Self = Self::new(2, 9);
    /// There is no session of this TSIH.
    pub const NO_SESSION: Self = Self::new(2, 10);
    /// The request cannot come at this point.
    pub const INVALID_DURING_LOGIN: Self = Self::new(2, 11);
    /// The target failed.
    pub const TARGET_ERROR: Self = Self::new(3, 0);
    /// The target is not serving now.
    pub const SERVICE_UNAVAILABLE: Self = Self::new(3, 1);
    /// The target has no room for one more session.
    pub const OUT_OF_RESOURCES: Self = Self::new(3, 2);

    /// A status of its two numbers.
    pub const fn new(class: u8, detail: u8) -> Self {
        Self { class, detail }
    }

    /// Its name in the RFC.
    pub fn name(self) -> &'static str {
        match (self.class, self.detail) {
            (0, _) => "success",
            (1, 1) => "target moved temporarily",
            (1, 2) => "target moved permanently",
            (2, 0) => "initiator error",
            (2, 1) => "authentication failure",
            (2, 2) => "authorization failure",
            (2, 3) => "target not found",
            (2, 4) => "target removed",
            (2, 5) => "unsupported version",
            (2, 6) => "too many connections",
            (2, 7) => "missing parameter",
            (2, 8) => "cannot include in session",
            (2, 9) => "session type not supported",
            (2, 10) => "session does not exist",
            (2, 11) => "invalid during login",
            (3, 0) => "target error",
            (3, 1) => "service unavailable",
            (3, 2) => "out of resources",
            (1, _) => "redirection of an unknown kind",
            (2, _) => "initiator error of an unknown kind",
            (3, _) => "target error of an unknown kind",
            _ => "status of an unknown class",
        }
    }

    /// What an operator may do.
    pub fn hint(self) -> Option<&'static str> {
        Some(match (self.class, self.detail) {
            (2, 1) => {
                "check the CHAP name and secret on both ends; the target may ask for CHAP where none is set"
            }
            (2, 2) => "the target does not let this initiator name in: add it to the target's list",
            (2, 3 | 4) => {
                "ask the portal for its targets (oxsan discover) and compare the name letter by letter"
            }
            (3, 1 | 2) => "the target is there but does not take sessions now: look at it, or try again",
            _ => return None,
        })
    }

    /// Whether the same login may succeed later: the target's trouble, not the initiator's.
    pub fn is_transient(self) -> bool {
        self.class == 3
    }
}

impl fmt::Display for LoginStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:02x}{:02x})", self.name(), self.class, self.detail)
    }
}
