use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;

use super::*;

fn name(text: &str) -> Host {
    Host::Name(text.into())
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("address")
}

/// A name server on loopback that knows san.example and, through an alias, alias.example.
#[allow(clippy::disallowed_methods, reason = "a server of the test's own")]
async fn toy_dns() -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    let address = socket.local_addr().expect("address");
    let task = tokio::task::spawn(async move {
        let mut packet = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut packet).await {
            let query = Message::from_vec(&packet[..len]).expect("query");
            let answer = toy_answer(&query).to_vec().expect("answer");
            socket.send_to(&answer, from).await.expect("send");
        }
    });
    (address, task)
}

fn toy_answer(query: &Message) -> Message {
    let question = query.queries.first().expect("one question").clone();
    let san = Name::from_ascii("san.example.").expect("name");
    let alias = Name::from_ascii("alias.example.").expect("name");
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.add_query(question.clone());
    let wants_a = question.query_type() == RecordType::A;
    if *question.name() == alias {
        answer.add_answer(Record::from_rdata(alias, 60, RData::CNAME(CNAME(san.clone()))));
    } else if *question.name() != san {
        answer.metadata.response_code = ResponseCode::NXDomain;
        return answer;
    }
    if wants_a {
        for last in [7, 8] {
            answer.add_answer(Record::from_rdata(
                san.clone(),
                60,
                RData::A(A(Ipv4Addr::new(10, 0, 0, last))),
            ));
        }
    }
    answer
}

fn with_dns(hosts_file: &std::path::Path, server: SocketAddr, search: &[&str]) -> Resolver {
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![connection]);
    let search = search.iter().map(|name| Name::from_ascii(name).expect("name")).collect();
    let config = ResolverConfig::from_parts(None, search, vec![server]);
    let mut options = ResolverOpts::default();
    options.timeout = Duration::from_secs(2);
    Resolver { fixed_dns: Some((config, options)), ..Resolver::with_files(hosts_file, "/proc/none") }
}

#[test]
fn a_hosts_file_is_read_as_the_c_library_reads_it() {
    let hosts = "\
# a comment
127.0.0.1\tlocalhost
::1 localhost ip6-localhost
10.0.0.1  san1 SAN1.example.com # san3
300.0.0.1 san2
10.0.0.2 san2 san1
10.0.0.1 san1
";
    assert_eq!(addresses_in(hosts, "localhost"), [ip("127.0.0.1"), ip("::1")]);
    assert_eq!(addresses_in(hosts, "san1"), [ip("10.0.0.1"), ip("10.0.0.2")]);
    assert_eq!(addresses_in(hosts, "san1.EXAMPLE.com."), [ip("10.0.0.1")]);
    assert_eq!(addresses_in(hosts, "san2"), [ip("10.0.0.2")]);
    assert!(addresses_in(hosts, "san3").is_empty());
    assert!(addresses_in(hosts, "10.0.0.1").is_empty());
}

#[tokio::test]
async fn addresses_need_no_files() {
    let resolver = Resolver::with_files("/proc/none", "/proc/none");
    let host = Host::Ip(ip("192.0.2.1"));
    assert_eq!(resolver.resolve(&host).await.expect("as given"), [ip("192.0.2.1")]);
}

#[tokio::test]
async fn the_hosts_file_goes_before_dns_and_dns_fills_the_rest() {
    let dir = tempfile::tempdir().expect("dir");
    let hosts = dir.path().join("hosts");
    std::fs::write(&hosts, "10.9.9.9 local.example\n").expect("write");
    let (server, task) = toy_dns().await;
    let resolver = with_dns(&hosts, server, &["example."]);
    let found = resolver.resolve(&name("local.example")).await.expect("hosts file");
    assert_eq!(found, [ip("10.9.9.9")]);
    for host in ["san.example", "san.example.", "alias.example", "san"] {
        let found = resolver.resolve(&name(host)).await.expect(host);
        assert_eq!(found, [ip("10.0.0.7"), ip("10.0.0.8")], "{host}");
    }
    let error = resolver.resolve(&name("other.example")).await.expect_err("nobody knows it");
    assert!(matches!(error, ResolveError::Unknown { .. }), "{error:?}");
    assert!(error.to_string().contains("other.example"));
    task.abort();
}

#[tokio::test]
async fn a_dead_name_server_is_an_error_in_bounded_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("bind");
    let mut resolver = with_dns("/proc/none".as_ref(), silent.local_addr().expect("address"), &[]);
    if let Some((_, options)) = &mut resolver.fixed_dns {
        options.timeout = Duration::from_millis(50);
        options.attempts = 1;
    }
    let error = resolver.resolve(&name("san.example")).await.expect_err("no answer");
    assert!(matches!(error, ResolveError::Dns { .. }), "{error:?}");
}

#[test]
fn a_resolv_conf_is_read_with_its_options() {
    let dir = tempfile::tempdir().expect("dir");
    let conf = dir.path().join("resolv.conf");
    std::fs::write(&conf, "search a.example b.example\nnameserver 192.0.2.53\noptions ndots:2 timeout:1\n")
        .expect("write");
    let (config, options) = Resolver::with_files("/proc/none", &conf).servers("h").expect("parsed");
    assert_eq!(config.name_servers()[0].ip, ip("192.0.2.53"));
    assert_eq!(config.search().len(), 2);
    assert_eq!((options.ndots, options.timeout), (2, Duration::from_secs(1)));
    let (config, _) = Resolver::with_files("/proc/none", "/proc/none").servers("h").expect("default");
    assert_eq!(config.name_servers()[0].ip, ip("127.0.0.1"));
}
