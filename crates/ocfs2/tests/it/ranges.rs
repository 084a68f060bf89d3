//! Parts of files: reads at all borders, data and holes, extents of a range.

use ocfs2::{FileType, Follow, Inode, Seek, Volume};

use crate::support::{block_on, open};

async fn file(volume: &Volume, path: &str) -> Inode {
    volume.resolve(path.as_bytes(), Follow::Last).await.expect("a file")
}

#[test]
fn a_part_is_the_same_as_that_part_of_the_whole() {
    for name in ["a", "c", "d"] {
        block_on(async {
            let volume = open(name).await;
            for path in [
                "/sparse/punched",
                "/unwritten/part",
                "/depth/reverse",
                "/inline/appended",
                "/ext/overwritten",
            ] {
                let inode = file(&volume, path).await;
                let size = inode.attr().size.min(3 << 20);
                let whole = volume.read(&inode, 0, size).await.expect("the whole").to_vec();
                assert_eq!(whole.len() as u64, size);
                for (start, len) in
                    [(0, 1), (1, 4096), (4095, 2), (511, 513), (size / 2, 70_001), (size - 1, 10)]
                {
                    let part = volume.read(&inode, start, len).await.expect("a part");
                    let end = start.saturating_add(len).min(size);
                    let from = usize::try_from(start.min(size)).expect("small");
                    let to = usize::try_from(end.max(start.min(size))).expect("small");
                    if end < size || inode.attr().size == size {
                        assert_eq!(part.to_vec(), &whole[from..to], "{name}{path} {start}+{len}");
                    }
                }
                assert!(volume.read(&inode, inode.attr().size, 100).await.expect("nothing").is_empty());
                assert!(volume.read(&inode, u64::MAX, u64::MAX).await.expect("nothing").is_empty());
            }
        });
    }
}

#[test]
fn data_and_holes_alternate_and_agree_with_the_contents() {
    block_on(async {
        let volume = open("a").await;
        for path in
            ["/sparse/holes", "/sparse/tail-hole", "/sparse/punched", "/unwritten/part", "/inline/appended"]
        {
            let inode = file(&volume, path).await;
            let size = inode.attr().size;
            let whole = volume.read(&inode, 0, size).await.expect("the whole").to_vec();
            let mut at = 0;
            while let Some(data) = volume.seek(&inode, at, Seek::Data).await.expect("data") {
                let zeroes =
                    &whole[usize::try_from(at).expect("small")..usize::try_from(data).expect("small")];
                assert!(zeroes.iter().all(|byte| *byte == 0), "{path}: a hole reads as zeroes");
                let hole = volume.seek(&inode, data, Seek::Hole).await.expect("a hole").expect("an end");
                assert!(hole > data && hole <= size, "{path}");
                assert_eq!(volume.seek(&inode, data, Seek::Data).await.expect("data"), Some(data));
                at = hole;
                if hole == size {
                    break;
                }
                assert_eq!(volume.seek(&inode, hole, Seek::Hole).await.expect("a hole"), Some(hole));
            }
            assert_eq!(volume.seek(&inode, size, Seek::Data).await.expect("past the end"), None);
            assert_eq!(volume.seek(&inode, size, Seek::Hole).await.expect("past the end"), None);
        }
    });
}

#[test]
fn a_range_has_the_extents_that_touch_it() {
    block_on(async {
        let volume = open("c").await;
        let inode = file(&volume, "/depth/alternate").await;
        let mut all = Vec::new();
        let mut map = volume.fiemap(&inode, 0, u64::MAX);
        while let Some(extent) = map.next().await.expect("an extent") {
            all.push(extent);
        }
        assert!(all.len() > 300, "a deep tree");
        assert_eq!(all.iter().filter(|extent| extent.flags & 1 != 0).count(), 1, "one is the last");
        for n in [0, 1, all.len() / 2, all.len() - 2] {
            let (first, second) = (all[n], all[n + 1]);
            let start = first.logical + 1;
            let mut map = volume.fiemap(&inode, start, second.logical + 1 - start);
            assert_eq!(map.next().await.expect("the first"), Some(first));
            assert_eq!(map.next().await.expect("the second"), Some(second));
            assert_eq!(map.next().await.expect("the end"), None);
        }
        assert_eq!(volume.fiemap(&inode, u64::MAX, 1).next().await.expect("nothing"), None);
    });
}

#[test]
fn only_files_are_read() {
    block_on(async {
        let volume = open("a").await;
        let dir = file(&volume, "/ext").await;
        assert_eq!(dir.attr().kind, FileType::Directory);
        assert_eq!(volume.read(&dir, 0, 1).await.expect_err("a directory").errno(), 21);
        assert_eq!(volume.seek(&dir, 0, Seek::Data).await.expect_err("a directory").errno(), 21);
        assert_eq!(volume.readlink(&dir).await.expect_err("a directory").errno(), 22);
        let stat = volume.statfs().await.expect("counts");
        assert_eq!((stat.blocks, stat.block_size), (65536, 4096));
        assert!(stat.free > 0 && stat.free < stat.blocks);
    });
}
