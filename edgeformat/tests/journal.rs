//! A journal is read up to its last whole line; anything damaged before is refused with its line.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use edgeformat::journal::{Batch, LINE_LEN_MAX, Reader, write_header, write_lines};
use edgeformat::{Change, StreamId};
use proptest::prelude::*;

const STREAM: StreamId = StreamId::from_u64(0xaa);

fn revoked(number: u64) -> Change {
    format!("+r:{:016X}:0:revoked", 0x4100_0001_0000_0000_u64 + number).parse().unwrap()
}

fn changes(count: u64) -> Vec<Change> {
    (0..count).map(revoked).collect()
}

/// Three lines after sequence 10: one, two and three changes.
fn journal() -> String {
    let mut text = write_header(STREAM, 10);
    for (from, count) in [(10, 1), (11, 2), (13, 3)] {
        text += &write_lines(STREAM, from, changes(count));
    }
    text
}

fn read(reader: &mut Reader, bytes: &[u8]) -> Result<(usize, Vec<Batch>), String> {
    let (mut batches, before) = (Vec::new(), reader.offset());
    reader.read(bytes, |batch| batches.push(batch)).map_err(|error| error.to_string())?;
    Ok((usize::try_from(reader.offset() - before).unwrap(), batches))
}

fn error_of(text: &str) -> String {
    read(&mut Reader::default(), text.as_bytes()).unwrap_err()
}

#[test]
fn what_was_written_is_read() {
    let mut reader = Reader::default();
    let (taken, batches) = read(&mut reader, journal().as_bytes()).unwrap();
    assert_eq!(taken, journal().len());
    let found: Vec<_> = batches.iter().map(|batch| (batch.from, batch.to, batch.changes.len())).collect();
    assert_eq!(found, [(10, 11, 1), (11, 13, 2), (13, 16, 3)]);
    assert_eq!((reader.header().unwrap().after, reader.end()), (10, 16));
}

#[test]
fn a_line_that_is_not_whole_yet_is_left_for_later() {
    let text = journal();
    let text = text.as_bytes();
    for cut in 0..text.len() {
        let mut reader = Reader::default();
        let (taken, mut batches) = read(&mut reader, &text[..cut]).unwrap();
        assert!(taken <= cut);
        let (rest, more) = read(&mut reader, &text[taken..]).unwrap();
        batches.extend(more);
        assert_eq!((taken + rest, batches.len(), reader.end()), (text.len(), 3, 16), "cut at {cut}");
    }
}

#[test]
fn many_changes_become_lines_that_fit_a_command() {
    let text = write_lines(STREAM, 0, changes(2000));
    assert!(text.lines().count() > 3 && text.lines().all(|line| line.len() < LINE_LEN_MAX));
    let mut reader = Reader::default();
    let (_, batches) = read(&mut reader, (write_header(STREAM, 0) + &text).as_bytes()).unwrap();
    assert_eq!(batches.into_iter().flat_map(|batch| batch.changes).collect::<Vec<_>>(), changes(2000));
}

#[test]
fn a_lost_line_a_line_of_another_stream_and_a_wrong_head_are_damage() {
    let text = journal();
    let lines: Vec<&str> = text.lines().collect();
    let without_second = [lines[0], lines[1], lines[2], lines[4], ""].join("\n");
    assert!(error_of(&without_second).starts_with("line 4: the line begins after 13"), "{without_second}");
    let foreign = write_header(STREAM, 10) + &write_lines(StreamId::from_u64(0xbb), 10, changes(1));
    assert!(error_of(&foreign).contains("line 3: the line does not match its checksum"));
    for head in ["", "# suiftly journal format=2 stream=1 after=1", "# suiftly journal format=1 after=1"] {
        assert!(error_of(&format!("{head}\n")).starts_with("line 1: the first line must be"), "{head}");
    }
    assert!(
        error_of(&format!("{}{}\n", write_header(STREAM, 1), "x".repeat(LINE_LEN_MAX + 1)))
            .contains("longer")
    );
}

#[test]
fn a_count_that_does_not_fit_the_sequence_is_damage() {
    let line = write_lines(STREAM, 10, changes(1));
    let (_, rest) = line.split_once(" 11 ").unwrap();
    let changes = rest.split(' ').nth(1).unwrap().trim_end();
    let sum = edgeformat::digest_of_bytes(format!("{STREAM} 10 12 {changes}").as_bytes());
    let text = format!("{}10 12 {sum:016x} {changes}\n", write_header(STREAM, 10));
    assert_eq!(error_of(&text), "line 3: 1 changes do not lead from 10 to 12");
}

proptest! {
    /// One changed byte anywhere but in a comment is damage, or makes the last line unfinished.
    #[test]
    fn no_changed_byte_goes_unseen(at in 0_usize..600, byte in any::<u8>()) {
        let mut bytes = journal().into_bytes();
        let comment = write_header(STREAM, 10).lines().next().unwrap().len() + 1..write_header(STREAM, 10).len();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != byte && !comment.contains(&at));
        bytes[at] = byte;
        let mut reader = Reader::default();
        match read(&mut reader, &bytes) {
            Err(_) => {}
            // A broken line feed at the very end: the last line is not whole any more.
            Ok((taken, batches)) => prop_assert!(taken < bytes.len(), "{batches:?}"),
        }
    }
}
