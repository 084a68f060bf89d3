//! The table of every key with its rule (RFC 7143, 12.1.3 and 13).

/// How two ends come to a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Each end says its own; nothing is agreed. A number in this range.
    Declare {
        /// Least value.
        low: u32,
        /// Greatest value.
        high: u32,
    },
    /// The lesser of two numbers in this range.
    Min {
        /// Least value.
        low: u32,
        /// Greatest value.
        high: u32,
    },
    /// The greater of two numbers in this range.
    Max {
        /// Least value.
        low: u32,
        /// Greatest value.
        high: u32,
    },
    /// Yes when either end says Yes.
    Or,
    /// Yes when both ends say Yes.
    And,
    /// A list in order of liking; the other end takes the first it can do.
    Digest,
    /// A list of which only `RFC3720` is built.
    TaskReporting,
    /// Declared text; login and discovery give it its meaning.
    Text,
    /// Part of the security stage.
    Security,
    /// Gone since RFC 7143; always answered with this.
    Obsolete {
        /// The answer.
        answer: &'static str,
    },
}

/// Who may send a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The initiator alone.
    Initiator,
    /// The target alone.
    Target,
    /// Either.
    Both,
}

/// May come in the security stage of login.
pub(super) const SECURITY: u8 = 1;
/// May come in the operational stage of login.
pub(super) const OPERATIONAL: u8 = 2;
/// May come in the full feature phase.
pub(super) const FULL_FEATURE: u8 = 4;
/// May come in either stage of login.
const LOGIN: u8 = SECURITY | OPERATIONAL;
/// May come at any time.
const ANY: u8 = LOGIN | FULL_FEATURE;

/// What the RFC says of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Its name.
    pub name: &'static str,
    /// How its value comes about.
    pub rule: Rule,
    /// Who may send it.
    pub sender: Sender,
    /// When it may come; one bit each: 1 the security stage, 2 the operational stage, 4 after login.
    pub stages: u8,
    /// Whether it means anything in a discovery session; `Irrelevant` is the answer there otherwise.
    pub in_discovery: bool,
    /// Whether its value may be longer than 255 bytes.
    pub large: bool,
}

/// Every key of RFC 7143, and those it made obsolete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[rustfmt::skip]
pub enum Key {
    /// `AuthMethod`: how the ends prove who they are.
    AuthMethod,
    /// `CHAP_A`: CHAP algorithms.
    ChapA,
    /// `CHAP_I`: CHAP identifier.
    ChapI,
    /// `CHAP_C`: CHAP challenge.
    ChapC,
    /// `CHAP_N`: CHAP name.
    ChapN,
    /// `CHAP_R`: CHAP response.
    ChapR,
    /// `HeaderDigest`: checksum of headers.
    HeaderDigest,
    /// `DataDigest`: checksum of data segments.
    DataDigest,
    /// `MaxConnections`: connections in a session.
    MaxConnections,
    /// `SendTargets`: asks for targets.
    SendTargets,
    /// `TargetName`: the target.
    TargetName,
    /// `InitiatorName`: the initiator.
    InitiatorName,
    /// `TargetAlias`: the target in words.
    TargetAlias,
    /// `InitiatorAlias`: the initiator in words.
    InitiatorAlias,
    /// `TargetAddress`: where a target is.
    TargetAddress,
    /// `TargetPortalGroupTag`: the portal group.
    TargetPortalGroupTag,
    /// `InitialR2T`: whether writes wait for R2T.
    InitialR2T,
    /// `ImmediateData`: whether commands carry data.
    ImmediateData,
    /// `MaxRecvDataSegmentLength`: longest data segment the sender takes, bytes.
    MaxRecvDataSegmentLength,
    /// `MaxBurstLength`: longest solicited sequence, bytes.
    MaxBurstLength,
    /// `FirstBurstLength`: most unsolicited data, bytes.
    FirstBurstLength,
    /// `DefaultTime2Wait`: seconds before coming back.
    DefaultTime2Wait,
    /// `DefaultTime2Retain`: seconds that tasks are kept.
    DefaultTime2Retain,
    /// `MaxOutstandingR2T`: R2Ts in flight for a command.
    MaxOutstandingR2T,
    /// `DataPDUInOrder`: data PDUs of a sequence in order.
    DataPduInOrder,
    /// `DataSequenceInOrder`: data sequences in order.
    DataSequenceInOrder,
    /// `ErrorRecoveryLevel`: 0, 1 or 2.
    ErrorRecoveryLevel,
    /// `SessionType`: Normal or Discovery.
    SessionType,
    /// `TaskReporting`: when aborted tasks are reported (RFC 7143, 13.23).
    TaskReporting,
    /// `iSCSIProtocolLevel`: level of the protocol (RFC 7144).
    ProtocolLevel,
    /// `IFMarker`: markers, gone since RFC 7143.
    IfMarker,
    /// `OFMarker`: markers, gone since RFC 7143.
    OfMarker,
    /// `IFMarkInt`: markers, gone since RFC 7143.
    IfMarkInt,
    /// `OFMarkInt`: markers, gone since RFC 7143.
    OfMarkInt,
}

impl Key {
    /// All of them.
    pub const ALL: [Self; 34] = [
        Self::AuthMethod,
        Self::ChapA,
        Self::ChapI,
        Self::ChapC,
        Self::ChapN,
        Self::ChapR,
        Self::HeaderDigest,
        Self::DataDigest,
        Self::MaxConnections,
        Self::SendTargets,
        Self::TargetName,
        Self::InitiatorName,
        Self::TargetAlias,
        Self::InitiatorAlias,
        Self::TargetAddress,
        Self::TargetPortalGroupTag,
        Self::InitialR2T,
        Self::ImmediateData,
        Self::MaxRecvDataSegmentLength,
        Self::MaxBurstLength,
        Self::FirstBurstLength,
        Self::DefaultTime2Wait,
        Self::DefaultTime2Retain,
        Self::MaxOutstandingR2T,
        Self::DataPduInOrder,
        Self::DataSequenceInOrder,
        Self::ErrorRecoveryLevel,
        Self::SessionType,
        Self::TaskReporting,
        Self::ProtocolLevel,
        Self::IfMarker,
        Self::OfMarker,
        Self::IfMarkInt,
        Self::OfMarkInt,
    ];

    /// The key of a name; case matters.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.spec().name == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// Its row of the table.
    #[rustfmt::skip]
    pub const fn spec(self) -> KeySpec {
        match self {
            Self::AuthMethod => row("AuthMethod", Rule::Security, Sender::Both, SECURITY, true, false),
            Self::ChapA => row("CHAP_A", Rule::Security, Sender::Both, SECURITY, true, false),
            Self::ChapI => row("CHAP_I", Rule::Security, Sender::Both, SECURITY, true, false),
            Self::ChapC => row("CHAP_C", Rule::Security, Sender::Both, SECURITY, true, true),
            Self::ChapN => row("CHAP_N", Rule::Security, Sender::Both, SECURITY, true, false),
            Self::ChapR => row("CHAP_R", Rule::Security, Sender::Both, SECURITY, true, true),
            Self::HeaderDigest => row("HeaderDigest", Rule::Digest, Sender::Both, OPERATIONAL, true, false),
            Self::DataDigest => row("DataDigest", Rule::Digest, Sender::Both, OPERATIONAL, true, false),
            Self::MaxConnections => row("MaxConnections", Rule::Min { low: 1, high: 65535 }, Sender::Both, OPERATIONAL, false, false),
            Self::SendTargets => row("SendTargets", Rule::Text, Sender::Initiator, FULL_FEATURE, true, false),
            Self::TargetName => row("TargetName", Rule::Text, Sender::Both, ANY, true, false),
            Self::InitiatorName => row("InitiatorName", Rule::Text, Sender::Initiator, LOGIN, true, false),
            Self::TargetAlias => row("TargetAlias", Rule::Text, Sender::Target, ANY, true, false),
            Self::InitiatorAlias => row("InitiatorAlias", Rule::Text, Sender::Initiator, ANY, true, false),
            Self::TargetAddress => row("TargetAddress", Rule::Text, Sender::Target, ANY, true, false),
            Self::TargetPortalGroupTag => row("TargetPortalGroupTag", Rule::Text, Sender::Target, LOGIN, true, false),
            Self::InitialR2T => row("InitialR2T", Rule::Or, Sender::Both, OPERATIONAL, false, false),
            Self::ImmediateData => row("ImmediateData", Rule::And, Sender::Both, OPERATIONAL, false, false),
            Self::MaxRecvDataSegmentLength => row("MaxRecvDataSegmentLength", Rule::Declare { low: 512, high: 0xff_ffff }, Sender::Both, OPERATIONAL | FULL_FEATURE, true, false),
            Self::MaxBurstLength => row("MaxBurstLength", Rule::Min { low: 512, high: 0xff_ffff }, Sender::Both, OPERATIONAL, false, false),
            Self::FirstBurstLength => row("FirstBurstLength", Rule::Min { low: 512, high: 0xff_ffff }, Sender::Both, OPERATIONAL, false, false),
            Self::DefaultTime2Wait => row("DefaultTime2Wait", Rule::Max { low: 0, high: 3600 }, Sender::Both, OPERATIONAL, true, false),
            Self::DefaultTime2Retain => row("DefaultTime2Retain", Rule::Min { low: 0, high: 3600 }, Sender::Both, OPERATIONAL, true, false),
            Self::MaxOutstandingR2T => row("MaxOutstandingR2T", Rule::Min { low: 1, high: 65535 }, Sender::Both, OPERATIONAL, false, false),
            Self::DataPduInOrder => row("DataPDUInOrder", Rule::Or, Sender::Both, OPERATIONAL, false, false),
            Self::DataSequenceInOrder => row("DataSequenceInOrder", Rule::Or, Sender::Both, OPERATIONAL, false, false),
            Self::ErrorRecoveryLevel => row("ErrorRecoveryLevel", Rule::Min { low: 0, high: 2 }, Sender::Both, OPERATIONAL, true, false),
            Self::SessionType => row("SessionType", Rule::Text, Sender::Initiator, LOGIN, true, false),
            Self::TaskReporting => row("TaskReporting", Rule::TaskReporting, Sender::Both, OPERATIONAL, false, false),
            Self::ProtocolLevel => row("iSCSIProtocolLevel", Rule::Min { low: 0, high: 31 }, Sender::Both, OPERATIONAL, false, false),
            Self::IfMarker => row("IFMarker", Rule::Obsolete { answer: "No" }, Sender::Both, OPERATIONAL, true, false),
            Self::OfMarker => row("OFMarker", Rule::Obsolete { answer: "No" }, Sender::Both, OPERATIONAL, true, false),
            Self::IfMarkInt => row("IFMarkInt", Rule::Obsolete { answer: "Reject" }, Sender::Both, OPERATIONAL, true, false),
            Self::OfMarkInt => row("OFMarkInt", Rule::Obsolete { answer: "Reject" }, Sender::Both, OPERATIONAL, true, false),
        }
    }

    /// Its place in a set of keys.
    pub(super) fn bit(self) -> u64 {
        let at = Self::ALL.into_iter().position(|key| key == self).and_then(|at| u32::try_from(at).ok());
        1_u64.checked_shl(at.unwrap_or(63)).unwrap_or(0)
    }
}

const fn row(
    name: &'static str,
    rule: Rule,
    sender: Sender,
    stages: u8,
    in_discovery: bool,
    large: bool,
) -> KeySpec {
    KeySpec { name, rule, sender, stages, in_discovery, large }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits_are_apart() {
        let mut bits = 0;
        for key in Key::ALL {
            assert_eq!(Key::of(key.name()), Some(key));
            assert!(key.name().len() <= 63);
            assert_eq!(bits & key.bit(), 0);
            bits |= key.bit();
        }
        assert_eq!(Key::of("headerdigest"), None);
    }
}
