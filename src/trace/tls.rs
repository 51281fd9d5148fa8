//! Reading the name that a TLS client asks for from its first message, the `ClientHello`.
//!
//! Connections that the application encrypts pass as they are; the server name (RFC 6066,
//! section 3) is all that can be known of where they go. The hello may come in any pieces: of
//! segments, and of records (RFC 8446, section 5.1). With Encrypted `ClientHello` the name is the
//! outer one, which is the one that anybody sees. Nothing here checks a handshake: of a hello that
//! makes no sense there is no name.

use super::dns;

/// The most bytes of a hello, with the heads of its records, that are looked at; what needs more
/// has no name. Hellos with post-quantum keys have some 1.8 KiB.
pub const MAX_HELLO: usize = 16 * 1_024;

/// What is known of a connection's first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hello<'a> {
    /// They are not the start of TLS.
    NotTls,
    /// They may be, or are, but the hello is not over.
    NeedMore,
    /// They are, and no more is to be known.
    Tls {
        /// The DNS name that the client asks for, as it wrote it.
        server_name: Option<&'a str>,
    },
}

/// A `ClientHello` that comes in pieces.
#[derive(Debug, Default)]
pub struct ClientHello {
    stage: Stage,
    /// The first bytes, while it is open whether they are TLS.
    opening: Vec<u8>,
    /// The head of a record of which not all has come.
    head: Vec<u8>,
    /// How much of the current record has not come.
    left: usize,
    /// How many bytes have come.
    total: usize,
    /// The handshake message so far.
    message: Vec<u8>,
}

#[derive(Debug, Default)]
enum Stage {
    /// It is not known whether it is TLS.
    #[default]
    Opening,
    /// It is TLS, and the hello is not whole.
    Reading,
    NotTls,
    Over(Option<String>),
}

/// The content type of handshake messages.
const HANDSHAKE: u8 = 22;
/// The handshake type of the hello.
const CLIENT_HELLO: u8 = 1;
/// Bytes of the head of a record: type, version, length.
const RECORD_HEAD: usize = 5;
/// Bytes of the head of a handshake message: type, length.
const MESSAGE_HEAD: usize = 4;
/// The most bytes of a record before it is encrypted.
const MAX_RECORD: usize = 1 << 14;
/// The extension of the server name, and the one kind of name that there is.
const SERVER_NAME: usize = 0;
const HOST_NAME: u8 = 0;

/// Whether these are the first bytes of a TLS connection of any version; `None` while they could
/// be either. The hello of SSL 2.0 is not.
#[must_use]
pub fn begins_tls(first: &[u8]) -> Option<bool> {
    let is_possible = first.iter().zip(0..).all(|(byte, at)| match at {
        0 => *byte == HANDSHAKE,
        1 => *byte == 3,
        2 => *byte <= 4,
        // A record is neither empty nor larger than it may be.
        3 => usize::from(*byte) <= MAX_RECORD >> 8,
        4 => record_length(first.get(3), first.get(4)).is_some(),
        RECORD_HEAD => *byte == CLIENT_HELLO,
        _ => true,
    });
    match is_possible {
        false => Some(false),
        true => (first.len() > RECORD_HEAD).then_some(true),
    }
}

/// The length of a record, if it may have it.
fn record_length(high: Option<&u8>, low: Option<&u8>) -> Option<usize> {
    let length = usize::from(*high?) << 8 | usize::from(*low?);
    (1..=MAX_RECORD).contains(&length).then_some(length)
}

impl ClientHello {
    /// Reads the next bytes of the connection, and tells what is known now. What comes after the
    /// hello changes nothing.
    pub fn push(&mut self, bytes: &[u8]) -> Hello<'_> {
        match self.stage {
            Stage::Opening => self.open(bytes),
            Stage::Reading => self.read(bytes),
            Stage::NotTls | Stage::Over(_) => {}
        }
        match &self.stage {
            Stage::Opening | Stage::Reading => Hello::NeedMore,
            Stage::NotTls => Hello::NotTls,
            Stage::Over(name) => Hello::Tls { server_name: name.as_deref() },
        }
    }

    fn open(&mut self, bytes: &[u8]) {
        let wanted = (RECORD_HEAD + 1).saturating_sub(self.opening.len());
        let (opening, rest) = bytes.split_at_checked(wanted).unwrap_or((bytes, &[]));
        self.opening.extend_from_slice(opening);
        match begins_tls(&self.opening) {
            None => {}
            Some(false) => self.stage = Stage::NotTls,
            Some(true) => {
                self.stage = Stage::Reading;
                let opening = std::mem::take(&mut self.opening);
                self.read(&opening);
                self.read(rest);
            }
        }
    }

    /// Takes the records apart, until the message in them is whole.
    fn read(&mut self, mut bytes: &[u8]) {
        while let (Stage::Reading, [first, rest @ ..]) = (&self.stage, bytes) {
            if self.total >= MAX_HELLO {
                return self.end(None);
            }
            if self.left == 0 {
                self.head.push(*first);
                self.total += 1;
                bytes = rest;
                self.finish_head();
                continue;
            }
            let room = self.left.min(MAX_HELLO - self.total);
            let (taken, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.message.extend_from_slice(taken);
            self.left -= taken.len();
            self.total += taken.len();
            bytes = rest;
            self.finish_message();
        }
    }

    /// Goes on with a record if its head is whole.
    fn finish_head(&mut self) {
        let [kind, _, _, high, low] = self.head.as_slice() else { return };
        match record_length(Some(high), Some(low)).filter(|_| *kind == HANDSHAKE) {
            Some(length) => self.left = length,
            None => return self.end(None),
        }
        self.head.clear();
    }

    /// Ends if the message is whole, or will not be within the bound.
    fn finish_message(&mut self) {
        let Some(([_, length @ ..], body)) = self.message.split_first_chunk::<MESSAGE_HEAD>()
        else {
            return;
        };
        let length = length.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
        if let Some(body) = body.get(..length) {
            let name = server_name(body).map(str::to_owned);
            self.end(name);
        } else if length > MAX_HELLO {
            self.end(None);
        }
    }

    /// Nothing more is looked at, so nothing more is kept.
    fn end(&mut self, name: Option<String>) {
        *self = Self { stage: Stage::Over(name), ..Self::default() };
    }
}

/// The name in the body of a hello (RFC 8446, section 4.1.2), if it is one.
fn server_name(body: &[u8]) -> Option<&str> {
    const VERSION_AND_RANDOM: usize = 2 + 32;
    let mut hello = Fields(body);
    hello.take(VERSION_AND_RANDOM)?;
    let _session = hello.sized(1)?;
    let _cipher_suites = hello.sized(2)?;
    let _compressions = hello.sized(1)?;
    let mut extensions = Fields(hello.sized(2)?);
    let mut names = None;
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let content = extensions.sized(2)?;
        // A hello that has it twice might be read in two ways.
        if kind == SERVER_NAME && names.replace(content).is_some() {
            return None;
        }
    }
    let mut names = Fields(Fields(names?).sized(2)?);
    loop {
        let kind = *names.take(1)?.first()?;
        let name = names.sized(2)?;
        if kind == HOST_NAME {
            return dns_name(name);
        }
    }
}

/// The text of a DNS name, without the last dot; `None` if it is none, or an address.
fn dns_name(name: &[u8]) -> Option<&str> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    std::str::from_utf8(name).ok().filter(|name| dns::is_name(name.as_bytes()))
}

/// Fields of a message that have not been read.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of so many bytes.
    fn number(&mut self, width: usize) -> Option<usize> {
        let bytes = self.take(width)?;
        Some(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// A field behind its length, which has so many bytes.
    fn sized(&mut self, width: usize) -> Option<&'a [u8]> {
        let length = self.number(width)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::crypto::aws_lc_rs::{default_provider, kx_group};

    /// Hellos that OpenSSL 3.0 made: of TLS 1.0, 1.2 and 1.3, and of 1.2 without a name.
    const OPENSSL: [(&str, Option<&str>); 4] = [
        (
            "16030100510100004d030130e4f1da64f5793e89c06a58f5970c6a80b1c3609fee714be14cf2440163bd\
             d7000004002f00ff0100002000000010000e00000b6f6c642e6578616d706c6500230000001600000017\
             0000",
            Some("old.example"),
        ),
        (
            "160301009b010000970303406521c8990e530744ace596b835e4b51cd32e544a83c9f663ed11f0f67b53\
             91000004c02f00ff0100006a00000014001200000f64622e73686f702e6578616d706c65000b00040300\
             0102000a000c000a001d0017001e00190018002300000016000000170000000d002a0028040305030603\
             080708080809080a080b080408050806040105010601030303010302040205020602",
            Some("db.shop.example"),
        ),
        (
            "16030100fe010000fa03035e87df3e4def7c4f4926ffb667a9bedfcc216e3ca3e8f88c2714fec2c61752\
             04206094f78b4f992ec1e620b70c3116bf5de870ef10a3fa9324f2df97624c26ba6f0008130213031301\
             00ff010000a90000001500130000106170692e73686f702e6578616d706c65000b000403000102000a00\
             160014001d0017001e001900180100010101020103010400230000001000050003026832001600000017\
             0000000d001e001c040305030603080708080809080a080b080408050806040105010601002b00030203\
             04002d00020101003300260024001d00206f6b2745eec99d8a268178681c09233decf39494fa4054ebb6\
             c204f7dd985361",
            Some("api.shop.example"),
        ),
        (
            "16030100830100007f03034410baee7ecb6f6ade9802e85d6580b3f79fcaabc6502e4a762b8840615d5f\
             87000004c02f00ff01000052000b000403000102000a000c000a001d0017001e00190018002300000016\
             000000170000000d002a0028040305030603080708080809080a080b0804080508060401050106010303\
             03010302040205020602",
            None,
        ),
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<_> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).unwrap()).collect()
    }

    /// What is known after all of it came in pieces of `size` bytes.
    fn read(hello: &[u8], size: usize) -> Result<Option<String>, String> {
        let mut reader = ClientHello::default();
        for piece in hello.chunks(size) {
            reader.push(piece);
        }
        match reader.push(b"") {
            Hello::Tls { server_name } => Ok(server_name.map(str::to_owned)),
            other => Err(format!("{other:?}")),
        }
    }

    fn name(hello: &[u8]) -> Option<String> {
        read(hello, usize::MAX).expect("it is a whole hello")
    }

    /// A handshake message in records of at most `size` bytes.
    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let record = |piece: &[u8]| {
            let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
            [&[HANDSHAKE, 3, 1], &length[..], piece].concat()
        };
        message.chunks(size).flat_map(record).collect()
    }

    fn sized(width: usize, content: &[u8]) -> Vec<u8> {
        let length = (content.len() as u64).to_be_bytes();
        [&length[8 - width..], content].concat()
    }

    fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &sized(2, content)].concat()
    }

    fn naming(name: &[u8]) -> Vec<u8> {
        extension(0, &sized(2, &[&[0][..], &sized(2, name)].concat()))
    }

    /// A hello with these extensions.
    fn message(extensions: &[Vec<u8>]) -> Vec<u8> {
        let fixed = [&[3, 3][..], &[7; 32], &sized(1, &[9; 32]), &sized(2, &[0x13, 1, 0x0a, 0x0a])];
        let body = [&fixed.concat()[..], &sized(1, &[0]), &sized(2, &extensions.concat())].concat();
        [&[CLIENT_HELLO][..], &sized(3, &body)].concat()
    }

    fn hello(extensions: &[Vec<u8>]) -> Vec<u8> {
        records(&message(extensions), MAX_RECORD)
    }

    #[test]
    fn hellos_of_openssl_are_read_in_pieces_of_any_size() {
        for (hex, expected) in OPENSSL {
            let hello = bytes(hex);
            for size in [1, 2, 3, 5, 6, 7, 64, usize::MAX] {
                assert_eq!(read(&hello, size), Ok(expected.map(str::to_owned)), "{size}");
            }
            let mut reader = ClientHello::default();
            assert_eq!(reader.push(&hello[..hello.len() - 1]), Hello::NeedMore);
            let before = records(&hello[RECORD_HEAD..], 40);
            assert_eq!(read(&before, 1), Ok(expected.map(str::to_owned)), "over records");
        }
    }

    #[test]
    fn a_hello_of_rustls_with_post_quantum_keys_is_read() {
        let mut provider = default_provider();
        provider.kx_groups = vec![kx_group::X25519MLKEM768];
        let builder = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap();
        let config =
            builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let server = "pay.shop.example".try_into().unwrap();
        let mut client = rustls::ClientConnection::new(config.into(), server).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        assert!(hello.len() > 1_300, "{} bytes", hello.len());
        for size in [1, 1_200, usize::MAX] {
            assert_eq!(read(&hello, size), Ok(Some("pay.shop.example".to_owned())));
        }
    }

    #[test]
    fn values_that_mean_nothing_are_passed_over() {
        let grease = extension(0x3a3a, b"\0");
        let outer = extension(0xfe0d, &[0; 250]);
        let all = [grease.clone(), outer, naming(b"front.example"), grease];
        assert_eq!(name(&hello(&all)).as_deref(), Some("front.example"));
        assert_eq!(name(&hello(&[])), None);
    }

    #[test]
    fn what_is_no_name_is_none() {
        let long = [&[b'a'; 64][..], b".example"].concat();
        let very_long = b"abcdefg.".repeat(40);
        let bad: [&[u8]; 12] = [
            b"",
            b".",
            b"a..b",
            b"10.0.0.1",
            b"a.1",
            b"::1",
            b"[::1]",
            b"a b",
            b"a\0b",
            b"\xc3\xa4.de",
            &long,
            &very_long,
        ];
        for bad in bad {
            assert_eq!(name(&hello(&[naming(bad)])), None, "{}", bad.escape_ascii());
        }
        for (good, expected) in [("a", "a"), ("A_b-1.x9.", "A_b-1.x9")] {
            assert_eq!(name(&hello(&[naming(good.as_bytes())])).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_hello_that_names_two_servers_names_none() {
        assert_eq!(name(&hello(&[naming(b"a.example"), naming(b"b.example")])), None);
    }

    #[test]
    fn a_hello_that_breaks_off_within_a_field_has_no_name() {
        let whole = message(&[naming(b"a.example")]);
        for cut in MESSAGE_HEAD..whole.len() {
            let short = [&[CLIENT_HELLO][..], &sized(3, &whole[MESSAGE_HEAD..cut])].concat();
            assert_eq!(name(&records(&short, MAX_RECORD)), None, "{cut}");
        }
    }

    #[test]
    fn what_does_not_begin_as_tls_is_not() {
        let not: [&[u8]; 10] = [
            b"G",
            b"\x80\x2e\x01\x00\x02", // SSL 2.0
            b"\x15",                 // an alert
            b"\x16\x02",
            b"\x16\x03\x05",
            b"\x16\x03\x01\x40\x01", // too large
            b"\x16\x03\x01\x41",
            b"\x16\x03\x01\x00\x00", // empty
            b"\x16\x03\x01\x00\x20\x02",
            b"\x16\xfe\xfd\x00\x00\x00", // DTLS
        ];
        for first in not {
            assert_eq!(begins_tls(first), Some(false), "{}", first.escape_ascii());
            assert_eq!(read(first, 1), Err("NotTls".to_owned()));
        }
        let (hex, _) = OPENSSL[0];
        let hello = bytes(hex);
        for end in 0..6 {
            assert_eq!(begins_tls(&hello[..end]), None);
        }
        assert_eq!((begins_tls(&hello[..6]), begins_tls(&hello)), (Some(true), Some(true)));
    }

    #[test]
    fn another_record_amid_a_hello_ends_the_reading() {
        let whole = hello(&[naming(b"a.example")]);
        let message = &whole[RECORD_HEAD..];
        let first = records(&message[..50], MAX_RECORD);
        for second in [&b"\x15\x03\x01\x00\x02"[..], b"\x16\x03\x01\x00\x00"] {
            assert_eq!(name(&[&first, second].concat()), None);
        }
    }

    #[test]
    fn what_is_looked_at_has_a_bound() {
        let padding = |length| extension(21, &vec![0; length]);
        let fits = [padding(MAX_HELLO - 200), naming(b"a.example")];
        assert_eq!(name(&hello(&fits)).as_deref(), Some("a.example"));
        let large = hello(&[padding(MAX_HELLO), naming(b"a.example")]);
        assert_eq!(name(&large[..20]), None, "its length says enough");
        // Records of one byte each make six of one: the bound is on what comes.
        let tiny = records(&message(&[padding(MAX_HELLO / 4), naming(b"a.example")]), 1);
        let mut reader = ClientHello::default();
        assert_eq!(reader.push(&tiny[..MAX_HELLO]), Hello::NeedMore);
        assert_eq!(reader.push(&tiny[MAX_HELLO..]), Hello::Tls { server_name: None });
        assert_eq!(reader.message.capacity(), 0);
    }

    proptest! {
        #[test]
        fn no_bytes_whatsoever_make_it_panic(
            noise in proptest::collection::vec(any::<u8>(), 0..300),
            size in 1_usize..40,
            in_hello in any::<bool>(),
        ) {
            let framed = || records(&[&[CLIENT_HELLO][..], &sized(3, &noise)].concat(), size);
            let all = if in_hello { framed() } else { noise.clone() };
            prop_assert_eq!(read(&all, 1), read(&all, usize::MAX));
        }

        #[test]
        fn every_name_is_read_back_however_it_is_cut(
            asked in "[a-z0-9_-]{1,63}(\\.[a-z]{1,20}){0,3}\\.[a-z]{2,9}",
            size in 1_usize..300, record in 1_usize..300,
        ) {
            let extensions = [extension(16, b"\0\x03\x02h2"), naming(asked.as_bytes())];
            let all = records(&message(&extensions), record);
            prop_assert_eq!(read(&all, size), Ok(Some(asked)));
        }
    }
}
