//! A server's side of one connection, by hand.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// Answers the request for a WebSocket, and opens the session.
pub fn upgrade(stream: &mut TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")?;
    send(stream, "0{\"sid\":\"x\"}")
}

/// Sends a text message.
pub fn send(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(short) if short < 126 => frame.push(short),
        _ => {
            frame.push(126);
            frame.extend_from_slice(&(text.len() as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(text.as_bytes());
    stream.write_all(&frame)
}

/// The next text message.
pub fn receive(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    if head[0] != 0x81 {
        return Err(ErrorKind::ConnectionAborted.into());
    }
    let mut len = usize::from(head[1] & 0x7f);
    if len == 126 {
        let mut long = [0; 2];
        stream.read_exact(&mut long)?;
        len = usize::from(u16::from_be_bytes(long));
    }
    let mut key = [0; 4];
    stream.read_exact(&mut key)?;
    let mut text = vec![0; len];
    stream.read_exact(&mut text)?;
    for (at, byte) in text.iter_mut().enumerate() {
        *byte ^= key[at % 4];
    }
    Ok(String::from_utf8(text).unwrap())
}
