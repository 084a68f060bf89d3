use proptest::prelude::*;

use super::*;
use crate::text::parse_pairs;

fn answer(to: &mut Negotiator, text: &[u8]) -> Result<Vec<u8>, TextError> {
    let mut out = TextWriter::default();
    for pair in parse_pairs(text).unwrap() {
        to.take(pair.key, pair.value, &mut out)?;
    }
    Ok(out.into_bytes())
}

fn settings() -> impl Strategy<Value = Settings> {
    let digest = || {
        prop_oneof![
            Just(DigestPolicy::Never),
            Just(DigestPolicy::PreferNone),
            Just(DigestPolicy::PreferCrc32c),
            Just(DigestPolicy::Always)
        ]
    };
    (
        digest(),
        digest(),
        any::<(bool, bool)>(),
        512..1_u32 << 24,
        512..1_u32 << 24,
        512..1_u32 << 24,
        1..100_u16,
    )
        .prop_map(|(header, data, (r2t, immediate), recv, a, b, r2ts)| Settings {
            header_digest: header,
            data_digest: data,
            initial_r2t: r2t,
            immediate_data: immediate,
            max_recv_data: recv,
            max_burst: a.max(b),
            first_burst: a.min(b),
            max_outstanding_r2t: r2ts,
            ..Settings::default()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(500)))]

    #[test]
    fn both_ends_come_to_the_same(ours in settings(), theirs in settings(), discovery in any::<bool>()) {
        ours.check().unwrap();
        let mut a = Negotiator::new(Role::Initiator, ours.clone(), discovery);
        let mut b = Negotiator::new(Role::Target, theirs.clone(), discovery);
        let mut offer = TextWriter::default();
        a.offer(&mut offer);
        let digests = [(ours.header_digest, theirs.header_digest), (ours.data_digest, theirs.data_digest)];
        let possible = digests.iter().all(|(x, y)| [true, false].iter().any(|c| x.takes(*c) && y.takes(*c)));
        let reply = answer(&mut b, offer.as_bytes());
        prop_assert_eq!(reply.is_ok(), possible);
        let Ok(mut reply) = reply else { return Ok(()) };
        let mut out = TextWriter::default();
        b.declare_max_recv(&mut out);
        reply.extend_from_slice(out.as_bytes());
        prop_assert_eq!(answer(&mut a, &reply), Ok(vec![]));
        prop_assert_eq!(a.offered, 0);
        let (a, b) = (a.finish().unwrap(), b.finish().unwrap());
        prop_assert_eq!(a.max_send_data, b.max_recv_data);
        prop_assert_eq!(a.max_recv_data, b.max_send_data);
        prop_assert!(a.first_burst <= a.max_burst);
        prop_assert_eq!(Params { max_send_data: 0, max_recv_data: 0, ..a }, Params { max_send_data: 0, max_recv_data: 0, ..b });
    }
}

#[test]
fn unknown_obsolete_and_irrelevant_keys_are_answered() {
    let mut target = Negotiator::new(Role::Target, Settings::default(), true);
    let text = b"X-com.example=1\0IFMarker=Yes\0IFMarkInt=2048\0MaxBurstLength=4096\0TaskReporting=FastAbort,RFC3720\0";
    let want = b"X-com.example=NotUnderstood\0IFMarker=No\0IFMarkInt=Reject\0MaxBurstLength=Irrelevant\0TaskReporting=Irrelevant\0";
    assert_eq!(answer(&mut target, text).unwrap(), want);
}

#[test]
fn bad_keys_are_errors_that_name_them() {
    let target = || Negotiator::new(Role::Target, Settings::default(), false);
    for (text, message) in [
        (&b"MaxBurstLength=4096\0MaxBurstLength=4096\0"[..], "the key `MaxBurstLength` comes a second time"),
        (b"MaxBurstLength=511\0", "`MaxBurstLength=511`: must be a number in the key's range"),
        (b"MaxBurstLength=+600\0", "`MaxBurstLength=+600`: must be a number in the key's range"),
        (b"InitialR2T=yes\0", "`InitialR2T=yes`: must be Yes or No"),
        (b"TargetAlias=x\0", "`TargetAlias` must not be sent by an initiator"),
        (b"CHAP_A=5\0", "`CHAP_A` must not be sent in the operational stage"),
        (b"SendTargets=All\0", "`SendTargets` must not be sent in the operational stage"),
        (b"HeaderDigest=CRC-64\0", "`HeaderDigest=CRC-64` does not answer the offer `None,CRC32C`"),
    ] {
        assert_eq!(answer(&mut target(), text).unwrap_err().to_string(), message);
    }
    assert!(answer(&mut target(), b"MaxBurstLength=0x1000\0").is_ok());
}

#[test]
fn an_answer_beyond_the_offer_is_refused() {
    for text in [
        &b"MaxBurstLength=1048577\0"[..],
        b"MaxOutstandingR2T=2\0",
        b"ErrorRecoveryLevel=1\0",
        b"DefaultTime2Wait=1\0",
        b"DataPDUInOrder=No\0",
        b"HeaderDigest=CRC32C\0",
        b"HeaderDigest=Reject\0",
    ] {
        let settings = Settings { header_digest: DigestPolicy::Never, ..Settings::default() };
        let mut initiator = Negotiator::new(Role::Initiator, settings, false);
        initiator.offer(&mut TextWriter::default());
        let error = answer(&mut initiator, text).unwrap_err();
        assert!(matches!(error, TextError::BadAnswer { .. }), "{error}");
    }
}

#[test]
fn a_digest_that_must_be_is_missed_when_nobody_answers() {
    let settings = Settings { data_digest: DigestPolicy::Always, ..Settings::default() };
    let mut initiator = Negotiator::new(Role::Initiator, settings, false);
    initiator.offer(&mut TextWriter::default());
    assert_eq!(answer(&mut initiator, b"HeaderDigest=None\0"), Ok(vec![]));
    let error = initiator.finish().unwrap_err();
    assert_eq!(error.to_string(), "`DataDigest=None` does not answer the offer `CRC32C`");
}
