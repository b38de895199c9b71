//! Calls and replies of ONC RPC version 2 (RFC 5531) over TCP.

use std::io::{self, Read, Write};

use super::xdr::{Reader, Writer};

/// The longest call: those that read are short, and those that write are refused anyway.
const LONGEST_CALL: usize = 64 << 10;

/// Set in the header of the last fragment.
const LAST: u32 = 1 << 31;

/// The longest credential and verifier.
const LONGEST_AUTH: usize = 400;

const LONGEST_MACHINE: usize = 255;
const MOST_GROUPS: u32 = 16;
const AUTH_SYS: u32 = 1;

/// Nobody's number, for those who do not say who they are.
const NOBODY: u32 = 65_534;

/// How a call that is understood ends before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownProgram,
    /// The only version there is.
    Version(u32),
    UnknownProcedure,
    Garbage,
}

/// Who calls, as the client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

/// The beginning of a call; what follows in the message are its arguments.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) program: u32,
    pub(super) version: u32,
    pub(super) procedure: u32,
    pub(super) caller: Caller,
}

impl Call {
    /// Reads a call. `None` for what is none; no reply is possible then.
    pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        let number = reader.u32()?;
        let (is_call, version) = (reader.u32()? == 0, reader.u32()?);
        if !is_call || version != 2 {
            return None;
        }
        let (program, version, procedure) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (kind, credential) = (reader.u32()?, reader.opaque(LONGEST_AUTH)?);
        let _verifier = (reader.u32()?, reader.opaque(LONGEST_AUTH)?);
        let said = (kind == AUTH_SYS).then(|| Caller::parse(&mut Reader(credential))).flatten();
        let caller = said.unwrap_or(Caller { uid: NOBODY, gid: NOBODY, groups: Vec::new() });
        Some(Self { number, program, version, procedure, caller })
    }
}

impl Caller {
    fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        reader.u32()?;
        reader.opaque(LONGEST_MACHINE)?;
        let (uid, gid) = (reader.u32()?, reader.u32()?);
        let count = reader.u32().filter(|count| *count <= MOST_GROUPS)?;
        let groups = (0..count).map(|_| reader.u32()).collect::<Option<_>>()?;
        Some(Self { uid, gid, groups })
    }
}

/// Reads one message of any number of fragments. `None` at the end of the connection.
pub(super) fn read_message(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut message = Vec::new();
    loop {
        let mut header = [0; 4];
        match stream.read_exact(&mut header) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof && message.is_empty() => return Ok(None),
            other => other?,
        }
        let header = u32::from_be_bytes(header);
        let length = usize::try_from(header & !LAST).unwrap_or(usize::MAX);
        let begin = message.len();
        // An empty fragment that is not the last one would be a way to keep this busy.
        if length > LONGEST_CALL - begin || (length == 0 && header & LAST == 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a call is too long"));
        }
        message.resize(begin + length, 0);
        stream.read_exact(message.get_mut(begin..).unwrap_or_default())?;
        if header & LAST != 0 {
            return Ok(Some(message));
        }
    }
}

/// A reply to a call, as it is sent.
pub(super) fn reply(number: u32, outcome: Result<Writer, Refusal>) -> Vec<u8> {
    let mut writer = Writer::default();
    // A reply, accepted, without a verifier.
    writer.u32(0).u32(number).u32(1).u32(0).u32(0).u32(0);
    match outcome {
        Ok(result) => writer.u32(0).0.extend_from_slice(&result.0),
        Err(Refusal::UnknownProgram) => {
            writer.u32(1);
        }
        Err(Refusal::Version(only)) => {
            writer.u32(2).u32(only).u32(only);
        }
        Err(Refusal::UnknownProcedure) => {
            writer.u32(3);
        }
        Err(Refusal::Garbage) => {
            writer.u32(4);
        }
    }
    let length = u32::try_from(writer.0.len() - 4).unwrap_or(u32::MAX) | LAST;
    for (place, byte) in writer.0.iter_mut().zip(length.to_be_bytes()) {
        *place = byte;
    }
    writer.0
}

/// Sends a reply.
pub(super) fn send(stream: &mut impl Write, reply: &[u8]) -> io::Result<()> {
    stream.write_all(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_several_fragments_are_joined_and_long_ones_refused() {
        let bytes = [&[0, 0, 0, 2][..], b"ab", &[0x80, 0, 0, 1], b"c", &[0x80, 0, 0, 0]].concat();
        let mut stream = bytes.as_slice();
        assert_eq!(read_message(&mut stream).unwrap().as_deref(), Some(&b"abc"[..]));
        assert_eq!(read_message(&mut stream).unwrap().as_deref(), Some(&b""[..]));
        assert_eq!(read_message(&mut stream).unwrap(), None);
        assert!(read_message(&mut &[0xff, 0xff, 0xff, 0xff][..]).is_err());
        assert!(read_message(&mut &[0, 0, 0, 0, 0, 0, 0, 0][..]).is_err());
        assert!(read_message(&mut &[0x80, 0, 0, 9, 1][..]).is_err(), "cut off");
    }

    #[test]
    fn who_does_not_say_who_they_are_is_nobody() {
        let mut call = Writer::default();
        call.u32(9).u32(0).u32(2).u32(100_003).u32(3).u32(1).u32(0).opaque(b"").u32(0).opaque(b"");
        let parsed = Call::parse(&mut Reader(&call.0)).unwrap();
        assert_eq!((parsed.number, parsed.procedure, parsed.caller.uid), (9, 1, NOBODY));
        for length in 0..call.0.len() {
            assert!(Call::parse(&mut Reader(&call.0[..length])).is_none());
        }
    }
}
