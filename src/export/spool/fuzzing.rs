//! The bytes of segments and notes, for the fuzz target: there only when it is built.

use super::super::parcel::Parcel;
use super::format::{HEADER_BYTES, Head, Piece, Pieces, header, read_header, read_notes};

/// A segment of this number that holds these parcels.
#[must_use]
pub fn segment(number: u64, parcels: &[Parcel]) -> Vec<u8> {
    let mut segment = header(number).to_vec();
    for parcel in parcels {
        if let Some(head) = Head::of(parcel, 7) {
            let (encoded, _) = head.encode(number, segment.len());
            segment.extend_from_slice(&encoded);
            segment.extend_from_slice(&parcel.message);
        }
    }
    segment
}

/// The messages that are found in a segment. What is taken for a record is checked to be written
/// there again as it is, and all pieces together to be the whole.
#[must_use]
pub fn messages(segment: &[u8], number: u64) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut at = HEADER_BYTES.min(segment.len());
    // What it says does not matter to the records.
    let _ = read_header(segment, number);
    for piece in Pieces::of(segment, number) {
        match piece {
            Piece::Record { offset, head, message, .. } => {
                assert_eq!(offset, at, "pieces lie one behind the other");
                let (encoded, _) = head.encode(number, offset);
                let rest = segment.get(offset..).unwrap_or_default();
                assert!(rest.starts_with(&encoded), "it is written again as it was");
                assert!(head.is_of(message), "nothing corrupt comes out");
                at += encoded.len() + message.len();
                messages.push(message.to_vec());
            }
            Piece::Damaged { bytes, .. } => {
                assert!(bytes > 0, "it goes on");
                at += bytes;
            }
            Piece::Torn { offset } => {
                assert_eq!(offset, at);
                at = segment.len();
            }
        }
    }
    assert_eq!(at, segment.len(), "nothing is left over");
    messages
}

/// How many notes there are.
#[must_use]
pub fn notes(bytes: &[u8], number: u64) -> usize {
    read_notes(bytes, number).len()
}
