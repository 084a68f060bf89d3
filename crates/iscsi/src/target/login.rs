//! The target's login: who wants in, CHAP, keys, full feature phase.

use std::time::Instant;

use crate::chap::{Algorithm, encode_binary};
use crate::error::SessionError;
use crate::initiator::ChapValues;
use crate::pdu::{Bhs, Opcode, RawLoginRequest, RawLoginResponse, Stage};
use crate::status::LoginStatus;
use crate::text::{Key, Negotiator, Pair, Role, TextBuf, TextError, TextWriter, parse_pairs};
use crate::types::{Isid, SessionType};

use super::{LoginGrant, LoginInfo, Phase, Target, TargetAuth, TargetEvent};

/// Longest text of one login step, in bytes.
const MAX_LOGIN_TEXT: usize = 64 * 1024;
/// Most requests of one login.
const MAX_ROUNDS: u16 = 64;
const TRANSIT: u8 = 0x80;
const CONTINUE: u8 = 0x40;

/// How far the initiator's proof of itself is.
#[derive(Debug)]
enum Proof {
    /// AuthMethod was not agreed yet.
    None,
    /// CHAP was agreed; CHAP_A is awaited.
    Method,
    /// The challenge was sent.
    Challenged { algorithm: Algorithm, id: u8, challenge: Vec<u8> },
    /// All is proven, or nothing need be.
    Done,
}

/// A login under way.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) deadline: Instant,
    text: TextBuf,
    rounds: u16,
    /// The request in hand: what its answer repeats.
    request: RawLoginRequest,
    /// The stage that the exchange is in.
    stage: Option<Stage>,
    info: Option<LoginInfo>,
    /// The first request's keys, while the driver decides.
    pending: Option<Vec<u8>>,
    grant: Option<LoginGrant>,
    negotiator: Option<Negotiator>,
    proof: Proof,
    told_portal_group: bool,
}

impl Login {
    pub(super) fn new(deadline: Instant) -> Self {
        Self {
            deadline,
            text: TextBuf::new(MAX_LOGIN_TEXT),
            rounds: 0,
            request: RawLoginRequest::blank(),
            stage: None,
            info: None,
            pending: None,
            grant: None,
            negotiator: None,
            proof: Proof::None,
            told_portal_group: false,
        }
    }
}

/// Why a login cannot go on: the error for the driver, and the status for the initiator.
type Refusal = (LoginStatus, SessionError);

fn refuse_text(source: TextError) -> Refusal {
    let status = match source {
        TextError::Missing { .. } => LoginStatus::MISSING_PARAMETER,
        _ => LoginStatus::INITIATOR_ERROR,
    };
    (status, SessionError::Text { pdu: Opcode::LoginRequest, source })
}

fn refuse(status: LoginStatus) -> Refusal {
    (status, SessionError::Login { status })
}

fn refuse_field(field: &'static str, value: u32, want: &'static str) -> Refusal {
    (LoginStatus::INITIATOR_ERROR, SessionError::field(Opcode::LoginRequest, field, value, want))
}

impl<B: AsRef<[u8]> + Clone> Target<B> {
    /// Lets a login go on after [`TargetEvent::Login`].
    ///
    /// # Errors
    /// What the initiator sent does not fit what is granted: it was told; send what waits, and close.
    pub fn grant(&mut self, grant: LoginGrant) -> Result<(), SessionError> {
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        let (Some(text), Some(info)) = (login.pending.take(), &login.info) else { return Ok(()) };
        let discovery = info.session_type == SessionType::Discovery;
        self.discovery = discovery;
        if matches!(grant.auth, TargetAuth::None) && login.stage == Some(Stage::Operational) {
            login.proof = Proof::Done;
        }
        login.negotiator = Some(Negotiator::new(Role::Target, self.config.settings.clone(), discovery));
        login.grant = Some(grant);
        let result = self.take_step(&text);
        self.tell_refusal(result)
    }

    /// Refuses a login after [`TargetEvent::Login`]: send what waits, and close. `address` is where to go, for the
    /// two redirections.
    pub fn refuse(&mut self, status: LoginStatus, address: Option<&str>) {
        if !matches!(self.phase, Phase::Login(_)) {
            return;
        }
        let mut out = TextWriter::default();
        if let Some(address) = address {
            out.push("TargetAddress", address);
        }
        self.push_login(status, None, out.as_bytes());
        self.phase = Phase::Closed;
    }

    /// Takes in a whole Login Request.
    pub(super) fn take_login(&mut self, raw: &RawLoginRequest) -> Result<(), SessionError> {
        let text = std::mem::take(&mut self.control);
        let result = self.take_request(raw, &text);
        self.tell_refusal(result)
    }

    fn tell_refusal(&mut self, result: Result<(), Refusal>) -> Result<(), SessionError> {
        result.map_err(|(status, error)| {
            self.push_login(status, None, &[]);
            self.phase = Phase::Closed;
            error
        })
    }

    fn take_request(&mut self, raw: &RawLoginRequest, text: &[u8]) -> Result<(), Refusal> {
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        let first = login.rounds == 0;
        let before = std::mem::replace(&mut login.request, *raw);
        login.rounds = login.rounds.saturating_add(1);
        if login.pending.is_some() {
            return Err(refuse(LoginStatus::INVALID_DURING_LOGIN));
        }
        if login.rounds > MAX_ROUNDS {
            return Err((LoginStatus::INITIATOR_ERROR, SessionError::LoginRounds { rounds: MAX_ROUNDS }));
        }
        if raw.version_min > 0 {
            return Err(refuse(LoginStatus::UNSUPPORTED_VERSION));
        }
        let stage = Stage::of(raw.flags >> 2);
        if first {
            self.exp_cmd_sn = raw.cmd_sn.get();
            login.stage = stage;
        } else {
            if before.isid != raw.isid
                || before.tsih != raw.tsih
                || before.itt != raw.itt
                || before.cid != raw.cid
            {
                return Err(refuse_field(
                    "ISID, TSIH, CID or Initiator Task Tag",
                    raw.itt.get(),
                    "the same in all requests of a login",
                ));
            }
            if raw.cmd_sn.get() != self.exp_cmd_sn {
                return Err(refuse_field("CmdSN", raw.cmd_sn.get(), "the same in all requests of a login"));
            }
            if stage != login.stage {
                let value = u32::from(raw.flags >> 2 & 0x03);
                return Err(refuse_field("CSG", value, "the stage that was agreed"));
            }
        }
        login.text.extend(text).map_err(refuse_text)?;
        if raw.flags & CONTINUE != 0 {
            self.push_login(LoginStatus::SUCCESS, None, &[]);
            return Ok(());
        }
        let text = login.text.take();
        if login.info.is_some() {
            return self.take_step(&text);
        }
        let info = read_info(raw, &text)?;
        login.info = Some(info.clone());
        login.pending = Some(text);
        self.events.push_back(TargetEvent::Login(info));
        Ok(())
    }

    /// One exchange of keys, once the driver has let the initiator in so far.
    fn take_step(&mut self, text: &[u8]) -> Result<(), Refusal> {
        let pairs = parse_pairs(text).map_err(refuse_text)?;
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        let mut out = TextWriter::default();
        if !login.told_portal_group {
            login.told_portal_group = true;
            if !self.discovery {
                out.push("TargetPortalGroupTag", &self.config.portal_group.to_string());
            }
            if let Some(alias) = login.grant.as_ref().and_then(|grant| grant.target_alias.as_ref()) {
                out.push("TargetAlias", alias);
            }
        }
        let wanted = Stage::of(login.request.flags).filter(|_| login.request.flags & TRANSIT != 0);
        match login.stage {
            Some(Stage::Security) => self.take_security(&pairs, wanted, out),
            _ => self.take_operational(&pairs, wanted, out),
        }
    }

    fn take_security(
        &mut self,
        pairs: &[Pair<'_>],
        wanted: Option<Stage>,
        mut out: TextWriter,
    ) -> Result<(), Refusal> {
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        let mut values = ChapValues::default();
        for pair in pairs {
            if !is_identity(pair.key) {
                values.take(pair, &mut out).map_err(refuse_text)?;
            }
        }
        let Some(grant) = &login.grant else { return Ok(()) };
        match (&grant.auth, &login.proof) {
            (TargetAuth::None, Proof::None) => {
                match values.method {
                    // A first request without the key: nothing to choose from.
                    None => {}
                    Some(list) if list.split(',').any(|method| method == "None") => {
                        out.push("AuthMethod", "None")
                    }
                    Some(_) => return Err(refuse(LoginStatus::AUTHENTICATION_FAILED)),
                }
                login.proof = Proof::Done;
            }
            (TargetAuth::Chap { .. }, Proof::None) => {
                if !values.method.is_some_and(|list| list.split(',').any(|method| method == "CHAP")) {
                    return Err(refuse(LoginStatus::AUTHENTICATION_FAILED));
                }
                out.push("AuthMethod", "CHAP");
                login.proof = Proof::Method;
                // Some send their algorithms along.
                if values.algorithm.is_some() {
                    self.challenge(&values, &mut out)?;
                }
            }
            (TargetAuth::Chap { .. }, Proof::Method) => self.challenge(&values, &mut out)?,
            (TargetAuth::Chap { .. }, Proof::Challenged { .. }) => self.check_proof(&values, &mut out)?,
            (_, _) => {}
        }
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        let next = wanted.filter(|_| matches!(login.proof, Proof::Done));
        if next == Some(Stage::FullFeature) {
            return self.enter_full_feature(out);
        }
        if let Some(next) = next {
            login.stage = Some(next);
        }
        self.push_login(LoginStatus::SUCCESS, next.map(|next| (Stage::Security, next)), out.as_bytes());
        Ok(())
    }

    /// Chooses an algorithm and sends the challenge.
    fn challenge(&mut self, values: &ChapValues<'_>, out: &mut TextWriter) -> Result<(), Refusal> {
        let list = values.algorithm.ok_or_else(|| refuse_text(TextError::Missing { key: "CHAP_A" }))?;
        let Some(algorithm) = list.split(',').find_map(Algorithm::of) else {
            return Err(refuse(LoginStatus::AUTHENTICATION_FAILED));
        };
        let (id, challenge) = self.seed.challenge();
        out.push("CHAP_A", algorithm.number());
        out.push("CHAP_I", &id.to_string());
        out.push("CHAP_C", &encode_binary(&challenge));
        if let Phase::Login(login) = &mut self.phase {
            login.proof = Proof::Challenged { algorithm, id, challenge };
        }
        Ok(())
    }

    /// Checks the initiator's response, and proves this target where that is asked for.
    fn check_proof(&mut self, values: &ChapValues<'_>, out: &mut TextWriter) -> Result<(), Refusal> {
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        let failed = || refuse(LoginStatus::AUTHENTICATION_FAILED);
        let bad = |source| SessionError::Text { pdu: Opcode::LoginRequest, source };
        let text = |error| (LoginStatus::INITIATOR_ERROR, error);
        let proof = std::mem::replace(&mut login.proof, Proof::None);
        let Proof::Challenged { algorithm, id, challenge } = proof else { return Err(failed()) };
        let Some(LoginGrant { auth: TargetAuth::Chap { users, own }, .. }) = &login.grant else {
            return Err(failed());
        };
        let (Some(name), Some(response)) = (values.name, values.response(&bad).map_err(text)?) else {
            return Err(refuse_text(TextError::Missing { key: "CHAP_N or CHAP_R" }));
        };
        // Every name takes the same work, known or not.
        let mut proven = false;
        for user in users {
            let right = algorithm.verify(id, &user.secret, &challenge, &response);
            proven |= right && user.name == name;
        }
        if !proven {
            return Err(failed());
        }
        let (their_id, theirs) = (values.id(&bad).map_err(text)?, values.challenge(&bad).map_err(text)?);
        match (their_id, theirs, own) {
            (None, None, _) => {}
            (Some(_), Some(theirs), _) if theirs == challenge => {
                return Err((
                    LoginStatus::AUTHENTICATION_FAILED,
                    SessionError::Chap { what: "the initiator sent this end's own challenge back" },
                ));
            }
            (Some(their_id), Some(theirs), Some(own)) => {
                if users.iter().any(|user| user.name == name && user.secret.same(&own.secret)) {
                    return Err((
                        LoginStatus::AUTHENTICATION_FAILED,
                        SessionError::Chap { what: "both directions have the same secret" },
                    ));
                }
                out.push("CHAP_N", &own.name);
                out.push("CHAP_R", &encode_binary(&algorithm.response(their_id, &own.secret, &theirs)));
            }
            // Asked to prove itself without a secret of its own, or half a question.
            _ => return Err(failed()),
        }
        login.proof = Proof::Done;
        Ok(())
    }

    fn take_operational(
        &mut self,
        pairs: &[Pair<'_>],
        wanted: Option<Stage>,
        mut out: TextWriter,
    ) -> Result<(), Refusal> {
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        if !matches!(login.proof, Proof::Done) {
            return Err(refuse(LoginStatus::AUTHENTICATION_FAILED));
        }
        let Some(negotiator) = &mut login.negotiator else { return Ok(()) };
        for pair in pairs {
            if is_identity(pair.key) {
                continue;
            }
            negotiator.take(pair.key, pair.value, &mut out).map_err(refuse_text)?;
        }
        negotiator.declare_max_recv(&mut out);
        if wanted == Some(Stage::FullFeature) {
            return self.enter_full_feature(out);
        }
        self.push_login(LoginStatus::SUCCESS, None, out.as_bytes());
        Ok(())
    }

    fn enter_full_feature(&mut self, out: TextWriter) -> Result<(), Refusal> {
        let Phase::Login(login) = &mut self.phase else { return Ok(()) };
        let (Some(info), Some(negotiator), Some(stage)) =
            (login.info.take(), &mut login.negotiator, login.stage)
        else {
            return Ok(());
        };
        let params = negotiator.finish().map_err(refuse_text)?;
        self.push_login(LoginStatus::SUCCESS, Some((stage, Stage::FullFeature)), out.as_bytes());
        // From the next PDU on, in both directions.
        self.framer.set_digests(params.header_digest, params.data_digest);
        self.framer.set_max_data(params.max_recv_data);
        self.tx.set_digests(params.header_digest, params.data_digest);
        self.cid = info.cid;
        self.params = params.clone();
        self.phase = Phase::Full;
        self.events.push_back(TargetEvent::LoggedIn { info, params });
        Ok(())
    }

    /// Queues a Login Response; `transit` is the stage it leaves and the one it enters.
    fn push_login(&mut self, status: LoginStatus, transit: Option<(Stage, Stage)>, text: &[u8]) {
        let Phase::Login(login) = &self.phase else { return };
        let (request, grant) = (login.request, login.grant.as_ref().map_or(0, |grant| grant.tsih));
        let mut raw = RawLoginResponse::blank();
        raw.flags = match transit {
            Some((from, to)) => TRANSIT | from.code() << 2 | to.code(),
            None => request.flags & 0x0c,
        };
        raw.isid = request.isid;
        // The session's number is told in the last response alone.
        let last = transit.is_some_and(|(_, to)| to == Stage::FullFeature);
        raw.tsih = if last { grant.into() } else { request.tsih };
        raw.itt = request.itt;
        raw.status_class = status.class;
        raw.status_detail = status.detail;
        self.stamp(&mut raw.stat_sn, &mut raw.exp_cmd_sn, &mut raw.max_cmd_sn, true);
        self.tx.push(raw, text);
    }
}

/// Keys that say who is who; [`read_info`] has read them.
fn is_identity(key: &str) -> bool {
    matches!(
        Key::of(key),
        Some(Key::InitiatorName | Key::InitiatorAlias | Key::TargetName | Key::SessionType)
    )
}

/// Who wants in, from the first request.
fn read_info(raw: &RawLoginRequest, text: &[u8]) -> Result<LoginInfo, Refusal> {
    let pairs = parse_pairs(text).map_err(refuse_text)?;
    let mut found: [Option<&str>; 4] = [None; 4];
    for pair in &pairs {
        let slot = match Key::of(pair.key) {
            Some(Key::InitiatorName) => 0,
            Some(Key::InitiatorAlias) => 1,
            Some(Key::TargetName) => 2,
            Some(Key::SessionType) => 3,
            _ => continue,
        };
        if found.get_mut(slot).and_then(|slot| slot.replace(pair.value)).is_some() {
            return Err(refuse_text(TextError::Repeated { key: pair.key.into() }));
        }
    }
    let [name, alias, target, session_type] = found;
    let name = name.filter(|name| (1..=223).contains(&name.len()));
    let name = name.ok_or_else(|| refuse_text(TextError::Missing { key: "InitiatorName" }))?;
    let session_type = match session_type {
        None | Some("Normal") => SessionType::Normal,
        Some("Discovery") => SessionType::Discovery,
        Some(_) => return Err(refuse(LoginStatus::SESSION_TYPE)),
    };
    if session_type == SessionType::Normal && target.is_none() {
        return Err(refuse_text(TextError::Missing { key: "TargetName" }));
    }
    Ok(LoginInfo {
        initiator_name: name.into(),
        initiator_alias: alias.map(Into::into),
        target_name: target.map(Into::into),
        session_type,
        isid: Isid(raw.isid),
        tsih: raw.tsih.get(),
        cid: raw.cid.get(),
    })
}
