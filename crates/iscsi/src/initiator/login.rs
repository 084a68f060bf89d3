//! The initiator's login: security by CHAP, keys, full feature phase.

use std::time::Instant;

use crate::chap::{Algorithm, decode_binary, encode_binary};
use crate::error::SessionError;
use crate::pdu::{Bhs, IMMEDIATE, Opcode, RawLoginRequest, RawLoginResponse, Stage};
use crate::status::LoginStatus;
use crate::text::{Key, Negotiator, Pair, Role, TextBuf, TextError, TextWriter, parse_pairs};
use crate::types::SessionType;

use super::{Event, Initiator, InitiatorConfig, Phase};

/// Longest text of one login step, in bytes.
const MAX_LOGIN_TEXT: usize = 64 * 1024;
/// Most requests of one login.
const MAX_ROUNDS: u16 = 64;
/// T: the sender wants to go on to the next stage.
const TRANSIT: u8 = 0x80;
/// C: the text goes on in the next PDU.
const CONTINUE: u8 = 0x40;

/// What was asked last in the security stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// AuthMethod.
    Method,
    /// CHAP_A.
    Algorithm,
    /// CHAP_N and CHAP_R were sent.
    Proof,
    /// Nothing is left to ask.
    Nothing,
}

/// A login under way.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) deadline: Instant,
    negotiator: Negotiator,
    text: TextBuf,
    stage: Stage,
    /// The stage that the last request asked for.
    wanted: Option<Stage>,
    asked: Asked,
    /// Our challenge to the target, with its identifier and the algorithm.
    challenge: Option<(Algorithm, u8, Vec<u8>)>,
    rounds: u16,
    first: bool,
    offered: bool,
    portal_group: Option<u16>,
    target_alias: Option<String>,
    addresses: Vec<String>,
}

impl Login {
    pub(super) fn new(now: Instant, config: &InitiatorConfig) -> Self {
        let discovery = config.session_type == SessionType::Discovery;
        Self {
            deadline: now.checked_add(config.login_timeout).unwrap_or(now),
            negotiator: Negotiator::new(Role::Initiator, config.settings.clone(), discovery),
            text: TextBuf::new(MAX_LOGIN_TEXT),
            stage: if config.credentials.is_some() { Stage::Security } else { Stage::Operational },
            wanted: None,
            asked: Asked::Nothing,
            challenge: None,
            rounds: 0,
            first: true,
            offered: false,
            portal_group: None,
            target_alias: None,
            addresses: Vec::new(),
        }
    }

    fn offer(&mut self, out: &mut TextWriter) {
        if !self.offered {
            self.offered = true;
            self.negotiator.offer(out);
        }
    }

    /// Reads what a target says of itself, at whatever stage.
    fn note(&mut self, pair: &Pair<'_>) -> Result<bool, TextError> {
        match Key::of(pair.key) {
            Some(Key::TargetPortalGroupTag) => {
                let tag = pair.value.parse().map_err(|_| TextError::BadValue {
                    key: "TargetPortalGroupTag",
                    value: pair.value.into(),
                    want: "0 to 65535",
                })?;
                self.portal_group = Some(tag);
            }
            Some(Key::TargetAlias) => self.target_alias = Some(pair.value.into()),
            Some(Key::TargetAddress) => self.addresses.push(pair.value.into()),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Checks what no login could carry.
pub(super) fn check_config(config: &InitiatorConfig) -> Result<(), TextError> {
    let mut names = vec![("InitiatorName", config.initiator_name.as_str())];
    match (&config.target_name, config.session_type) {
        (Some(name), _) => names.push(("TargetName", name)),
        (None, SessionType::Normal) => return Err(TextError::Missing { key: "TargetName" }),
        (None, SessionType::Discovery) => {}
    }
    for (key, name) in names {
        if !(1..=223).contains(&name.len()) || name.contains(['\0', ' ']) {
            return Err(TextError::BadValue { key, value: name.into(), want: "a name of 1 to 223 bytes" });
        }
    }
    for credentials in [&config.credentials, &config.target_credentials].into_iter().flatten() {
        if !(1..=255).contains(&credentials.name.len()) || credentials.name.contains('\0') {
            let value = credentials.name.clone();
            return Err(TextError::BadValue { key: "CHAP_N", value, want: "a name of 1 to 255 bytes" });
        }
    }
    match (&config.credentials, &config.target_credentials) {
        (None, Some(_)) => return Err(TextError::Missing { key: "CHAP_N" }),
        (Some(own), Some(theirs)) if own.secret.same(&theirs.secret) => return Err(TextError::SameSecret),
        _ => {}
    }
    Ok(())
}

impl<B: AsRef<[u8]> + Clone> Initiator<B> {
    /// Sends the first Login Request.
    pub(super) fn start_login(&mut self) {
        let mut out = TextWriter::default();
        let Phase::Login(login) = &mut self.phase else { return };
        let config = &self.config;
        out.push("InitiatorName", &config.initiator_name);
        if let Some(alias) = &config.initiator_alias {
            out.push("InitiatorAlias", alias);
        }
        out.push("SessionType", config.session_type.name());
        if let Some(target) = &config.target_name {
            out.push("TargetName", target);
        }
        let next = if login.stage == Stage::Security {
            login.asked = Asked::Method;
            // A target that must prove itself cannot do so by None, and has to stay in this stage for it.
            let mutual = config.target_credentials.is_some();
            out.push("AuthMethod", if mutual { "CHAP" } else { "CHAP,None" });
            (!mutual).then_some(Stage::Operational)
        } else {
            login.offer(&mut out);
            Some(Stage::FullFeature)
        };
        self.push_login(next, out.as_bytes());
    }

    fn push_login(&mut self, next: Option<Stage>, text: &[u8]) {
        let Phase::Login(login) = &mut self.phase else { return };
        login.wanted = next;
        login.rounds = login.rounds.saturating_add(1);
        let mut raw = RawLoginRequest::blank();
        raw.opcode |= IMMEDIATE;
        raw.flags = login.stage.code() << 2 | next.map_or(0, |next| TRANSIT | next.code());
        raw.isid = self.config.isid.0;
        raw.cmd_sn = self.cmd_sn.into();
        raw.exp_stat_sn = self.exp_stat_sn.into();
        self.tx.push(raw, text);
    }

    /// Takes in a whole Login Response.
    pub(super) fn take_login(&mut self, raw: &RawLoginResponse) -> Result<(), SessionError> {
        let pdu = Opcode::LoginResponse;
        let text = std::mem::take(&mut self.control);
        let Phase::Login(login) = &mut self.phase else {
            return Err(SessionError::Unexpected { pdu, when: "after login" });
        };
        if raw.itt.get() != 0 {
            return Err(SessionError::field(
                pdu,
                "Initiator Task Tag",
                raw.itt.get(),
                "0, as in the request",
            ));
        }
        let status = LoginStatus::new(raw.status_class, raw.status_detail);
        if status.class == 0 && raw.version_active != 0 {
            let value = u32::from(raw.version_active);
            return Err(SessionError::field(pdu, "Version-active", value, "0"));
        }
        if login.first || self.exp_stat_sn == raw.stat_sn.get() {
            login.first = false;
            self.exp_stat_sn = raw.stat_sn.get().wrapping_add(1);
        } else if status.class == 0 {
            return Err(SessionError::field(pdu, "StatSN", raw.stat_sn.get(), "ExpStatSN"));
        }
        login.text.extend(&text).map_err(SessionError::text(pdu))?;
        if status.class != 0 {
            return Err(self.login_refused(status));
        }
        if login.rounds >= MAX_ROUNDS {
            return Err(SessionError::LoginRounds { rounds: MAX_ROUNDS });
        }
        let current = raw.flags >> 2 & 0x03;
        if current != login.stage.code() {
            return Err(SessionError::field(pdu, "CSG", u32::from(current), "the stage of the request"));
        }
        if raw.flags & CONTINUE != 0 {
            self.push_login(None, &[]);
            return Ok(());
        }
        let next = Stage::of(raw.flags).filter(|_| raw.flags & TRANSIT != 0);
        if let Some(next) = next
            && login.wanted.is_none_or(|wanted| next > wanted)
        {
            let value = u32::from(next.code());
            return Err(SessionError::field(pdu, "NSG", value, "no further than the request asked for"));
        }
        self.max_cmd_sn = raw.max_cmd_sn.get();
        let text = login.text.take();
        let pairs = parse_pairs(&text).map_err(SessionError::text(pdu))?;
        match login.stage {
            Stage::Security => self.take_security(&pairs, next),
            _ => self.take_operational(&pairs, next, raw),
        }
    }

    fn login_refused(&mut self, status: LoginStatus) -> SessionError {
        let Phase::Login(login) = &mut self.phase else { return SessionError::Login { status } };
        let text = login.text.take();
        let mut addresses = Vec::new();
        for pair in parse_pairs(&text).unwrap_or_default() {
            if pair.key == "TargetAddress" {
                addresses.push(pair.value.to_owned());
            }
        }
        if status.class == 1 && !addresses.is_empty() {
            return SessionError::Redirected { status, addresses };
        }
        SessionError::Login { status }
    }

    fn take_security(&mut self, pairs: &[Pair<'_>], next: Option<Stage>) -> Result<(), SessionError> {
        let error = SessionError::text(Opcode::LoginResponse);
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        let mut values = ChapValues::default();
        let mut out = TextWriter::default();
        for pair in pairs {
            if !login.note(pair).map_err(&error)? {
                values.take(pair, &mut out).map_err(&error)?;
            }
        }
        match login.asked {
            Asked::Method => self.take_method(&values, next, out),
            Asked::Algorithm => self.answer_challenge(&values, next, out),
            Asked::Proof => {
                self.check_proof(&values)?;
                self.leave_security(next, out)
            }
            Asked::Nothing => self.leave_security(next, out),
        }
    }

    fn take_method(
        &mut self,
        values: &ChapValues<'_>,
        next: Option<Stage>,
        mut out: TextWriter,
    ) -> Result<(), SessionError> {
        let mutual = self.config.target_credentials.is_some();
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        let chap = match values.method {
            Some("CHAP") => true,
            Some("None") if !mutual => false,
            // Said nothing: a target without authentication may do so.
            None if !mutual => false,
            other => {
                return Err(SessionError::text(Opcode::LoginResponse)(TextError::BadAnswer {
                    key: "AuthMethod",
                    answer: other.unwrap_or("nothing").into(),
                    offer: if mutual { "CHAP" } else { "CHAP,None" }.into(),
                }));
            }
        };
        if next.is_some() && mutual {
            return Err(SessionError::Chap { what: "the target went on without proving itself" });
        }
        if next.is_some() || !chap {
            // LIO without a secret of its own answers CHAP and goes on at once: as good as None.
            login.asked = Asked::Nothing;
            return self.leave_security(next, out);
        }
        login.asked = Asked::Algorithm;
        out.push("CHAP_A", "7,5");
        self.push_login(None, out.as_bytes());
        Ok(())
    }

    fn answer_challenge(
        &mut self,
        values: &ChapValues<'_>,
        next: Option<Stage>,
        mut out: TextWriter,
    ) -> Result<(), SessionError> {
        let error = SessionError::text(Opcode::LoginResponse);
        if next.is_some() {
            return Err(SessionError::Chap { what: "the target went on without a challenge" });
        }
        let missing = |key| error(TextError::Missing { key });
        let algorithm = values.algorithm.ok_or_else(|| missing("CHAP_A"))?;
        let algorithm = Algorithm::of(algorithm).ok_or_else(|| {
            error(TextError::BadAnswer { key: "CHAP_A", answer: algorithm.into(), offer: "7,5".into() })
        })?;
        let id = values.id(&error)?.ok_or_else(|| missing("CHAP_I"))?;
        let challenge = values.challenge(&error)?.ok_or_else(|| missing("CHAP_C"))?;
        let Some(own) = &self.config.credentials else {
            return Err(SessionError::Chap { what: "the target asks for a secret and none is set" });
        };
        let response = algorithm.response(id, &own.secret, &challenge);
        out.push("CHAP_N", &own.name);
        out.push("CHAP_R", &encode_binary(&response));
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        if self.config.target_credentials.is_some() {
            let (our_id, our_challenge) = self.seed.challenge();
            out.push("CHAP_I", &our_id.to_string());
            out.push("CHAP_C", &encode_binary(&our_challenge));
            login.challenge = Some((algorithm, our_id, our_challenge));
        }
        login.asked = Asked::Proof;
        self.push_login(Some(Stage::Operational), out.as_bytes());
        Ok(())
    }

    /// Checks the target's proof of itself, where one was asked for.
    fn check_proof(&mut self, values: &ChapValues<'_>) -> Result<(), SessionError> {
        let error = SessionError::text(Opcode::LoginResponse);
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        let (Some(theirs), Some((algorithm, id, challenge))) =
            (&self.config.target_credentials, login.challenge.take())
        else {
            login.asked = Asked::Nothing;
            return Ok(());
        };
        let (Some(name), Some(response)) = (values.name, values.response(&error)?) else {
            return Err(SessionError::Chap { what: "the target did not prove itself" });
        };
        if name != theirs.name {
            return Err(SessionError::Chap { what: "the target has another name than the one set here" });
        }
        if !algorithm.verify(id, &theirs.secret, &challenge, &response) {
            return Err(SessionError::Chap { what: "the target's response is wrong" });
        }
        login.asked = Asked::Nothing;
        Ok(())
    }

    fn leave_security(&mut self, next: Option<Stage>, mut out: TextWriter) -> Result<(), SessionError> {
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        if next.is_none() {
            self.push_login(Some(Stage::Operational), out.as_bytes());
            return Ok(());
        }
        // Stages only grow, and FullFeature is never asked for from here.
        login.stage = Stage::Operational;
        login.offer(&mut out);
        self.push_login(Some(Stage::FullFeature), out.as_bytes());
        Ok(())
    }

    fn take_operational(
        &mut self,
        pairs: &[Pair<'_>],
        next: Option<Stage>,
        raw: &RawLoginResponse,
    ) -> Result<(), SessionError> {
        let error = SessionError::text(Opcode::LoginResponse);
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        let mut out = TextWriter::default();
        for pair in pairs {
            if login.note(pair).map_err(&error)? {
                continue;
            }
            // A target that takes part in no security says so here.
            if pair.key == "AuthMethod" && pair.value == "None" {
                continue;
            }
            login.negotiator.take(pair.key, pair.value, &mut out).map_err(&error)?;
        }
        if next.is_none() {
            self.push_login(Some(Stage::FullFeature), out.as_bytes());
            return Ok(());
        }
        // In discovery, what a target says of keys that mean nothing there need not be answered.
        if !out.as_bytes().is_empty() && self.config.session_type == SessionType::Normal {
            return Err(SessionError::Unexpected {
                pdu: Opcode::LoginResponse,
                when: "with the T bit and keys that want an answer",
            });
        }
        if raw.tsih.get() == 0 {
            return Err(SessionError::field(
                Opcode::LoginResponse,
                "TSIH",
                0,
                "1 or more in the last response",
            ));
        }
        let params = login.negotiator.finish().map_err(&error)?;
        let event = Event::LoggedIn {
            params: params.clone(),
            tsih: raw.tsih.get(),
            portal_group: login.portal_group,
            target_alias: login.target_alias.take(),
        };
        self.events.push_back(event);
        self.enter_full_feature(params);
        Ok(())
    }
}

/// Security keys of one text.
#[derive(Debug, Default)]
pub(crate) struct ChapValues<'a> {
    pub(crate) method: Option<&'a str>,
    pub(crate) algorithm: Option<&'a str>,
    id: Option<&'a str>,
    challenge: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
    response: Option<&'a str>,
}

impl<'a> ChapValues<'a> {
    /// Takes one pair of the security stage; unknown keys are answered.
    pub(crate) fn take(&mut self, pair: &Pair<'a>, out: &mut TextWriter) -> Result<(), TextError> {
        let slot = match Key::of(pair.key) {
            Some(Key::AuthMethod) => &mut self.method,
            Some(Key::ChapA) => &mut self.algorithm,
            Some(Key::ChapI) => &mut self.id,
            Some(Key::ChapC) => &mut self.challenge,
            Some(Key::ChapN) => &mut self.name,
            Some(Key::ChapR) => &mut self.response,
            Some(key) => {
                return Err(TextError::Misplaced { key: key.name(), when: "in the security stage" });
            }
            None => {
                out.push(pair.key, "NotUnderstood");
                return Ok(());
            }
        };
        if slot.replace(pair.value).is_some() {
            return Err(TextError::Repeated { key: pair.key.into() });
        }
        Ok(())
    }

    pub(crate) fn id(&self, error: &impl Fn(TextError) -> SessionError) -> Result<Option<u8>, SessionError> {
        let Some(text) = self.id else { return Ok(None) };
        let bad = |_| error(TextError::BadValue { key: "CHAP_I", value: text.into(), want: "0 to 255" });
        match text.strip_prefix("0x") {
            Some(hex) => u8::from_str_radix(hex, 16).map(Some).map_err(bad),
            None => text.parse().map(Some).map_err(bad),
        }
    }

    pub(crate) fn challenge(
        &self,
        error: &impl Fn(TextError) -> SessionError,
    ) -> Result<Option<Vec<u8>>, SessionError> {
        self.challenge.map(|text| decode_binary("CHAP_C", text)).transpose().map_err(error)
    }

    pub(crate) fn response(
        &self,
        error: &impl Fn(TextError) -> SessionError,
    ) -> Result<Option<Vec<u8>>, SessionError> {
        self.response.map(|text| decode_binary("CHAP_R", text)).transpose().map_err(error)
    }
}
