//! Names found: through indexes, along paths, as attributes.

use ocfs2::{Error, Follow, Volume};

use crate::support::{block_on, open};

/// Every name of a directory is found by name, as the inode that the listing names.
async fn all_found(volume: &Volume, path: &str) -> usize {
    let dir = volume.resolve(path.as_bytes(), Follow::Last).await.expect("a directory");
    let (mut position, mut count) = (Some(0), 0);
    while let Some(at) = position {
        let page = volume.readdir(&dir, at).await.expect("a page");
        for entry in &page.entries {
            let found = volume.lookup(&dir, &entry.name).await.expect("a lookup").expect("the name");
            assert_eq!((found.ino, &found.name), (entry.ino, &entry.name));
            count += 1;
        }
        position = page.next;
    }
    assert!(volume.lookup(&dir, b"no such name").await.expect("a lookup").is_none());
    assert!(volume.lookup(&dir, "nö such".as_bytes()).await.expect("a lookup").is_none());
    count
}

#[test]
fn every_name_of_the_large_directories_is_in_the_index() {
    for (name, path, least) in
        [("a", "/big", 5000), ("b", "/main/big", 1000), ("c", "/big", 100), ("d", "/big", 100)]
    {
        block_on(async {
            let volume = open(name).await;
            let count = all_found(&volume, path).await;
            assert!(count > least, "{name}: {count} names in {path}");
        });
    }
}

#[test]
fn odd_names_are_found() {
    block_on(async {
        let volume = open("a").await;
        assert!(all_found(&volume, "/names").await > 10);
        assert!(all_found(&volume, "/").await > 10);
    });
}

#[test]
fn a_listing_goes_on_from_any_entry() {
    block_on(async {
        let volume = open("a").await;
        let dir = volume.resolve(b"/big", Follow::Last).await.expect("a directory");
        let page = volume.readdir(&dir, 0).await.expect("a page");
        for (n, entry) in page.entries.iter().enumerate() {
            let mut rest = volume.readdir(&dir, entry.next).await.expect("a page");
            if let (true, Some(next)) = (rest.entries.is_empty(), rest.next) {
                // Between the last entry and the end of a block lies its trailer.
                rest = volume.readdir(&dir, next).await.expect("a page");
            }
            let next = page.entries.get(n + 1).or(rest.entries.first()).expect("more names");
            assert_eq!(rest.entries.first(), Some(next));
        }
    });
}

#[test]
fn paths_lead_through_symlinks_and_errors_are_those_of_the_system_calls() {
    block_on(async {
        let volume = open("a").await;
        let ino = |path: &'static [u8], follow| {
            let volume = &volume;
            async move { volume.resolve(path, follow).await.map(|inode| inode.ino()) }
        };
        let file = ino(b"/ext/cut", Follow::Last).await.expect("the file");
        assert_eq!(ino(b"ext//./../ext/cut", Follow::NotLast).await.expect("the file"), file);
        assert_eq!(ino(b"/../..", Follow::Last).await.expect("the root"), volume.root());
        let code =
            |result: Result<_, Error>| result.map(|_: ocfs2::BlockNum| ()).expect_err("an error").errno();
        assert_eq!(code(ino(b"/nothing", Follow::Last).await), 2);
        assert_eq!(code(ino(b"/ext/cut/x", Follow::Last).await), 20);
        assert_eq!(code(ino(b"/ext/cut/", Follow::Last).await), 20);
        let long: &'static [u8] = &[b'n'; 256];
        assert_eq!(code(ino(long, Follow::Last).await), 36);
    });
}

#[test]
fn every_attribute_is_found_by_its_name() {
    for (name, top) in [("a", ""), ("b", "/main"), ("c", "")] {
        block_on(async {
            let volume = open(name).await;
            for file in ["xattr/bucket", "xattr/block", "xattr/names", "xattr/dir", "acl/file"] {
                let path = format!("{top}/{file}");
                let inode = volume
                    .resolve(path.as_bytes(), Follow::Last)
                    .await
                    .unwrap_or_else(|e| panic!("{name}{path}: {e}"));
                let all = volume.xattrs(&inode).await.expect("attributes");
                assert!(!all.is_empty(), "{name}{path}");
                for xattr in &all {
                    let listed = volume.xattr_value(&inode, xattr).await.expect("a value");
                    let found = volume.xattr(&inode, xattr.name()).await.expect("the attribute by name");
                    assert_eq!(listed, found);
                }
                let none = volume.xattr(&inode, b"user.none").await.expect_err("no such attribute");
                assert_eq!(none.errno(), 61);
            }
        });
    }
}
