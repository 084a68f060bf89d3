//! The captured initiators against our target: it must come to the same terms and answer in the same way.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use iscsi::chap::{Algorithm, Secret, decode_binary, encode_binary};
use iscsi::pdu::{NO_TAG, Opcode, Pdu, RawDataIn, RawScsiResponse, TaskResponse};
use iscsi::text::Settings;
use iscsi::{
    LoginGrant, LoginStatus, Response, SessionError, Target, TargetAuth, TargetConfig, TargetEvent,
    TargetRecord, TargetTask,
};

use crate::capture::{ALL, Captured, Connection, From, Reader, load};
use crate::decode::{encode, secret};
use crate::pair::{chap, start};

/// What the captured target said of one command.
#[derive(Clone, Debug, Default)]
struct Answer {
    data: Vec<u8>,
    status: u8,
    sense: Vec<u8>,
    /// As flags and count.
    residual: (u8, u32),
}

/// Our target in the captured one's place.
struct Replay {
    now: Instant,
    target: Target<Bytes>,
    reader: Reader,
    /// What our target has sent and the capture has not been compared with yet.
    sent: Vec<Captured>,
    /// Our tasks by ITT.
    tasks: BTreeMap<u32, TargetTask>,
    /// Our TTTs by the captured ones.
    tags: BTreeMap<u32, u32>,
    answers: BTreeMap<u32, Answer>,
    auth: TargetAuth,
    records: Vec<TargetRecord>,
    managed: usize,
    refuse: Option<LoginStatus>,
    compared: BTreeMap<Opcode, usize>,
    /// The next StatSN that our target must use.
    stat_sn: Option<u32>,
    /// Expected lengths by ITT.
    lengths: BTreeMap<u32, u64>,
    /// The captured target's challenge, to know which of the initiator's secrets is right.
    challenge: Option<(u8, Vec<u8>)>,
    /// Our target's challenge.
    own_challenge: Option<(u8, Vec<u8>)>,
    /// What our target found wrong with data.
    bad_data: Vec<String>,
}

impl Replay {
    fn new(connection: &Connection) -> Self {
        let response = connection.pdus.iter().rfind(|p| p.opcode() == Opcode::LoginResponse);
        let declared =
            response.and_then(|p| p.key("MaxRecvDataSegmentLength")).map(|text| text.parse().unwrap());
        let has = |key: &str, value: &str| response.is_some_and(|p| p.key(key) == Some(value));
        let digest = |on: bool| {
            if on { iscsi::text::DigestPolicy::Always } else { iscsi::text::DigestPolicy::Never }
        };
        let settings = Settings {
            header_digest: digest(has("HeaderDigest", "CRC32C")),
            data_digest: digest(has("DataDigest", "CRC32C")),
            initial_r2t: true,
            max_recv_data: declared.unwrap_or(8192),
            max_burst: 262_144,
            first_burst: 65_536,
            ..Settings::default()
        };
        let now = start();
        let config = TargetConfig { settings, queue_depth: 128, ..TargetConfig::default() };
        Self {
            now,
            target: Target::new(now, config, iscsi::Seed::new([9; 32])).unwrap(),
            reader: Reader::new(),
            sent: Vec::new(),
            tasks: BTreeMap::new(),
            tags: BTreeMap::new(),
            answers: BTreeMap::new(),
            auth: TargetAuth::None,
            records: Vec::new(),
            managed: 0,
            refuse: None,
            compared: BTreeMap::new(),
            stat_sn: None,
            lengths: BTreeMap::new(),
            challenge: None,
            own_challenge: None,
            bad_data: Vec::new(),
        }
    }

    fn feed(&mut self, wire: &[u8]) -> Result<(), SessionError> {
        let mut bytes = wire;
        let result = self.take(&mut bytes);
        self.collect();
        result
    }

    fn take(&mut self, bytes: &mut &[u8]) -> Result<(), SessionError> {
        while let Some(event) = self.target.receive(self.now, bytes)? {
            match event {
                TargetEvent::Login(_) => {
                    if let Some(status) = self.refuse {
                        self.target.refuse(status, None);
                        continue;
                    }
                    let grant = LoginGrant { tsih: 5, auth: self.auth.clone(), target_alias: None };
                    self.target.grant(grant)?;
                }
                TargetEvent::Command { task, command } => {
                    self.tasks.insert(command.itt, task);
                    if command.write_len > 0 {
                        self.target.solicit(task, command.write_len);
                    }
                }
                TargetEvent::SendTargets { which } => {
                    assert_eq!(which, "All");
                    let records = self.records.clone();
                    self.target.targets(&records);
                }
                TargetEvent::TaskManagement { itt, task, .. } => {
                    // A reset ends all; the captured target says nothing of them either.
                    let all = if task.is_none() { self.target.tasks() } else { Vec::new() };
                    for task in task.into_iter().chain(all) {
                        self.target.abort(task);
                    }
                    self.target.manage_done(itt, TaskResponse::Complete);
                    self.managed += 1;
                }
                TargetEvent::DataOut { .. }
                | TargetEvent::WriteReady { .. }
                | TargetEvent::LoggedIn { .. }
                | TargetEvent::LoggedOut => {}
                // The captured target took no notice, and its answer is given.
                TargetEvent::BadData { error, .. } => self.bad_data.push(error.to_string()),
                other => panic!("{other:?}"),
            }
        }
        Ok(())
    }

    /// Reads what our target sends.
    fn collect(&mut self) {
        let mut wire = Vec::new();
        self.target.transmit().drain_into(&mut wire);
        let (header, data) = (self.target.params().header_digest, self.target.params().data_digest);
        let sent = self.reader.read(From::Target, &wire);
        // The last login response goes without digests, and what is behind it with them.
        self.reader.set_digests(header, data);
        for ours in sent {
            let status = match &ours.pdu {
                Pdu::R2t(_) => false,
                Pdu::DataIn(raw) => raw.has_status(),
                Pdu::NopIn(raw) => raw.itt.get() != NO_TAG,
                _ => true,
            };
            if status {
                let stat_sn = ours.word(24);
                assert_eq!(*self.stat_sn.get_or_insert(stat_sn), stat_sn, "StatSN of {:?}", ours.pdu);
                self.stat_sn = Some(stat_sn.wrapping_add(1));
            }
            self.sent.push(ours);
        }
    }

    /// Takes the next PDU that our target sent of this kind.
    fn ours(&mut self, opcode: Opcode, itt: u32) -> Option<Captured> {
        let at = self.sent.iter().position(|ours| ours.opcode() == opcode && ours.itt() == itt)?;
        Some(self.sent.remove(at))
    }

    /// One PDU of the captured initiator, with our transfer tags in place of the captured target's.
    fn initiator_said(&mut self, captured: &Captured) -> Result<(), SessionError> {
        let mut captured = captured.clone();
        if let Pdu::ScsiCommand(raw) = &captured.pdu {
            self.lengths.insert(captured.itt(), raw.expected_len.get().into());
        }
        if let Pdu::LoginRequest(_) = &captured.pdu {
            self.answer_own_challenge(&mut captured);
        }
        if let Pdu::DataOut(raw) = &mut captured.pdu
            && let Some(ours) = self.tags.get(&raw.ttt.get())
        {
            raw.ttt = (*ours).into();
        }
        self.feed(&encode(&captured))
    }

    /// One PDU of the captured target: ours must have said the same.
    fn target_said(&mut self, theirs: &Captured) {
        let itt = theirs.itt();
        match &theirs.pdu {
            Pdu::DataIn(raw) => {
                self.answers.entry(itt).or_default().data.extend_from_slice(&theirs.data);
                if raw.has_status() {
                    let answer = self.answers.get_mut(&itt).unwrap();
                    answer.status = raw.status;
                    let mask = RawDataIn::OVERFLOW | RawDataIn::UNDERFLOW;
                    answer.residual = (raw.flags & mask, raw.residual.get());
                    self.answer(theirs, true);
                }
            }
            Pdu::ScsiResponse(raw) => {
                let answer = self.answers.entry(itt).or_default();
                answer.status = raw.status;
                let mask = RawScsiResponse::OVERFLOW | RawScsiResponse::UNDERFLOW;
                answer.residual = (raw.flags & mask, raw.residual.get());
                if let [hi, lo, rest @ ..] = theirs.data.as_slice() {
                    let len = usize::from(u16::from_be_bytes([*hi, *lo]));
                    answer.sense = rest[..len].to_vec();
                }
                self.answer(theirs, false);
            }
            Pdu::R2t(raw) => {
                let ours = self.ours(Opcode::R2t, itt).expect("our target calls for data too");
                let Pdu::R2t(own) = ours.pdu else { unreachable!() };
                assert_eq!(
                    (own.r2t_sn, own.buffer_offset, own.desired_len, own.lun),
                    (raw.r2t_sn, raw.buffer_offset, raw.desired_len, raw.lun),
                );
                self.tags.insert(raw.ttt.get(), own.ttt.get());
                self.count(Opcode::R2t);
            }
            Pdu::LoginResponse(raw) => self.compare_login(theirs, (raw.status_class, raw.status_detail)),
            Pdu::TextResponse(_) => {
                let ours = self.ours(Opcode::TextResponse, itt).expect("an answer to the text");
                assert_eq!(ours.data, theirs.data, "the same targets");
                self.compare_sequence(&ours, theirs);
            }
            Pdu::NopIn(_) if itt == NO_TAG => {}
            Pdu::NopIn(_) | Pdu::LogoutResponse(_) | Pdu::TaskResponse(_) => {
                let ours = self.ours(theirs.opcode(), itt).expect("an answer");
                self.compare_sequence(&ours, theirs);
                if let (Pdu::LogoutResponse(own), Pdu::LogoutResponse(raw)) = (&ours.pdu, &theirs.pdu) {
                    assert_eq!(own.response, raw.response);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    /// Answers a command as the captured target did, and compares what is sent.
    fn answer(&mut self, theirs: &Captured, in_data: bool) {
        let itt = theirs.itt();
        let answer = self.answers.remove(&itt).unwrap();
        let Some(task) = self.tasks.remove(&itt) else {
            panic!("the command {itt:08x} did not arrive");
        };
        let expected = self.expected(itt);
        let total = match answer.residual.0 {
            0 => expected,
            RawDataIn::UNDERFLOW => expected - u64::from(answer.residual.1),
            _ => expected + u64::from(answer.residual.1),
        };
        let response = Response {
            status: answer.status,
            sense: answer.sense.clone(),
            data: Bytes::from(answer.data.clone()).into(),
            total: Some(total),
        };
        let aborted = !self.target.tasks().contains(&task);
        self.target.respond(task, &response);
        self.collect();
        if aborted {
            return;
        }
        let mut data = Vec::new();
        while let Some(ours) = self.ours(Opcode::DataIn, itt) {
            let Pdu::DataIn(own) = &ours.pdu else { unreachable!() };
            assert_eq!(own.buffer_offset.get() as usize, data.len());
            data.extend_from_slice(&ours.data);
            if own.has_status() {
                assert!(in_data, "a status with data where the captured target has one");
                let mask = RawDataIn::OVERFLOW | RawDataIn::UNDERFLOW;
                assert_eq!(
                    (own.flags & mask, own.residual.get(), own.status),
                    (answer.residual.0, answer.residual.1, answer.status)
                );
                self.compare_sequence(&ours, theirs);
            }
        }
        assert!(
            data == answer.data,
            "{} of {} bytes of {:?}, {} PDUs: {:?}",
            data.len(),
            answer.data.len(),
            self.expected(itt),
            self.sent.len(),
            theirs.pdu
        );
        if let Some(ours) = self.ours(Opcode::ScsiResponse, itt) {
            let Pdu::ScsiResponse(own) = &ours.pdu else { unreachable!() };
            let mask = RawScsiResponse::OVERFLOW | RawScsiResponse::UNDERFLOW;
            assert_eq!(
                (own.flags & mask, own.residual.get(), own.status),
                (answer.residual.0, answer.residual.1, answer.status)
            );
            assert!(!in_data);
            self.compare_sequence(&ours, theirs);
        }
    }

    /// Bytes that the initiator expected of a command in flight.
    fn expected(&self, itt: u32) -> u64 {
        self.lengths.get(&itt).copied().unwrap_or(0)
    }

    fn compare_login(&mut self, theirs: &Captured, status: (u8, u8)) {
        let ours = self.ours(Opcode::LoginResponse, theirs.itt()).expect("an answer to the login");
        let Pdu::LoginResponse(own) = &ours.pdu else { unreachable!() };
        assert_eq!((own.status_class, own.status_detail), status);
        if status.0 == 0 {
            assert_eq!(own.flags, theirs.pdu.as_bytes()[1], "the same stages");
        }
        for key in COMPARED_KEYS {
            let said = theirs.key(key);
            if said.is_some() && ours.key(key) != Some("Irrelevant") {
                assert_eq!(ours.key(key), said, "{key}");
            }
        }
        let challenge = |p: &Captured| {
            let id = p.key("CHAP_I")?.parse().ok()?;
            Some((id, decode_binary("CHAP_C", p.key("CHAP_C")?).unwrap()))
        };
        if let (Some(own), Some(other)) = (challenge(&ours), challenge(theirs)) {
            (self.own_challenge, self.challenge) = (Some(own), Some(other));
        }
        self.count(Opcode::LoginResponse);
    }

    /// Puts the answer to our target's challenge in place of that to the captured one's: right where it was right.
    fn answer_own_challenge(&self, captured: &mut Captured) {
        let (Some(user), Some(response)) = (captured.key("CHAP_N"), captured.key("CHAP_R")) else { return };
        let (id, challenge) = self.challenge.as_ref().unwrap();
        let (own_id, own) = self.own_challenge.as_ref().unwrap();
        let secret = Secret::new(secret(user).unwrap_or("unknown").as_bytes());
        let right =
            Algorithm::Md5.verify(*id, &secret, challenge, &decode_binary("CHAP_R", response).unwrap());
        let secret = if right { secret } else { Secret::new(*b"wrong") };
        let answer = encode_binary(&Algorithm::Md5.response(*own_id, &secret, own));
        let text = String::from_utf8(captured.data.clone()).unwrap().replace(response, &answer);
        captured.data = text.into_bytes();
        captured.padding.clear();
    }

    /// ExpCmdSN must move in step.
    fn compare_sequence(&mut self, ours: &Captured, theirs: &Captured) {
        // Theirs may have been under way while more commands were on the wire.
        let ahead = ours.word(28).wrapping_sub(theirs.word(28));
        assert!(ahead <= 128, "ExpCmdSN of {:?} is {ahead} behind ours", theirs.pdu);
        self.count(theirs.opcode());
    }

    fn count(&mut self, opcode: Opcode) {
        *self.compared.entry(opcode).or_default() += 1;
    }
}

const COMPARED_KEYS: [&str; 18] = [
    "HeaderDigest",
    "DataDigest",
    "DefaultTime2Wait",
    "DefaultTime2Retain",
    "ErrorRecoveryLevel",
    "IFMarker",
    "OFMarker",
    "InitialR2T",
    "ImmediateData",
    "MaxBurstLength",
    "FirstBurstLength",
    "MaxOutstandingR2T",
    "MaxConnections",
    "DataPDUInOrder",
    "DataSequenceInOrder",
    "CHAP_A",
    "CHAP_N",
    "CHAP_R",
];

/// Targets as a captured answer to SendTargets has them.
fn records(connection: &Connection) -> Vec<TargetRecord> {
    let mut records: Vec<TargetRecord> = Vec::new();
    for response in connection.pdus.iter().filter(|p| p.opcode() == Opcode::TextResponse) {
        for pair in iscsi::text::parse_pairs(&response.data).unwrap() {
            match pair.key {
                "TargetName" => records.push(TargetRecord { name: pair.value.into(), addresses: Vec::new() }),
                _ => records.last_mut().unwrap().addresses.push(pair.value.into()),
            }
        }
    }
    records
}

/// Replays one connection; how far the comparison came, and how our target ended.
fn replay(connection: &Connection) -> (Replay, Result<(), SessionError>) {
    let mut replay = Replay::new(connection);
    replay.records = records(connection);
    let name = connection.pdus.first().and_then(|p| p.key("TargetName")).unwrap_or("");
    let chap_for = |user: &str, own: &str| TargetAuth::Chap {
        users: vec![chap(user, secret(user).unwrap())],
        own: Some(chap(own, secret(own).unwrap())),
    };
    let asks_chap = connection.pdus.iter().any(|p| p.from == From::Target && p.key("CHAP_C").is_some());
    let last = connection.pdus.iter().rfind(|p| p.opcode() == Opcode::LoginResponse);
    let status = last.map(|p| (p.pdu.as_bytes()[36], p.pdu.as_bytes()[37]));
    match status {
        Some((2, 1)) => {}
        Some((class, detail)) if class != 0 => replay.refuse = Some(LoginStatus::new(class, detail)),
        _ => {}
    }
    if asks_chap || status == Some((2, 1)) {
        replay.auth = if name.ends_with(":lio") {
            chap_for("liouser", "tgtuser")
        } else {
            chap_for("oxuser", "oxtarget")
        };
    }
    for captured in &connection.pdus {
        if captured.from == From::Target {
            replay.target_said(captured);
        } else if let Err(error) = replay.initiator_said(captured) {
            return (replay, Err(error));
        }
    }
    (replay, Ok(()))
}

#[test]
fn captured_initiators_find_our_target_the_same() {
    let mut compared: BTreeMap<Opcode, usize> = BTreeMap::new();
    let mut errors: Vec<String> = Vec::new();
    let mut managed = 0;
    for name in ALL {
        for connection in load(name) {
            let (replay, end) = replay(&connection);
            for (opcode, count) in replay.compared {
                *compared.entry(opcode).or_default() += count;
            }
            managed += replay.managed;
            errors.extend(replay.bad_data.iter().map(|error| format!("{name}: {error}")));
            if let Err(error) = end {
                errors.push(format!("{name}: {error}"));
            }
        }
    }
    let want = [
        (Opcode::NopIn, 34),
        (Opcode::ScsiResponse, 674),
        (Opcode::TaskResponse, 9),
        (Opcode::LoginResponse, 105),
        (Opcode::TextResponse, 7),
        (Opcode::DataIn, 13819),
        (Opcode::LogoutResponse, 41),
        (Opcode::R2t, 16),
    ];
    assert_eq!(compared, want.into_iter().collect());
    assert_eq!(managed, 9);
    let data_sn = |value| {
        format!("e-libiscsi-tests: SCSI Data-Out: DataSN is {value}, must be the next of its sequence")
    };
    let refused = "login refused: authentication failure (0201)";
    let want = [
        // Without CHAP, with a wrong secret, with an unknown name.
        format!("b-tgtd-chap-digest: {refused}"),
        format!("b-tgtd-chap-digest: {refused}"),
        format!("b-tgtd-chap-digest: {refused}"),
        // tgtd answers None to CRC32C alone, against the RFC; the initiator breaks off. Ours refuses.
        "b-tgtd-chap-digest: Login Request: `HeaderDigest=CRC32C` does not answer the offer `None`".into(),
        format!("c-libiscsi-lio: {refused}"),
        format!("c-libiscsi-lio: {refused}"),
        // tgtd does not look at DataSN, and iscsi-test-cu calls that a failure.
        data_sn("0x0"),
        data_sn("0x1b"),
        data_sn("0xffffffff"),
        data_sn("0x1"),
    ];
    assert_eq!(errors, want);
}
