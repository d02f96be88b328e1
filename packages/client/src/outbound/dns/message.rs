//! DNS messages: questions for one name, and their answers.
//! [RFC 1035](https://www.rfc-editor.org/rfc/rfc1035), [RFC 2782](https://www.rfc-editor.org/rfc/rfc2782)

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The most bytes of an answer by UDP that we ask for; no network cuts packets of this size.
pub(super) const MAX_DATAGRAM: u16 = 1232;

/// The most pointers that a compressed name may go through.
const MAX_POINTERS: usize = 16;
/// The most bytes of a name, and of one of its labels.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;
/// The most records of an answer that are looked at.
const MAX_RECORDS: u16 = 64;

const HEADER: usize = 12;
const CLASS_IN: u16 = 1;
const TYPE_OPT: u16 = 41;
const RECURSION_DESIRED: u16 = 0x0100;
const IS_RESPONSE: u16 = 0x8000;
const IS_CUT: u16 = 0x0200;
const NO_SUCH_NAME: u16 = 3;

/// What is asked of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its IPv4 addresses.
    A,
    /// Its IPv6 addresses.
    Aaaa,
    /// Its servers.
    Srv,
}

impl Kind {
    fn number(self) -> u16 {
        match self {
            Self::A => 1,
            Self::Aaaa => 28,
            Self::Srv => 33,
        }
    }
}

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Address(IpAddr),
    Server {
        priority: u16,
        weight: u16,
        port: u16,
        host: String,
    },
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The records of the kind that was asked for; none when there is no such name.
    pub(super) records: Vec<Record>,
    /// The shortest time that any of them holds, in seconds.
    pub(super) ttl: Option<u32>,
    /// It did not fit: ask again by TCP.
    pub(super) is_cut: bool,
}

/// A question; `None` when `name` is no host name.
pub(super) fn question(id: u16, name: &str, kind: Kind) -> Option<Vec<u8>> {
    let name = name.trim_end_matches('.');
    if name.is_empty() || name.len() > MAX_NAME {
        return None;
    }
    let mut message = Vec::with_capacity(HEADER + name.len() + 17);
    for word in [id, RECURSION_DESIRED, 1, 0, 0, 1] {
        message.extend(word.to_be_bytes());
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok()?;
        if label.is_empty() || label.len() > MAX_LABEL || !label.is_ascii() {
            return None;
        }
        message.push(length);
        message.extend(label.as_bytes());
    }
    message.push(0);
    for word in [kind.number(), CLASS_IN] {
        message.extend(word.to_be_bytes());
    }
    // EDNS (RFC 6891): an empty name, and no extended flags or options.
    message.push(0);
    for word in [TYPE_OPT, MAX_DATAGRAM, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    Some(message)
}

/// Reads the answer to `question`.
///
/// # Errors
/// It is no answer to it, it is damaged, or the server says that it failed.
pub(super) fn read(question: &[u8], answer: &[u8], kind: Kind) -> io::Result<Answer> {
    let mut message = Cursor {
        bytes: answer,
        at: 0,
    };
    let id = message.word()?;
    let flags = message.word()?;
    let [questions, records] = [message.word()?, message.word()?];
    message.skip(4)?;
    let asked = Cursor {
        bytes: question,
        at: HEADER,
    };
    if id != (Cursor { at: 0, ..asked }).word()? || flags & IS_RESPONSE == 0 || questions != 1 {
        return Err(damaged("another question's answer"));
    }
    let (mut asked, mut repeated) = (asked, message);
    if !asked.name()?.eq_ignore_ascii_case(&repeated.name()?) || asked.word()? != repeated.word()? {
        return Err(damaged("another question's answer"));
    }
    repeated.skip(2)?;
    let mut found = Answer {
        is_cut: flags & IS_CUT != 0,
        ..Answer::default()
    };
    match flags & 0xf {
        0 => {}
        NO_SUCH_NAME => return Ok(found),
        code => {
            return Err(io::Error::other(format!(
                "the name server fails with {code}"
            )));
        }
    }
    if found.is_cut {
        return Ok(found);
    }
    for _ in 0..records.min(MAX_RECORDS) {
        if let Some((record, ttl)) = repeated.record(kind)? {
            found.records.push(record);
            found.ttl = Some(found.ttl.map_or(ttl, |shortest| shortest.min(ttl)));
        }
    }
    Ok(found)
}

fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// A place in a message.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> io::Result<&'a [u8]> {
        let end = self.at.saturating_add(length);
        let taken = self.bytes.get(self.at..end);
        self.at = end;
        taken.ok_or_else(|| damaged("it ends early"))
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let bytes = self.take(N)?;
        bytes
            .try_into()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn skip(&mut self, length: usize) -> io::Result<()> {
        self.take(length).map(drop)
    }

    fn byte(&mut self) -> io::Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn word(&mut self) -> io::Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// A name, whose end may be a pointer to an earlier place.
    fn name(&mut self) -> io::Result<String> {
        let mut name = String::new();
        let mut here = *self;
        let mut pointers = 0;
        loop {
            let length = here.byte()?;
            if pointers == 0 {
                self.at = here.at;
            }
            match length {
                0 => return Ok(name),
                1..=0x3f => {
                    let label = here.take(length.into())?;
                    if pointers == 0 {
                        self.at = here.at;
                    }
                    if !name.is_empty() {
                        name.push('.');
                    }
                    let label = str::from_utf8(label);
                    name.push_str(label.map_err(|_not_ascii| damaged("a name is not ASCII"))?);
                    if name.len() > MAX_NAME {
                        return Err(damaged("a name is too long"));
                    }
                }
                0xc0.. => {
                    let low = here.byte()?;
                    if pointers == 0 {
                        self.at = here.at;
                    }
                    pointers += 1;
                    if pointers > MAX_POINTERS {
                        return Err(damaged("a name does not end"));
                    }
                    here.at = usize::from(length & 0x3f) << 8 | usize::from(low);
                }
                _ => return Err(damaged("an unknown kind of label")),
            }
        }
    }

    /// The next record with its time to live, if it is of this kind.
    fn record(&mut self, kind: Kind) -> io::Result<Option<(Record, u32)>> {
        self.name()?;
        let [number, class] = [self.word()?, self.word()?];
        let ttl = u32::from_be_bytes(self.array()?);
        let length = self.word()?;
        let mut content = *self;
        self.skip(length.into())?;
        if number != kind.number() || class != CLASS_IN {
            return Ok(None);
        }
        let record = match kind {
            Kind::A => Record::Address(Ipv4Addr::from(content.array::<4>()?).into()),
            Kind::Aaaa => Record::Address(Ipv6Addr::from(content.array::<16>()?).into()),
            Kind::Srv => Record::Server {
                priority: content.word()?,
                weight: content.word()?,
                port: content.word()?,
                host: content.name()?,
            },
        };
        Ok(Some((record, ttl)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer to `question` with these records, whose names point to the question's.
    fn answer(question: &[u8], flags: u16, records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = question[..2].to_vec();
        let count = u16::try_from(records.len()).unwrap();
        for word in [flags, 1, count, 0, 0] {
            message.extend(word.to_be_bytes());
        }
        message.extend(&question[HEADER..question.len() - 11]);
        for (kind, content) in records {
            message.extend([0xc0, 12]);
            for word in [
                *kind,
                CLASS_IN,
                0,
                300,
                u16::try_from(content.len()).unwrap(),
            ] {
                message.extend(word.to_be_bytes());
            }
            message.extend(*content);
        }
        message
    }

    #[test]
    fn asks_for_host_names_only() {
        let asked = question(7, "Example.org.", Kind::A).unwrap();
        assert_eq!(&asked[..HEADER], [0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
        assert_eq!(&asked[HEADER..HEADER + 13], b"\x07Example\x03org\0");
        let long = "a".repeat(64);
        for name in ["", ".", "a..b", "é.org", &long, &"a.".repeat(128)] {
            assert_eq!(question(7, name, Kind::A), None, "{name}");
        }
    }

    #[test]
    fn reads_addresses_behind_an_alias() {
        let asked = question(7, "example.org", Kind::A).unwrap();
        let alias: &[u8] = b"\x01a\xc0\x0c";
        let records: [(u16, &[u8]); 2] = [(5, alias), (1, &[192, 0, 2, 1])];
        let found = read(&asked, &answer(&asked, 0x8180, &records), Kind::A).unwrap();
        assert_eq!(found.records, [Record::Address([192, 0, 2, 1].into())]);
        assert_eq!(found.ttl, Some(300));
    }

    #[test]
    fn reads_servers_and_their_absence() {
        let asked = question(7, "_matrix-fed._tcp.example.org", Kind::Srv).unwrap();
        let content: &[u8] = b"\0\x0a\0\x05\x20\xfb\x01m\xc0\x1d";
        let found = read(&asked, &answer(&asked, 0x8180, &[(33, content)]), Kind::Srv).unwrap();
        let server = Record::Server {
            priority: 10,
            weight: 5,
            port: 8443,
            host: "m.example.org".to_owned(),
        };
        assert_eq!(found.records, [server]);
        let none = read(&asked, &answer(&asked, 0x8183, &[]), Kind::Srv).unwrap();
        assert_eq!(none, Answer::default());
        assert!(read(&asked, &answer(&asked, 0x8182, &[]), Kind::Srv).is_err());
        let cut = read(&asked, &answer(&asked, 0x8380, &[]), Kind::Srv).unwrap();
        assert!(cut.is_cut);
    }

    #[test]
    fn refuses_answers_that_are_none() {
        let asked = question(7, "example.org", Kind::A).unwrap();
        let other = question(8, "example.org", Kind::A).unwrap();
        let elsewhere = question(7, "example.com", Kind::A).unwrap();
        for wrong in [
            &asked,
            &answer(&other, 0x8180, &[]),
            &answer(&elsewhere, 0x8180, &[]),
        ] {
            assert!(read(&asked, wrong, Kind::A).is_err());
        }
        let whole = answer(&asked, 0x8180, &[(1, &[192, 0, 2, 1])]);
        for length in 0..whole.len() {
            assert!(read(&asked, &whole[..length], Kind::A).is_err(), "{length}");
        }
    }

    #[test]
    fn a_name_that_points_to_itself_ends() {
        let asked = question(7, "example.org", Kind::Srv).unwrap();
        let place = u8::try_from(asked.len() - 11 + 12 + 6).unwrap();
        let content = [0, 1, 0, 1, 0, 1, 0xc0, place];
        let whole = answer(&asked, 0x8180, &[(33, &content)]);
        assert!(read(&asked, &whole, Kind::Srv).is_err());
    }
}
