//! What can be wrong with keys.

/// Text that breaks RFC 7143, or a key on which the two ends do not agree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// A pair without `=`, or with nothing before it.
    #[error("text at byte {offset} is not a key=value pair")]
    NoPair {
        /// Where the pair begins, in bytes.
        offset: usize,
    },
    /// The last pair has no NUL behind it.
    #[error("the text's last pair, at byte {offset}, does not end with NUL")]
    Unterminated {
        /// Where the pair begins, in bytes.
        offset: usize,
    },
    /// A key's name is too long or has characters that no key has.
    #[error(
        "the key at byte {offset} has a bad name of {len} bytes (1 to 63 of letters, digits and .-+@_/# are allowed)"
    )]
    BadName {
        /// Where the pair begins, in bytes.
        offset: usize,
        /// Length of the name, in bytes.
        len: usize,
    },
    /// A value is too long.
    #[error("the value of `{key}` is {len} bytes long, beyond {max}")]
    LongValue {
        /// The key.
        key: String,
        /// Length of the value, in bytes.
        len: usize,
        /// The limit for this key, in bytes.
        max: usize,
    },
    /// A value is not UTF-8.
    #[error("the value of `{key}` is not UTF-8")]
    NotUtf8 {
        /// The key.
        key: String,
    },
    /// A key comes twice.
    #[error("the key `{key}` comes a second time")]
    Repeated {
        /// The key.
        key: String,
    },
    /// One text is spread over more bytes than this end takes.
    #[error("the text is longer than {max} bytes")]
    TooMuch {
        /// The limit, in bytes.
        max: usize,
    },
    /// A value is none that the key can have.
    #[error("`{key}={value}`: must be {want}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// The value as received.
        value: String,
        /// What it may be.
        want: &'static str,
    },
    /// A key came from the end that must not send it, or at a time when it must not.
    #[error("`{key}` must not be sent {when}")]
    Misplaced {
        /// The key.
        key: &'static str,
        /// By whom or when not.
        when: &'static str,
    },
    /// A key that must be there is not.
    #[error("`{key}` is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// CHAP in both directions with one secret: whoever hears one direction could play the other.
    #[error("the same CHAP secret is set for both directions")]
    SameSecret,
    /// The answer is none that the offer allows.
    #[error("`{key}={answer}` does not answer the offer `{offer}`")]
    BadAnswer {
        /// The key.
        key: &'static str,
        /// As received.
        answer: String,
        /// What this end offered.
        offer: String,
    },
}

impl TextError {
    /// What an operator may do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::BadAnswer { key: "HeaderDigest" | "DataDigest", .. } => {
                Some("set both ends to the same digests, or let this end accept None")
            }
            Self::BadAnswer { key: "AuthMethod", .. } => {
                Some("one end asks for CHAP and the other does not know a secret: set it on both")
            }
            Self::SameSecret => {
                Some("choose another secret for the target's proof of itself (RFC 7143, 9.2.1)")
            }
            Self::TooMuch { .. } => {
                Some("a discovery with very many targets: ask for one target by its name")
            }
            _ => None,
        }
    }
}
