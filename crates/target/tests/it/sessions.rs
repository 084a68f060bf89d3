//! Logins, access control, and what one session sees of another.

use iscsi::{LoginStatus, SessionError};
use scsi::{AdditionalSense, Command, LunList, Rw, SelectReport, SenseKey};
use target::{Access, LunSpec, Target, TargetError};

use crate::client::{Client, chap, config, isid};
use crate::{Bench, IQN};

fn refused(error: SessionError) -> LoginStatus {
    match error {
        SessionError::Login { status } => status,
        other => panic!("refused in another way: {other}"),
    }
}

#[test]
fn io_of_many_sizes() {
    let bench = Bench::new();
    let mut client = Client::ready(bench.portal(), 1);
    let pattern: Vec<u8> = (0..8 << 20).map(|n: u32| (n / 511).to_le_bytes()[0]).collect();
    for (lba, blocks) in [(0u64, 1u32), (1, 8), (100, 128), (3, 511), (1000, 2048), (0, 16384)] {
        let data = &pattern[..blocks as usize * 512];
        client.run(Command::Write(Rw::shortest(lba, blocks)), data).good();
        assert!(client.run(Command::Read(Rw::shortest(lba, blocks)), &[]).good() == data, "{lba} {blocks}");
        let at = lba as usize * 512;
        assert!(bench.disk.image()[at..at + data.len()] == *data);
    }
    let end = client.run(Command::Read(Rw::shortest(32768, 1)), &[]);
    assert_eq!(end.sense().unwrap().code, AdditionalSense::LBA_OUT_OF_RANGE);
}

#[test]
fn discovery_tells_all_portals() {
    let bench = Bench::new();
    let portals = bench.target.as_ref().unwrap().portals().to_vec();
    assert_ne!(portals[0], portals[1]);
    for portal in &portals {
        let targets = Client::discover(*portal);
        assert_eq!(targets.len(), 1);
        assert_eq!(targets[0].name, IQN);
        let addresses: Vec<String> = portals.iter().map(|portal| format!("{portal},1")).collect();
        assert_eq!(targets[0].addresses, addresses);
    }
}

#[test]
fn both_portals_lead_to_one_unit() {
    let bench = Bench::new();
    let portals = bench.target.as_ref().unwrap().portals().to_vec();
    let (mut one, mut two) = (Client::ready(portals[0], 1), Client::ready(portals[1], 2));
    one.run(Command::Write(Rw::shortest(0, 1)), &[3; 512]).good();
    assert_eq!(two.run(Command::Read(Rw::shortest(0, 1)), &[]).good(), [3; 512]);
    let id = Command::Inquiry { page: Some(0x83), alloc_len: 255 };
    assert_eq!(one.run(id, &[]).good(), two.run(id, &[]).good());
}

#[test]
fn chap_one_way_and_mutual() {
    let mut access = Access::default();
    access.add_user("user", b"usersecret123").unwrap();
    access.set_own("target", b"targetsecret1").unwrap();
    let bench = Bench::guarded(access);
    let portal = bench.portal();
    let user = ("user", "usersecret123");
    assert!(Client::login(portal, chap(user, None)).is_ok());
    assert!(Client::login(portal, chap(user, Some(("target", "targetsecret1")))).is_ok());
    let failed = LoginStatus::AUTHENTICATION_FAILED;
    assert_eq!(refused(Client::login(portal, config(1)).err().unwrap()), failed);
    for wrong in [("user", "usersecret124"), ("nobody", "usersecret123")] {
        assert_eq!(refused(Client::login(portal, chap(wrong, None)).err().unwrap()), failed);
    }
    let impostor = Client::login(portal, chap(user, Some(("target", "targetsecret2"))));
    assert!(matches!(impostor.err(), Some(SessionError::Chap { .. })));
}

/// The choice for discovery: no secret is asked for, and who is not on the allow-list finds nothing.
#[test]
fn discovery_asks_for_no_secret_and_tells_who_is_allowed_alone() {
    let mut access = Access::default();
    access.add_user("user", b"usersecret123").unwrap();
    let bench = Bench::guarded(access);
    assert_eq!(Client::discover(bench.portal()).len(), 1);
    let mut access = Access::default();
    access.allow("iqn.2026-01.test.oxsan:other").unwrap();
    let bench = Bench::guarded(access);
    assert_eq!(Client::discover(bench.portal()), []);
    let mut access = Access::default();
    access.allow("iqn.2026-01.test.oxsan:CLIENT").unwrap();
    let bench = Bench::guarded(access);
    assert_eq!(Client::discover(bench.portal()).len(), 1);
}

#[test]
fn the_allow_list() {
    let mut access = Access::default();
    access.allow("iqn.2026-01.test.oxsan:other").unwrap();
    let bench = Bench::guarded(access);
    assert_eq!(refused(Client::login(bench.portal(), config(1)).err().unwrap()), LoginStatus::FORBIDDEN);
    let mut other = config(1);
    other.initiator_name = "iqn.2026-01.test.oxsan:Other".into();
    assert!(Client::login(bench.portal(), other).is_ok());
}

#[test]
fn another_target_is_not_found() {
    let bench = Bench::new();
    let mut other = config(1);
    other.target_name = Some("iqn.2026-01.test.oxsan:nothing".into());
    assert_eq!(refused(Client::login(bench.portal(), other).err().unwrap()), LoginStatus::NOT_FOUND);
}

#[test]
fn open_portals_must_be_asked_for() {
    let bench = Bench::new();
    let serve = |insecure| {
        let builder = Target::builder(IQN).insecure(insecure).lun(LunSpec::new(bench.disk.clone()));
        bench.runtime.block_on(builder.portal("0.0.0.0:0".parse().unwrap()).serve())
    };
    assert!(matches!(serve(false).err(), Some(TargetError::OpenPortal { .. })));
    let target = serve(true).unwrap();
    // Nobody can connect to 0.0.0.0: discovery tells the address that it came in by.
    let port = target.portals()[0].port();
    let targets = Client::discover(([127, 0, 0, 1], port).into());
    assert_eq!(targets[0].addresses, [format!("127.0.0.1:{port},1")]);
}

#[test]
fn a_new_session_of_the_same_port_ends_the_old_one() {
    let bench = Bench::new();
    let mut old = Client::ready(bench.portal(), 1);
    let mut other = Client::ready(bench.portal(), 2);
    let mut new = Client::login(bench.portal(), config(1)).unwrap();
    let news = new.run(Command::TestUnitReady, &[]).sense().unwrap();
    assert_eq!((news.key, news.code), (SenseKey::UnitAttention, AdditionalSense::NEXUS_LOSS));
    assert!(old.try_run(Command::TestUnitReady, &[]).is_err());
    new.run(Command::TestUnitReady, &[]).good();
    other.run(Command::TestUnitReady, &[]).good();
    assert_eq!(bench.target.as_ref().unwrap().sessions(), 2);
    assert_ne!(isid(1), isid(2));
}

#[test]
fn sessions_go_when_their_connections_do() {
    let bench = Bench::new();
    let clients: Vec<Client> = (0..20).map(|number| Client::ready(bench.portal(), number)).collect();
    bench.wait_for_sessions(20);
    drop(clients);
    bench.wait_for_sessions(0);
}

#[test]
fn stopping_ends_sessions() {
    let mut bench = Bench::new();
    let mut client = Client::ready(bench.portal(), 1);
    let target = bench.target.take().unwrap();
    bench.runtime.block_on(async {
        tokio::time::timeout(std::time::Duration::from_secs(5), target.stop()).await.expect("it stops");
    });
    assert!(client.try_run(Command::TestUnitReady, &[]).is_err());
}

#[test]
fn units_and_numbers_without_one() {
    let bench = Bench::with(|builder| {
        let mut spec = LunSpec::new(std::sync::Arc::new(block::MemoryDevice::new(1 << 20)));
        spec.lun = scsi::Lun::new(300).ok();
        builder.lun(spec)
    });
    let mut client = Client::ready(bench.portal(), 1);
    let report = Command::ReportLuns { select: SelectReport::Addressed, alloc_len: 4096 };
    let list = LunList::parse(&client.run(report, &[]).good()).unwrap();
    let numbers: Vec<u16> = list.luns.iter().map(|lun| lun.number()).collect();
    assert_eq!(numbers, [0, 300]);
}

#[test]
fn one_number_for_two_units_is_refused() {
    let bench = Bench::new();
    let spec = || {
        let mut spec = LunSpec::new(bench.disk.clone());
        spec.lun = scsi::Lun::new(5).ok();
        spec
    };
    let builder = Target::builder(IQN).lun(spec()).lun(spec()).portal("127.0.0.1:0".parse().unwrap());
    let error = bench.runtime.block_on(builder.serve()).err().unwrap();
    assert!(matches!(error, TargetError::LunTwice { .. }), "{error}");
}
