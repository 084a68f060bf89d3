use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<VolumeUrl, UrlError> {
    VolumeUrl::parse(text, &ChapEnv::default())
}

/// Whether somebody logs in by this name and secret.
fn is(login: &Option<Credentials>, name: &str, secret: &str) -> bool {
    login.as_ref().is_some_and(|login| login.name == name && login.secret.same(&Secret::new(secret)))
}

#[test]
fn a_plain_url() {
    let url = parse("iscsi://san.example.com/iqn.2026-11.com.example:vol/7").expect("plain");
    assert_eq!(url.portals, ["san.example.com:3260".parse().expect("portal")]);
    assert_eq!(url.target.as_str(), "iqn.2026-11.com.example:vol");
    assert_eq!(url.lun.number(), 7);
    assert!(url.chap.is_none() && url.mutual_chap.is_none() && url.header_digest.is_none());
}

#[test]
fn login_data_and_options() {
    let url = parse(
        "iscsi://me%a%b:c@10.0.0.1:3261,[::1]/iqn.t%3ax/0?header_digest=crc32c&data_digest=none\
         &target_user=it&target_password=p=q",
    )
    .expect("all of it");
    // The first % parts user and secret; neither is decoded.
    assert!(is(&url.chap, "me", "a%b:c"));
    assert!(is(&url.mutual_chap, "it", "p=q"));
    assert_eq!(url.portals.len(), 2);
    assert_eq!(url.target.as_str(), "iqn.t:x");
    assert_eq!((url.header_digest, url.data_digest), (Some(DigestWish::Crc32c), Some(DigestWish::None)));
    assert_eq!(url.to_string(), "iscsi://10.0.0.1:3261,[::1]:3260/iqn.t:x/0");
}

#[test]
fn a_colon_parts_user_and_secret_where_no_percent_does() {
    assert!(is(&parse("iscsi://me:pw@h/iqn.t/0").expect("colon").chap, "me", "pw"));
    // A slash in the secret is no slash of the path: login data ends at the @.
    assert!(is(&parse("iscsi://me%p/w@h/iqn.t/0").expect("slash").chap, "me", "p/w"));
}

#[test]
fn the_environment_fills_what_the_url_leaves_open() {
    let env = ChapEnv {
        user: Some("env".into()),
        secret: Some(Secret::new("envpw")),
        target_user: Some("tenv".into()),
        target_secret: Some(Secret::new("tpw")),
    };
    let url = VolumeUrl::parse("iscsi://h/iqn.t/0", &env).expect("all from the environment");
    assert!(is(&url.chap, "env", "envpw") && is(&url.mutual_chap, "tenv", "tpw"));
    let url = VolumeUrl::parse("iscsi://me@h/iqn.t/0", &env).expect("secret from the environment");
    assert!(is(&url.chap, "me", "envpw"));
    let url = VolumeUrl::parse("iscsi://me%pw@h/iqn.t/0?target_user=x", &env).expect("mixed");
    assert!(is(&url.chap, "me", "pw") && is(&url.mutual_chap, "x", "tpw"));
    let lone = ChapEnv { user: Some("env".into()), ..ChapEnv::default() };
    assert!(VolumeUrl::parse("iscsi://h/iqn.t/0", &lone).expect("no fault of this url").chap.is_none());
}

#[test]
fn each_fault_is_named() {
    let fault = |text: &str| parse(text).expect_err(text);
    assert_eq!(fault("http://h/iqn.t/0"), UrlError::Scheme);
    assert_eq!(fault("iser://h/iqn.t/0"), UrlError::Iser);
    assert_eq!(fault("iscsi://h/iqn.t/0?iser"), UrlError::Iser);
    assert_eq!(fault("iscsi://h"), UrlError::NoTarget);
    assert_eq!(fault("iscsi://h/"), UrlError::NoTarget);
    assert_eq!(fault("iscsi://h//0"), UrlError::NoTarget);
    assert_eq!(fault("iscsi://h/iqn.t"), UrlError::NoLun);
    assert_eq!(fault("iscsi://h/iqn.t/"), UrlError::NoLun);
    for lun in ["x", "-1", "+1", "16384", "1/2", "0x1"] {
        assert_eq!(fault(&format!("iscsi://h/iqn.t/{lun}")), UrlError::Lun { lun: lun.into() });
    }
    assert!(matches!(fault("iscsi://h/disk/0"), UrlError::Target(_)));
    assert_eq!(fault("iscsi://h/iqn.%ff/0"), UrlError::TargetUtf8);
    assert!(matches!(fault("iscsi:///iqn.t/0"), UrlError::Portal { index: 1, source: PortalError::Empty }));
    assert!(matches!(fault("iscsi://h,/iqn.t/0"), UrlError::Portal { index: 2, .. }));
    assert!(matches!(fault("iscsi://h:3260,1/iqn.t/0"), UrlError::Portal { index: 2, .. }));
    assert_eq!(fault("iscsi://me@h/iqn.t/0"), UrlError::NoSecret { user: "me".into() });
    assert_eq!(fault("iscsi://%pw@h/iqn.t/0"), UrlError::NoUser);
    assert_eq!(fault("iscsi://me%pw@h/iqn.t/0?target_user=x"), UrlError::HalfMutual);
    assert_eq!(fault("iscsi://h/iqn.t/0?target_user=x&target_password=y"), UrlError::MutualAlone);
    assert_eq!(fault("iscsi://h/iqn.t/0?a=b"), UrlError::UnknownOption { key: "a".into() });
    let twice = "iscsi://h/iqn.t/0?data_digest=none&data_digest=none";
    assert!(matches!(fault(twice), UrlError::OptionTwice { .. }));
    assert!(matches!(fault("iscsi://h/iqn.t/0?data_digest"), UrlError::OptionValue { .. }));
}

#[test]
fn no_message_shows_a_secret() {
    let url = parse("iscsi://me%hunter2@h/iqn.t/0?target_user=t&target_password=hunter2").expect("url");
    assert!(!format!("{url} {url:?}").contains("hunter2"));
    for text in ["iscsi://me%hunter2@h", "iscsi://%hunter2@h/iqn.t/0", "x://me%hunter2@h/iqn.t/0"] {
        let error = parse(text).expect_err(text);
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fixtures::cases(512)))]

    #[test]
    fn any_text_is_judged_without_a_panic(text in "\\PC{0,80}") {
        let _ = parse(&text);
        let _ = parse(&format!("iscsi://{text}"));
    }

    #[test]
    fn what_is_shown_parses_to_the_same_place(
        host in "[a-z][a-z0-9-]{0,10}", port in 1u16.., lun in 0u16..=16383, rest in "[a-z0-9:.-]{1,40}",
    ) {
        let url = parse(&format!("iscsi://{host}:{port}/iqn.{rest}/{lun}")).expect("valid");
        let again = parse(&url.to_string()).expect("shown form");
        prop_assert_eq!((again.portals, again.target, again.lun), (url.portals, url.target, url.lun));
    }
}
