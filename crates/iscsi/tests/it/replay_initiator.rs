//! The captured targets against our initiator: it must come through their logins, ask what the captured initiators
//! asked in the same way, and read the same answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use iscsi::chap::{Algorithm, Secret, decode_binary, encode_binary};
use iscsi::pdu::{NO_TAG, Opcode, Pdu, TaskFunction};
use iscsi::text::{DigestPolicy, Settings};
use iscsi::{
    Cdb, Credentials, Event, Initiator, InitiatorConfig, Isid, ScsiRequest, Seed, SessionError, Task, Verdict,
};

use crate::capture::{ALL, Captured, Connection, From, Reader, load};
use crate::decode::{encode, secret};
use crate::pair::start;

/// Our initiator in the captured one's place.
struct Replay {
    now: Instant,
    initiator: Initiator<Bytes>,
    reader: Reader,
    /// What our initiator has sent and the capture has not been compared with yet.
    sent: Vec<Captured>,
    /// Our tags by the captured ones.
    tags: BTreeMap<u32, u32>,
    /// Captured commands in flight: what their data is, as far as it came.
    flights: BTreeMap<Task, Vec<u8>>,
    /// Data by captured tag, as the capture has it.
    expected: BTreeMap<u32, Vec<u8>>,
    cmd_shift: u32,
    own_challenge: Option<(u8, Vec<u8>)>,
    mutual_right: bool,
    compared: BTreeMap<Opcode, usize>,
    /// Captured commands that ours has not sent yet.
    late: VecDeque<Captured>,
    ended: usize,
}

fn settings(offer: &Captured) -> Settings {
    let number = |key, default| offer.key(key).map_or(default, |text| text.parse::<u32>().unwrap());
    let digest = |key| match offer.key(key) {
        Some("CRC32C") => DigestPolicy::Always,
        Some("CRC32C,None") => DigestPolicy::PreferCrc32c,
        Some("None,CRC32C") => DigestPolicy::PreferNone,
        _ => DigestPolicy::Never,
    };
    Settings {
        header_digest: digest("HeaderDigest"),
        data_digest: digest("DataDigest"),
        initial_r2t: offer.key("InitialR2T") == Some("Yes"),
        immediate_data: offer.key("ImmediateData") != Some("No"),
        max_recv_data: number("MaxRecvDataSegmentLength", 8192),
        max_burst: number("MaxBurstLength", 262_144),
        first_burst: number("FirstBurstLength", 65_536),
        ..Settings::default()
    }
}

impl Replay {
    fn new(connection: &Connection) -> Option<Self> {
        let requests = || connection.pdus.iter().filter(|p| p.opcode() == Opcode::LoginRequest);
        let first = requests().next()?;
        let offer = requests().find(|p| p.key("HeaderDigest").is_some()).unwrap_or(first);
        let named = requests().find(|p| p.key("CHAP_N").is_some());
        // The secret that the captured initiator used, if it was the right one.
        let mut challenge = None;
        let mut right = false;
        let mut mutual = None;
        for captured in &connection.pdus {
            if let (From::Target, Some(id), Some(text)) =
                (captured.from, captured.key("CHAP_I"), captured.key("CHAP_C"))
            {
                challenge = Some((id.parse::<u8>().unwrap(), decode_binary("CHAP_C", text).unwrap()));
            }
            if let (Some(user), Some(response)) = (captured.key("CHAP_N"), captured.key("CHAP_R")) {
                let response = decode_binary("CHAP_R", response).unwrap();
                if captured.from == From::Initiator {
                    let (id, challenge) = challenge.as_ref().unwrap();
                    right = secret(user)
                        .is_some_and(|s| Algorithm::Md5.verify(*id, &Secret::new(s), challenge, &response));
                } else {
                    mutual = Some(user.to_owned());
                }
            }
        }
        let credentials = first.key("AuthMethod").map(|_| {
            let user = named.and_then(|p| p.key("CHAP_N")).unwrap_or("nobody");
            Credentials::new(user, secret(user).filter(|_| right).unwrap_or("a wrong secret"))
        });
        // The captured initiator broke off where it had another secret for the target.
        let mutual_right = connection.pdus.last()?.opcode() != Opcode::LoginResponse;
        let target_credentials =
            mutual.filter(|_| mutual_right || named.is_some_and(|p| p.key("CHAP_C").is_some()));
        let target_credentials = target_credentials.map(|user| {
            let known = secret(&user).filter(|_| mutual_right).unwrap_or("another secret");
            Credentials::new(user, known)
        });
        let raw = first.pdu.as_bytes();
        let isid = Isid(raw[8..14].try_into().unwrap());
        let mut config = match first.key("TargetName") {
            Some(target) => InitiatorConfig::new(first.key("InitiatorName")?, target, isid),
            None => InitiatorConfig::discovery(first.key("InitiatorName")?, isid),
        };
        config.settings = settings(offer);
        config.credentials = credentials;
        config.target_credentials = target_credentials;
        let now = start();
        let mut replay = Self {
            now,
            initiator: Initiator::new(now, config, Seed::new([3; 32])).unwrap(),
            reader: Reader::new(),
            sent: Vec::new(),
            tags: BTreeMap::new(),
            flights: BTreeMap::new(),
            expected: BTreeMap::new(),
            cmd_shift: 0,
            own_challenge: None,
            mutual_right,
            compared: BTreeMap::new(),
            late: VecDeque::new(),
            ended: 0,
        };
        replay.collect();
        replay.cmd_shift = replay.sent[0].word(24).wrapping_sub(first.word(24));
        Some(replay)
    }

    fn collect(&mut self) {
        let mut wire = Vec::new();
        self.initiator.transmit().drain_into(&mut wire);
        let params = self.initiator.params();
        let digests = (params.header_digest, params.data_digest);
        // What comes with the end of the login has digests already.
        self.reader.set_digests(digests.0, digests.1);
        self.sent.extend(self.reader.read(From::Initiator, &wire));
    }

    fn ours(&mut self, opcode: Opcode) -> Captured {
        self.collect();
        let at = self.sent.iter().position(|ours| ours.opcode() == opcode);
        let at = at.unwrap_or_else(|| panic!("our initiator sends a {opcode}; it sent {:?}", self.sent));
        *self.compared.entry(opcode).or_default() += 1;
        self.sent.remove(at)
    }

    /// What the captured initiator sent, ours must send too.
    fn initiator_said(&mut self, theirs: &Captured, rest: &[Captured]) {
        match &theirs.pdu {
            Pdu::LoginRequest(raw) => {
                let ours = self.ours(Opcode::LoginRequest);
                // libiscsi asks to go on where it wants the target's proof first, and sets NSG without T.
                let stages = |flags: u8| if flags & 0x80 != 0 { flags } else { flags & 0x0c };
                let asks_method = theirs.key("AuthMethod").is_some();
                if !asks_method {
                    assert_eq!(stages(ours.pdu.as_bytes()[1]), stages(raw.flags), "{:?}", ours.pdu);
                }
                for key in ["CHAP_N", "CHAP_R", "SessionType", "TargetName", "InitiatorName"] {
                    if let Some(said) = theirs.key(key) {
                        assert!(
                            ours.key(key).is_some_and(|own| own.eq_ignore_ascii_case(said))
                                || !self.mutual_right
                                || key == "CHAP_R",
                            "{key}"
                        );
                    }
                }
                if let (Some(id), Some(challenge)) = (ours.key("CHAP_I"), ours.key("CHAP_C")) {
                    self.own_challenge =
                        Some((id.parse().unwrap(), decode_binary("CHAP_C", challenge).unwrap()));
                }
            }
            Pdu::ScsiCommand(raw) => self.command(theirs, raw, rest),
            Pdu::DataOut(raw) => {
                let ours = self.ours(Opcode::DataOut);
                let Pdu::DataOut(own) = &ours.pdu else { unreachable!() };
                assert_eq!(
                    (own.flags, own.ttt, own.data_sn, own.buffer_offset, own.lun),
                    (raw.flags, raw.ttt, raw.data_sn, raw.buffer_offset, raw.lun),
                );
                assert!(ours.data == theirs.data);
            }
            Pdu::NopOut(raw) if raw.itt.get() == NO_TAG => {
                let ours = self.ours(Opcode::NopOut);
                assert_eq!(ours.word(20), raw.ttt.get());
                assert_eq!(ours.itt(), NO_TAG);
            }
            Pdu::NopOut(_) => {
                self.now = self.initiator.poll_timeout().unwrap();
                // The captured initiator may have pinged again where ours has one on its way.
                if self.initiator.handle_timeout(self.now).is_ok() {
                    let ours = self.ours(Opcode::NopOut);
                    self.tags.insert(theirs.itt(), ours.itt());
                }
            }
            Pdu::TaskRequest(raw) => {
                let function = TaskFunction::of(raw.flags & 0x7f).unwrap();
                let referenced = self.tags.get(&raw.ref_itt.get()).copied();
                let task = self.flights.keys().copied().find(|task| Some(task.itt()) == referenced);
                self.initiator.manage(function, raw.lun.get(), task).unwrap();
                let ours = self.ours(Opcode::TaskRequest);
                assert_eq!(ours.pdu.as_bytes()[1], raw.flags);
                if function == TaskFunction::AbortTask {
                    assert_eq!(Some(ours.word(20)), referenced);
                    assert_eq!(ours.word(32), raw.ref_cmd_sn.get().wrapping_add(self.cmd_shift));
                }
                self.tags.insert(theirs.itt(), ours.itt());
            }
            Pdu::TextRequest(_) => {
                self.initiator.send_targets(theirs.key("SendTargets").unwrap()).unwrap();
                let ours = self.ours(Opcode::TextRequest);
                assert_eq!(ours.data, theirs.data);
                self.tags.insert(theirs.itt(), ours.itt());
            }
            Pdu::LogoutRequest(_) => {
                self.initiator.logout(self.now).unwrap();
                let ours = self.ours(Opcode::LogoutRequest);
                self.tags.insert(theirs.itt(), ours.itt());
            }
            other => panic!("{other:?}"),
        }
    }

    fn command(&mut self, theirs: &Captured, raw: &iscsi::pdu::RawScsiCommand, rest: &[Captured]) {
        let mut request = ScsiRequest::new(raw.lun.get(), Cdb::new(&raw.cdb).unwrap());
        if raw.writes() {
            let mut data = theirs.data.clone();
            data.resize(raw.expected_len.get() as usize, 0);
            let over = |p: &&Captured| !(p.itt() == theirs.itt() && p.opcode() == Opcode::ScsiCommand);
            for out in rest.iter().take_while(over).filter(|p| p.itt() == theirs.itt()) {
                if let Pdu::DataOut(out_raw) = &out.pdu {
                    data[out_raw.buffer_offset.get() as usize..][..out.data.len()].copy_from_slice(&out.data);
                }
            }
            request.write = Bytes::from(data).into();
        } else if raw.reads() {
            request.read_len = raw.expected_len.get();
        }
        request.attribute = match raw.attribute() {
            0 => iscsi::Attribute::Untagged,
            1 => iscsi::Attribute::Simple,
            other => panic!("attribute {other}"),
        };
        let len = request.read_len as usize;
        let task = self.initiator.submit(request).unwrap();
        self.flights.insert(task, vec![0; len]);
        self.expected.insert(theirs.itt(), Vec::new());
        self.tags.insert(theirs.itt(), task.itt());
        self.late.push_back(theirs.clone());
        self.compare_commands();
    }

    /// Compares the commands that ours has sent. It may have waited: the kernel goes on with the command window of
    /// the session before, after a relogin.
    fn compare_commands(&mut self) {
        self.collect();
        while self.sent.iter().any(|ours| ours.opcode() == Opcode::ScsiCommand) {
            let theirs = self.late.pop_front().expect("a command for a command");
            self.compare_command(&theirs);
        }
    }

    fn compare_command(&mut self, theirs: &Captured) {
        let Pdu::ScsiCommand(raw) = &theirs.pdu else { unreachable!() };
        let ours = self.ours(Opcode::ScsiCommand);
        let Pdu::ScsiCommand(own) = &ours.pdu else { unreachable!() };
        // open-iscsi sets R and W both clear, or one, by the direction; libiscsi too.
        assert_eq!(
            (own.flags, own.expected_len, own.lun, own.cdb),
            (raw.flags, raw.expected_len, raw.lun, raw.cdb)
        );
        assert!(ours.data == theirs.data, "the same immediate data");
        assert_eq!(own.cmd_sn.get(), raw.cmd_sn.get().wrapping_add(self.cmd_shift));
    }

    /// What the captured target sent, with our tags and numbers in place of the captured initiator's.
    fn target_said(&mut self, theirs: &Captured) -> Result<(), SessionError> {
        let mut captured = theirs.clone();
        let itt = match self.tags.get(&theirs.itt()) {
            _ if theirs.opcode() == Opcode::LoginResponse => 0,
            Some(itt) => *itt,
            None => theirs.itt(),
        };
        if let Pdu::DataIn(_) = &theirs.pdu {
            self.expected.entry(theirs.itt()).or_default().extend_from_slice(&theirs.data);
        }
        let (exp, max) = (
            theirs.word(28).wrapping_add(self.cmd_shift).into(),
            theirs.word(32).wrapping_add(self.cmd_shift).into(),
        );
        macro_rules! renumber {
            ($($opcode:ident)*) => {
                match &mut captured.pdu {
                    $(Pdu::$opcode(raw) => {
                        raw.itt = itt.into();
                        raw.exp_cmd_sn = exp;
                        raw.max_cmd_sn = max;
                    })*
                    other => panic!("{other:?}"),
                }
            };
        }
        renumber!(NopIn ScsiResponse TaskResponse LoginResponse TextResponse DataIn LogoutResponse R2t);
        if let (Some(user), Some(response), Some((id, challenge))) =
            (theirs.key("CHAP_N"), theirs.key("CHAP_R"), &self.own_challenge)
        {
            let answer = Algorithm::Md5.response(*id, &Secret::new(secret(user).unwrap()), challenge);
            let text =
                String::from_utf8(theirs.data.clone()).unwrap().replace(response, &encode_binary(&answer));
            captured.data = text.into_bytes();
            captured.padding.clear();
        }
        let wire = encode(&captured);
        let mut bytes = wire.as_slice();
        while let Some(event) = self.initiator.receive(self.now, &mut bytes)? {
            match event {
                Event::DataIn { task, offset, data } => {
                    self.flights.get_mut(&task).unwrap()[offset as usize..][..data.len()]
                        .copy_from_slice(data);
                }
                Event::Done { task, outcome, .. } => {
                    let data = self.flights.remove(&task).unwrap();
                    self.ended += 1;
                    if outcome.verdict == Verdict::Aborted {
                        continue;
                    }
                    let expected = self.expected.remove(&theirs.itt()).unwrap();
                    assert_eq!(outcome.received as usize, expected.len());
                    assert!(data[..expected.len()] == expected);
                    assert!(data[expected.len()..].iter().all(|b| *b == 0));
                    let status = theirs.pdu.as_bytes()[3];
                    assert_eq!((outcome.verdict, outcome.status), (Verdict::Completed, status));
                    // tgtd sends sense data with GOOD now and then.
                    assert!(status != 2 || !outcome.sense.is_empty());
                }
                Event::LoggedIn { .. } | Event::LoggedOut { .. } | Event::TaskManagement { .. } => {}
                Event::Targets(targets) => assert!(!targets.is_empty()),
                other => panic!("{other:?}"),
            }
        }
        self.compare_commands();
        Ok(())
    }
}

/// Whether a test tool bent the numbers on purpose; no initiator of ours would send that.
fn is_bent(connection: &Connection) -> bool {
    let mut next = None;
    connection.pdus.iter().any(|captured| match &captured.pdu {
        Pdu::ScsiCommand(raw) => {
            let bent = next.is_some_and(|next| next != raw.cmd_sn.get());
            next = Some(raw.cmd_sn.get().wrapping_add(1));
            bent
        }
        Pdu::DataOut(raw) => raw.buffer_offset.get() == 0 && raw.data_sn.get() != 0,
        _ => false,
    })
}

#[test]
fn our_initiator_comes_through_with_captured_targets() {
    let mut compared: BTreeMap<Opcode, usize> = BTreeMap::new();
    let (mut errors, mut bent, mut ended, mut unfinished) = (Vec::new(), 0, 0, 0);
    for name in ALL {
        for connection in load(name) {
            if is_bent(&connection) {
                bent += 1;
                continue;
            }
            let Some(mut replay) = Replay::new(&connection) else { continue };
            for (at, captured) in connection.pdus.iter().enumerate() {
                if captured.from == From::Initiator {
                    replay.initiator_said(captured, &connection.pdus[at + 1..]);
                } else if let Err(error) = replay.target_said(captured) {
                    errors.push(format!("{name}: {error}"));
                    break;
                }
            }
            for (opcode, count) in &replay.compared {
                *compared.entry(*opcode).or_default() += count;
            }
            ended += replay.ended;
            let left = replay.initiator.take_unfinished();
            assert_eq!(left.len(), replay.flights.len());
            unfinished += left.len();
        }
    }
    let want = [
        (Opcode::NopOut, 50),
        (Opcode::ScsiCommand, 14492),
        (Opcode::TaskRequest, 9),
        (Opcode::LoginRequest, 109),
        (Opcode::TextRequest, 7),
        (Opcode::DataOut, 288),
        (Opcode::LogoutRequest, 40),
    ];
    assert_eq!(compared, want.into_iter().collect());
    // Three commands were under way when their connections ended: they are handed back.
    assert_eq!((bent, ended, unfinished), (2, 14489, 3));
    let refused = "login refused: authentication failure (0201)";
    let mut want = vec![
        format!("b-tgtd-chap-digest: {refused}"),
        format!("b-tgtd-chap-digest: {refused}"),
        format!("b-tgtd-chap-digest: {refused}"),
        "b-tgtd-chap-digest: CHAP: the target's response is wrong".into(),
        "b-tgtd-chap-digest: Login Response: `HeaderDigest=None` does not answer the offer `CRC32C`".into(),
        "c-libiscsi-lio: CHAP: the target's response is wrong".into(),
        format!("c-libiscsi-lio: {refused}"),
        format!("c-libiscsi-lio: {refused}"),
        "c-libiscsi-lio: login refused: service unavailable (0301)".into(),
    ];
    want.extend(vec!["d-lio-multipath: login refused: service unavailable (0301)".to_owned(); 6]);
    assert_eq!(errors, want);
}
