//! A caller in one of two languages, and what it was told.

use crate::edge::Edge;
use crate::{grpcio_client, tonic_client};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::Code;

/// Whose gRPC library calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    /// Rust's tonic, in this process.
    Tonic,
    /// Python's grpcio (gRPC's C core), in a process of its own.
    Grpcio,
}

pub(crate) const BOTH: [Client; 2] = [Client::Tonic, Client::Grpcio];

/// What a client's library made of an answer.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The status as the library's own type names it.
    pub(crate) code: Code,
    /// The status's message, percent-decoded by the library.
    pub(crate) message: String,
    /// Initial and trailing metadata, names ending in `-bin` decoded by the library.
    pub(crate) metadata: BTreeMap<String, Vec<u8>>,
    /// The messages in their order.
    pub(crate) messages: Vec<Message>,
}

pub(crate) struct Message {
    pub(crate) bytes: Bytes,
    /// Since the call began.
    pub(crate) arrived_after: Duration,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes after {:?}", self.bytes.len(), self.arrived_after)
    }
}

impl Outcome {
    /// The one message of a unary call that succeeded.
    pub(crate) fn answer(self) -> Bytes {
        assert_eq!(self.code, Code::Ok, "{self:?}");
        let [message] = <[Message; 1]>::try_from(self.messages).expect("one message");
        message.bytes
    }

    /// Compares status and message of a call that failed.
    pub(crate) fn failed_with(&self, code: Code, message: &str) {
        assert_eq!((self.code, self.message.as_str()), (code, message), "{self:?}");
    }
}

/// A client, the edge it calls and the metadata it sends.
pub(crate) struct Caller<'a> {
    pub(crate) client: Client,
    pub(crate) edge: &'a Edge,
    pub(crate) metadata: Vec<(String, String)>,
}

impl<'a> Caller<'a> {
    pub(crate) fn without_key(client: Client, edge: &'a Edge) -> Self {
        Self { client, edge, metadata: Vec::new() }
    }

    pub(crate) fn with_key(client: Client, edge: &'a Edge, key: &str) -> Self {
        Self::without_key(client, edge).sending("authorization", &format!("Bearer {key}"))
    }

    /// The same with one more field.
    pub(crate) fn sending(mut self, name: &str, value: &str) -> Self {
        self.metadata.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One unary call on a connection of its own.
    pub(crate) fn unary(&self, method: &str, request: impl Into<Bytes>) -> Outcome {
        self.unary_times(1, method, request).pop().unwrap()
    }

    /// Unary calls one after the other on one connection.
    pub(crate) fn unary_times(&self, times: usize, method: &str, request: impl Into<Bytes>) -> Vec<Outcome> {
        let request = request.into();
        match self.client {
            Client::Tonic => tonic_client::unary_times(self, times, method, &request),
            Client::Grpcio => grpcio_client::unary_times(self, times, method, &request),
        }
    }

    /// One server-streaming call on a connection of its own, read to its end.
    pub(crate) fn stream(&self, method: &str, request: impl Into<Bytes>) -> Outcome {
        let request = request.into();
        match self.client {
            Client::Tonic => tonic_client::stream(self, method, &request),
            Client::Grpcio => grpcio_client::stream(self, method, &request),
        }
    }
}
