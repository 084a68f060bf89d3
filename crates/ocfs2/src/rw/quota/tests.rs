//! Charges beside plain maps, on volumes of the kernel and of `mkfs.ocfs2`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use block::IoFuture;
use fixtures::Random;
use ocfs2_format::quota::QuotaKind::{Group, User};
use ocfs2_format::{BlockNum, Timestamp};

use super::charge::{Bill, Cost};
use super::*;
use crate::test_volume::{TestVolume, block_on};
use crate::{Clock, SetAttr, Writable};

/// Space and inodes of each id.
type Model = BTreeMap<(QuotaKind, u32), (i64, i64)>;

const INODE: Cost = Cost { bytes: 0, inodes: 1 };

/// A clock that stands until it is set.
#[derive(Debug)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp { seconds: self.0.load(Ordering::Relaxed), nanos: 0 }
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, _time: Duration) -> IoFuture<'_, ()> {
        IoFuture::boxed(std::future::pending())
    }
}

async fn fresh(block: u32, more: &[&str]) -> Option<TestVolume> {
    let block = block.to_string();
    let cluster = if block == "4096" { "65536" } else { "4096" };
    let features = "--fs-features=usrquota,grpquota";
    let options = ["-b", block.as_str(), "-C", cluster, features];
    TestVolume::fresh(100, &[&options[..], more].concat()).await
}

/// An operation that does nothing but charge.
async fn charge(fs: &Writable, owners: (u32, u32), cost: Cost) -> Result<(), Error> {
    let mut op = fs.operation();
    loop {
        let mut change = op.begin().await?;
        let steps = async {
            change.charge(User, owners.0, cost).await?;
            change.charge(Group, owners.1, cost).await
        };
        let done = steps.await;
        if change.end(done).await?.is_some() {
            return Ok(());
        }
    }
}

fn add(model: &mut Model, (uid, gid): (u32, u32), cost: Cost) {
    for key in [(User, uid), (Group, gid)] {
        let of = model.entry(key).or_default();
        *of = (of.0 + cost.bytes, of.1 + cost.inodes);
    }
}

async fn usage_of(fs: &Writable, kind: QuotaKind, id: u32) -> (i64, i64) {
    let status = fs.quota(kind, id).await.unwrap();
    (status.space.cast_signed(), status.inodes.cast_signed())
}

/// All that the volume knows.
async fn all(fs: &Writable) -> Model {
    let mut model = Model::new();
    for kind in [User, Group] {
        let mut from = Some(0);
        while let Some(at) = from {
            let Some(status) = fs.next_quota(kind, at).await.unwrap() else { break };
            assert!(status.id >= at);
            model.insert((kind, status.id), (status.space.cast_signed(), status.inodes.cast_signed()));
            from = status.id.checked_add(1);
        }
    }
    model
}

fn without_zeros(model: Model) -> Model {
    model.into_iter().filter(|(_, used)| *used != (0, 0)).collect()
}

/// Ids from all over the range, some of them neighbours.
fn ids(random: &mut Random, count: usize) -> Vec<u32> {
    let mut ids = vec![0, 1, u32::MAX, u32::MAX - 1, 1 << 31];
    while ids.len() < count {
        let any = u32::try_from(random.below(1 << 32)).unwrap();
        ids.extend([any >> random.below(32), any]);
    }
    ids
}

async fn inodes(fs: &Writable) -> Vec<BlockNum> {
    let mut inos = Vec::new();
    let mut walk = fs.volume().walk(fs.volume().inode(fs.volume().root()).await.unwrap());
    while let Some(entry) = walk.next().await {
        let inode = entry.unwrap().inode;
        if inode.attr().flags & 0x30 == 0 {
            inos.push(inode.ino());
        }
    }
    inos
}

#[test]
fn chown_moves_what_a_kernels_files_use() {
    block_on(async {
        let volume = TestVolume::fixture("b").await;
        let mut random = Random::new(10);
        let crash = async |fs: &Writable, mut model: Model, random: &mut Random| {
            let inos = inodes(fs).await;
            let ids = [0, 1001, 1002, 65_536, u32::MAX, 77, 78];
            for _ in 0..150 {
                let ino = inos[random.below(inos.len())];
                let bill = Bill::of(fs.volume().meta(), ino).await.unwrap();
                let owners = (ids[random.below(ids.len())], ids[random.below(ids.len())]);
                let set = SetAttr { uid: Some(owners.0), gid: Some(owners.1), ..SetAttr::default() };
                fs.setattr(ino, &set).await.unwrap();
                match bill {
                    Some(Bill { uid, gid, cost }) => {
                        add(&mut model, (uid, gid), cost.back());
                        add(&mut model, owners, cost);
                    }
                    None => assert_eq!(ino, fs.volume().root()),
                }
                if random.below(40) == 0 {
                    fs.sync_quotas().await.unwrap();
                }
            }
            assert_eq!(without_zeros(all(fs).await), without_zeros(model.clone()));
            model
        };
        let model = volume.crashed(async |fs| crash(fs, all(fs).await, &mut random).await).await;
        let model = volume.crashed(async |fs| crash(fs, model, &mut random).await).await;
        volume.written(async |fs| crash(fs, model, &mut random).await).await;
        volume.assert_counted().await;
    });
}

/// Charges at random on a fresh volume, in three lives, and all of it back at the end.
async fn lives(volume: &TestVolume, random: &mut Random, count: usize, steps: usize) {
    let ids = ids(random, count);
    let before = volume.written(async |fs| all(fs).await).await;
    let mut model = before.clone();
    for life in 0..3 {
        let mut work = async |fs: &Writable| {
            assert_eq!(without_zeros(all(fs).await), without_zeros(model.clone()), "life {life}");
            for step in 0..steps {
                let owners = (ids[random.below(ids.len())], ids[random.below(ids.len())]);
                let cost = Cost { bytes: 4096 * (random.below(9) as i64 - 3), inodes: 1 };
                charge(fs, owners, cost).await.unwrap();
                add(&mut model, owners, cost);
                if step % 199 == 198 {
                    fs.sync_quotas().await.unwrap();
                }
            }
            let (uid, gid) = (ids[random.below(ids.len())], ids[random.below(ids.len())]);
            for key in [(User, uid), (Group, gid)] {
                let used = model.get(&key).copied().unwrap_or_default();
                let shown = (used.0.max(0), used.1.max(0));
                assert_eq!(usage_of(fs, key.0, key.1).await, shown, "{key:?}");
            }
        };
        // What is less than nothing is shown as nothing: none of it is left at the end of a life.
        let lift = async |fs: &Writable, model: &mut Model| {
            let low: Vec<_> =
                model.iter().filter(|(_, used)| used.0 < 0).map(|(key, used)| (*key, *used)).collect();
            for ((kind, id), (space, _)) in low {
                let owners = if kind == User { (id, 0) } else { (0, id) };
                let cost = Cost { bytes: -space, inodes: 0 };
                charge(fs, owners, cost).await.unwrap();
                add(model, owners, cost);
            }
        };
        if life < 2 {
            volume.crashed(async |fs| work(fs).await).await;
        } else {
            volume.written(async |fs| work(fs).await).await;
        }
        volume.written(async |fs| lift(fs, &mut model).await).await;
    }
    volume
        .written(async |fs| {
            for (key, used) in model.clone() {
                let was = before.get(&key).copied().unwrap_or_default();
                let cost = Cost { bytes: was.0 - used.0, inodes: was.1 - used.1 };
                let quota = fs.quotas().of(key.0).unwrap().kind;
                charge_one(fs, quota, key.1, cost).await;
            }
        })
        .await;
    let after = volume.written(async |fs| all(fs).await).await;
    assert_eq!(after, before, "ids that use nothing are no more");
    volume.assert_counted().await;
}

/// Charges only the user, or only the group.
async fn charge_one(fs: &Writable, kind: QuotaKind, id: u32, cost: Cost) {
    let mut op = fs.operation();
    loop {
        let mut change = op.begin().await.unwrap();
        let done = change.charge(kind, id, cost).await;
        if change.end(done).await.unwrap().is_some() {
            return;
        }
    }
}

#[test]
fn many_lives_on_volumes_of_all_block_sizes() {
    for block in [512, 1024, 2048, 4096] {
        block_on(async {
            let Some(volume) = fresh(block, &["-J", "size=4M"]).await else { return };
            lives(&volume, &mut Random::new(u64::from(block)), 150, 400).await;
        });
    }
}

/// The tree grows at every level, and the leaves and chunks are many.
#[test]
fn ten_thousand_ids() {
    for block in [512, 4096] {
        block_on(async {
            let Some(volume) = fresh(block, &[]).await else { return };
            let mut random = Random::new(11);
            let ids = ids(&mut random, 10_000);
            let before = volume.written(async |fs| all(fs).await).await;
            let mut model = before.clone();
            let cost = Cost { bytes: 4096, inodes: 1 };
            let mut work = async |fs: &Writable| {
                for id in &ids {
                    charge_one(fs, User, *id, cost).await;
                    let of = model.entry((User, *id)).or_default();
                    *of = (of.0 + cost.bytes, of.1 + cost.inodes);
                }
            };
            volume.crashed(async |fs| work(fs).await).await;
            volume
                .written(async |fs| {
                    assert_eq!(all(fs).await, model);
                    for id in &ids {
                        charge_one(fs, User, *id, cost.back()).await;
                    }
                })
                .await;
            volume.assert_counted().await;
            let after = volume.written(async |fs| all(fs).await).await;
            assert_eq!(after, before);
        });
    }
}

#[test]
fn limits_and_graces_are_kept() {
    block_on(async {
        let Some(volume) = fresh(4096, &[]).await else { return };
        let clock = Arc::new(Hand(AtomicI64::new(1_000_000)));
        let fs = volume.writable(Arc::clone(&clock) as Arc<dyn Clock>).await;
        let work = async {
            let graces = QuotaGraces { space_s: 100, inodes_s: 50 };
            fs.set_quota_graces(User, graces).await.unwrap();
            assert_eq!(fs.quota_graces(User).await.unwrap(), graces);
            let limits =
                QuotaLimits { space_hard: 1 << 20, space_soft: 1 << 19, inodes_hard: 10, inodes_soft: 5 };
            fs.set_quota(User, 7, limits).await.unwrap();
            let space = |bytes| Cost { bytes, inodes: 0 };
            charge(&fs, (7, 7), space(1 << 19)).await.unwrap();
            assert_eq!(fs.quota(User, 7).await.unwrap().space_grace_end, None);
            charge(&fs, (7, 7), space(1 << 16)).await.unwrap();
            assert_eq!(fs.quota(User, 7).await.unwrap().space_grace_end, Some(1_000_100));
            let refused = charge(&fs, (7, 7), space(1 << 19)).await.unwrap_err();
            assert_eq!(refused.errno(), 122);
            assert_eq!(
                refused.to_string(),
                "user 7: the quota allows 1048576 bytes, and it would have 1114112"
            );
            assert_eq!(usage_of(&fs, Group, 7).await, ((1 << 19) + (1 << 16), 0), "nothing was charged");
            fs.ignoring_quota_limits().charge_for_test((7, 7), space(1 << 20)).await;
            charge(&fs, (7, 7), space(-(1 << 20))).await.unwrap();
            fs.sync_quotas().await.unwrap();
            clock.0.store(1_000_099, Ordering::Relaxed);
            charge(&fs, (7, 7), space(4096)).await.unwrap();
            clock.0.store(1_000_100, Ordering::Relaxed);
            let refused = charge(&fs, (7, 7), space(4096)).await.unwrap_err();
            assert!(matches!(refused, Error::Quota { limit: 0x8_0000, what: "bytes", .. }), "{refused}");
            charge(&fs, (7, 7), INODE).await.unwrap();
            charge(&fs, (7, 7), space(-(1 << 18))).await.unwrap();
            assert_eq!(fs.quota(User, 7).await.unwrap().space_grace_end, None, "below: forgotten");
            charge(&fs, (7, 7), Cost { bytes: 0, inodes: 9 }).await.unwrap();
            let refused = charge(&fs, (7, 7), INODE).await.unwrap_err();
            assert!(matches!(refused, Error::Quota { limit: 10, usage: 11, .. }), "{refused}");
            assert_eq!(fs.quota(User, 7).await.unwrap().inodes_grace_end, Some(1_000_150));
            let status = fs.quota(User, 7).await.unwrap();
            charge(&fs, (7, 7), Cost { bytes: -status.space.cast_signed(), inodes: -10 }).await.unwrap();
            fs.close().await.unwrap();
        };
        futures_util::future::join(fs.drive(), work).await;
        volume
            .written(async |fs| {
                let status = fs.quota(User, 7).await.unwrap();
                assert_eq!((status.limits.inodes_hard, status.space, status.inodes_grace_end), (10, 0, None));
                fs.set_quota(User, 7, QuotaLimits::default()).await.unwrap();
                assert!(fs.next_quota(User, 1).await.unwrap().is_none());
            })
            .await;
        volume.assert_counted().await;
    });
}

impl Writable {
    async fn charge_for_test(&self, owners: (u32, u32), cost: Cost) {
        charge(self, owners, cost).await.unwrap();
    }
}

#[test]
fn ids_that_nobody_charges_are_given_up_after_some_syncs() {
    block_on(async {
        let Some(volume) = fresh(1024, &[]).await else { return };
        volume
            .written(async |fs| {
                charge(fs, (5, 6), INODE).await.unwrap();
                charge(fs, (5, 6), INODE.back()).await.unwrap();
                for _ in 0..6 {
                    fs.sync_quotas().await.unwrap();
                    assert!(fs.quotas().of(User).unwrap().known(5).is_some());
                }
                fs.sync_quotas().await.unwrap();
                assert!(fs.quotas().of(User).unwrap().known(5).is_none());
                assert!(
                    fs.next_quota(User, 1).await.unwrap().is_none(),
                    "an entry that says nothing is removed"
                );
            })
            .await;
        volume.assert_counted().await;
    });
}

#[test]
fn what_is_closed_or_has_no_quotas_says_so() {
    block_on(async {
        let volume = TestVolume::fixture("c").await;
        volume
            .written(async |fs| {
                let none = fs.quota(User, 0).await.unwrap_err();
                assert!(matches!(none, Error::NoQuota { kind: User }) && none.errno() == 3, "{none}");
                charge(fs, (1, 1), INODE).await.unwrap();
            })
            .await;
        let Some(volume) = fresh(2048, &[]).await else { return };
        let fs = volume.written(async |fs| fs.clone()).await;
        assert!(matches!(charge(&fs, (1, 1), INODE).await.unwrap_err(), Error::Closed));
    });
}
