//! Negotiation of operational keys, in both roles at once: answers to what this end offered, and answers to what the
//! peer offers (RFC 7143, 6.2).

use super::keys::{FULL_FEATURE, OPERATIONAL, SECURITY};
use super::{DigestPolicy, Key, Params, Rule, Sender, Settings, TextError, TextWriter};

/// Which end this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The initiator; it offers.
    Initiator,
    /// The target; it answers.
    Target,
}

/// One login's negotiation.
#[derive(Debug)]
pub struct Negotiator {
    role: Role,
    settings: Settings,
    discovery: bool,
    params: Params,
    /// Keys that this end offered and that wait for an answer.
    offered: u64,
    /// Keys that the peer has sent.
    seen: u64,
    /// Whether this end has declared its MaxRecvDataSegmentLength.
    declared: bool,
}

impl Negotiator {
    /// At the start of a login.
    pub fn new(role: Role, settings: Settings, discovery: bool) -> Self {
        Self { role, settings, discovery, params: Params::default(), offered: 0, seen: 0, declared: false }
    }

    /// What is agreed so far.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Offers every operational key that means something in this session.
    pub fn offer(&mut self, out: &mut TextWriter) {
        for key in OFFERED {
            if self.discovery && !key.spec().in_discovery {
                continue;
            }
            out.push(key.name(), &self.own(key));
            if key == Key::MaxRecvDataSegmentLength {
                self.declare();
            } else {
                self.offered |= key.bit();
            }
        }
    }

    /// Declares MaxRecvDataSegmentLength, once; the target's way, which offers nothing else.
    pub fn declare_max_recv(&mut self, out: &mut TextWriter) {
        if !self.declared {
            out.push(Key::MaxRecvDataSegmentLength.name(), &self.own(Key::MaxRecvDataSegmentLength));
            self.declare();
        }
    }

    /// Takes in one pair of the operational stage, and answers it where it wants an answer.
    ///
    /// # Errors
    /// A key that comes twice, from the wrong end or in the wrong stage, a value that it cannot have, an answer that
    /// the offer does not allow.
    pub fn take(&mut self, name: &str, value: &str, out: &mut TextWriter) -> Result<(), TextError> {
        let Some(key) = Key::of(name) else {
            // An answer to a question never asked means nothing and gets none.
            if !matches!(value, "NotUnderstood" | "Reject" | "Irrelevant") {
                out.push(name, "NotUnderstood");
            }
            return Ok(());
        };
        self.admit(key, OPERATIONAL)?;
        if self.offered & key.bit() != 0 {
            self.offered &= !key.bit();
            return self.take_answer(key, value);
        }
        self.take_offer(key, value, out)
    }

    /// Checks that a key may come from the peer, in this stage, and for the first time.
    ///
    /// # Errors
    /// [`TextError::Misplaced`] or [`TextError::Repeated`].
    pub fn admit(&mut self, key: Key, stage: u8) -> Result<(), TextError> {
        let spec = key.spec();
        match (self.role, spec.sender) {
            (Role::Initiator, Sender::Initiator) => {
                return Err(TextError::Misplaced { key: spec.name, when: "by a target" });
            }
            (Role::Target, Sender::Target) => {
                return Err(TextError::Misplaced { key: spec.name, when: "by an initiator" });
            }
            _ => {}
        }
        if spec.stages & stage == 0 {
            let when = match stage {
                SECURITY => "in the security stage",
                FULL_FEATURE => "after login",
                _ => "in the operational stage",
            };
            return Err(TextError::Misplaced { key: spec.name, when });
        }
        if self.seen & key.bit() != 0 {
            return Err(TextError::Repeated { key: spec.name.into() });
        }
        self.seen |= key.bit();
        Ok(())
    }

    /// Ends the negotiation: what was agreed, checked as a whole.
    ///
    /// # Errors
    /// A required key that went without an answer, or FirstBurstLength beyond MaxBurstLength.
    pub fn finish(&mut self) -> Result<Params, TextError> {
        for (key, policy) in
            [(Key::HeaderDigest, self.settings.header_digest), (Key::DataDigest, self.settings.data_digest)]
        {
            let chosen =
                if key == Key::HeaderDigest { self.params.header_digest } else { self.params.data_digest };
            if !policy.takes(chosen) {
                return Err(TextError::BadAnswer {
                    key: key.name(),
                    answer: "None".into(),
                    offer: self.own(key),
                });
            }
        }
        // The lesser of two valid pairs is valid, but a default against an offer need not be (RFC 7143, 13.14).
        self.params.first_burst = self.params.first_burst.min(self.params.max_burst);
        Ok(self.params.clone())
    }

    fn declare(&mut self) {
        self.declared = true;
        self.params.max_recv_data = self.settings.max_recv_data;
    }

    /// What this end says of a key.
    fn own(&self, key: Key) -> String {
        let own = &self.settings;
        match key {
            Key::HeaderDigest => own.header_digest.list().into(),
            Key::DataDigest => own.data_digest.list().into(),
            Key::InitialR2T => yes_no(own.initial_r2t).into(),
            Key::ImmediateData => yes_no(own.immediate_data).into(),
            Key::DataPduInOrder | Key::DataSequenceInOrder => "Yes".into(),
            Key::TaskReporting => "RFC3720".into(),
            _ => self.own_number(key).to_string(),
        }
    }

    fn own_number(&self, key: Key) -> u32 {
        let own = &self.settings;
        match key {
            Key::MaxRecvDataSegmentLength => own.max_recv_data,
            Key::MaxBurstLength => own.max_burst,
            Key::FirstBurstLength => own.first_burst,
            Key::MaxOutstandingR2T => own.max_outstanding_r2t.into(),
            Key::DefaultTime2Wait => own.time2wait.into(),
            Key::DefaultTime2Retain => own.time2retain.into(),
            Key::MaxConnections | Key::ProtocolLevel => 1,
            // ErrorRecoveryLevel: levels 1 and 2 are not built.
            _ => 0,
        }
    }

    /// An answer to what this end offered.
    fn take_answer(&mut self, key: Key, value: &str) -> Result<(), TextError> {
        let bad = |own: &Self| {
            Err(TextError::BadAnswer { key: key.name(), answer: value.into(), offer: own.own(key) })
        };
        match value {
            // The default stays in force; `finish` sees to keys that must not be left at it.
            "Irrelevant" | "NotUnderstood" => return Ok(()),
            "Reject" => return bad(self),
            _ => {}
        }
        match key.spec().rule {
            Rule::Min { .. } | Rule::Max { .. } => {
                let number = self.number(key, value)?;
                let own = self.own_number(key);
                let good =
                    if matches!(key.spec().rule, Rule::Min { .. }) { number <= own } else { number >= own };
                if !good {
                    return bad(self);
                }
                self.set_number(key, number);
            }
            Rule::Or | Rule::And => {
                let yes = boolean(key, value)?;
                let own = self.own(key) == "Yes";
                // Where this end's word decides, the answer must repeat it.
                let decided = own == matches!(key.spec().rule, Rule::Or);
                if decided && yes != own {
                    return bad(self);
                }
                self.set_bool(key, yes);
            }
            Rule::Digest => {
                let crc32c = match value {
                    "None" => false,
                    "CRC32C" => true,
                    _ => return bad(self),
                };
                if !self.policy(key).takes(crc32c) {
                    return bad(self);
                }
                self.set_bool(key, crc32c);
            }
            _ => {}
        }
        Ok(())
    }

    /// An offer, or a declaration, of the peer.
    fn take_offer(&mut self, key: Key, value: &str, out: &mut TextWriter) -> Result<(), TextError> {
        if self.discovery && !key.spec().in_discovery {
            out.push(key.name(), "Irrelevant");
            return Ok(());
        }
        match key.spec().rule {
            Rule::Declare { .. } => {
                let number = self.number(key, value)?;
                self.params.max_send_data = number;
            }
            Rule::Min { .. } | Rule::Max { .. } => {
                let number = self.number(key, value)?;
                let own = self.own_number(key);
                let least = matches!(key.spec().rule, Rule::Min { .. });
                let result = if least { number.min(own) } else { number.max(own) };
                self.set_number(key, result);
                out.push(key.name(), &result.to_string());
            }
            Rule::Or | Rule::And => {
                let (theirs, own) = (boolean(key, value)?, self.own(key) == "Yes");
                let or = matches!(key.spec().rule, Rule::Or);
                let result = if or { theirs || own } else { theirs && own };
                self.set_bool(key, result);
                out.push(key.name(), yes_no(result));
            }
            Rule::Digest => {
                let policy = self.policy(key);
                let choice = value.split(',').find_map(|word| {
                    match word {
                        "None" => Some(false),
                        "CRC32C" => Some(true),
                        _ => None,
                    }
                    .filter(|crc32c| policy.takes(*crc32c))
                });
                let Some(crc32c) = choice else {
                    return Err(TextError::BadAnswer {
                        key: key.name(),
                        answer: value.into(),
                        offer: policy.list().into(),
                    });
                };
                self.set_bool(key, crc32c);
                out.push(key.name(), if crc32c { "CRC32C" } else { "None" });
            }
            Rule::TaskReporting => {
                let known = value.split(',').any(|word| word == "RFC3720");
                out.push(key.name(), if known { "RFC3720" } else { "Reject" });
            }
            // The answer to a question never asked wants none.
            Rule::Obsolete { .. } if matches!(value, "No" | "Reject") && self.role == Role::Initiator => {}
            Rule::Obsolete { answer } => out.push(key.name(), answer),
            // Names and aliases: login has read them.
            Rule::Text | Rule::Security => {}
        }
        Ok(())
    }

    fn policy(&self, key: Key) -> DigestPolicy {
        if key == Key::HeaderDigest { self.settings.header_digest } else { self.settings.data_digest }
    }

    fn number(&self, key: Key, value: &str) -> Result<u32, TextError> {
        let spec = key.spec();
        let (Rule::Declare { low, high } | Rule::Min { low, high } | Rule::Max { low, high }) = spec.rule
        else {
            return Err(TextError::Misplaced { key: spec.name, when: "as a number" });
        };
        let parsed = match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => value.parse(),
        };
        parsed.ok().filter(|number| (low..=high).contains(number) && !value.contains('+')).ok_or_else(|| {
            TextError::BadValue { key: spec.name, value: value.into(), want: "a number in the key's range" }
        })
    }

    fn set_number(&mut self, key: Key, value: u32) {
        let params = &mut self.params;
        // The table bounds them all to their type.
        let short = u16::try_from(value).unwrap_or(u16::MAX);
        match key {
            Key::MaxConnections => params.max_connections = short,
            Key::MaxBurstLength => params.max_burst = value,
            Key::FirstBurstLength => params.first_burst = value,
            Key::DefaultTime2Wait => params.time2wait = short,
            Key::DefaultTime2Retain => params.time2retain = short,
            Key::MaxOutstandingR2T => params.max_outstanding_r2t = short,
            Key::ErrorRecoveryLevel => params.error_recovery_level = u8::try_from(value).unwrap_or(0),
            _ => {}
        }
    }

    fn set_bool(&mut self, key: Key, value: bool) {
        let params = &mut self.params;
        match key {
            Key::HeaderDigest => params.header_digest = value,
            Key::DataDigest => params.data_digest = value,
            Key::InitialR2T => params.initial_r2t = value,
            Key::ImmediateData => params.immediate_data = value,
            Key::DataPduInOrder => params.data_pdu_in_order = value,
            Key::DataSequenceInOrder => params.data_sequence_in_order = value,
            _ => {}
        }
    }
}

fn yes_no(value: bool) -> &'static str {
    if value { "Yes" } else { "No" }
}

fn boolean(key: Key, value: &str) -> Result<bool, TextError> {
    match value {
        "Yes" => Ok(true),
        "No" => Ok(false),
        _ => Err(TextError::BadValue { key: key.name(), value: value.into(), want: "Yes or No" }),
    }
}

/// What an initiator offers, in this order.
const OFFERED: [Key; 14] = [
    Key::HeaderDigest,
    Key::DataDigest,
    Key::MaxRecvDataSegmentLength,
    Key::DefaultTime2Wait,
    Key::DefaultTime2Retain,
    Key::ErrorRecoveryLevel,
    Key::MaxConnections,
    Key::InitialR2T,
    Key::ImmediateData,
    Key::MaxBurstLength,
    Key::FirstBurstLength,
    Key::MaxOutstandingR2T,
    Key::DataPduInOrder,
    Key::DataSequenceInOrder,
];

#[cfg(test)]
mod tests;
