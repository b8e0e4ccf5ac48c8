//! The caller in Rust.

use crate::bytes_codec::BytesCodec;
use crate::caller::{Caller, Message, Outcome};
use crate::edge::Edge;
use crate::server::MESSAGE_BYTES_MAX;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tonic::client::Grpc;
use tonic::metadata::{KeyAndValueRef, MetadataKey, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};

/// No call of these tests lasts so long.
const TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn unary_times(caller: &Caller<'_>, times: usize, method: &str, request: &Bytes) -> Vec<Outcome> {
    block_on(async {
        let mut client = connect(caller.edge).await;
        let mut outcomes = Vec::new();
        for _ in 0..times {
            client.ready().await.unwrap();
            let start = Instant::now();
            let answer = client.unary(request_of(caller, request), method.parse().unwrap(), BytesCodec).await;
            outcomes.push(match answer.map(Response::into_parts) {
                Ok((metadata, bytes, _)) => ok(&metadata, vec![message(bytes, start)]),
                Err(status) => failed(&status, &MetadataMap::new(), Vec::new()),
            });
        }
        outcomes
    })
}

pub(crate) fn stream(caller: &Caller<'_>, method: &str, request: &Bytes) -> Outcome {
    block_on(async {
        let mut client = connect(caller.edge).await;
        client.ready().await.unwrap();
        let start = Instant::now();
        let request = request_of(caller, request);
        let answer = client.server_streaming(request, method.parse().unwrap(), BytesCodec).await;
        let (initial, mut stream) = match answer.map(Response::into_parts) {
            Ok((metadata, stream, _)) => (metadata, stream),
            Err(status) => return failed(&status, &MetadataMap::new(), Vec::new()),
        };
        let mut messages = Vec::new();
        loop {
            match stream.message().await {
                Ok(Some(bytes)) => messages.push(message(bytes, start)),
                Ok(None) => return ok(&initial, messages),
                Err(status) => return failed(&status, &initial, messages),
            }
        }
    })
}

fn block_on<T>(calls: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(calls)
}

async fn connect(edge: &Edge) -> Grpc<Channel> {
    let endpoint = match &edge.root_certificate {
        None => Endpoint::from_shared(format!("http://{}", edge.address())).unwrap(),
        Some(path) => {
            let root = Certificate::from_pem(std::fs::read(path).unwrap());
            let endpoint = Endpoint::from_shared(format!("https://{}", edge.address())).unwrap();
            endpoint.tls_config(ClientTlsConfig::new().ca_certificate(root)).unwrap()
        }
    };
    let channel = endpoint.timeout(TIMEOUT).connect().await;
    let channel = channel.unwrap_or_else(|error| panic!("{error:?}{}", edge.stack.logs()));
    Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

fn request_of(caller: &Caller<'_>, message: &Bytes) -> Request<Bytes> {
    let mut request = Request::new(message.clone());
    for (name, value) in &caller.metadata {
        let name: MetadataKey<_> = name.parse().unwrap();
        request.metadata_mut().append(name, value.parse().unwrap());
    }
    request
}

fn message(bytes: Bytes, start: Instant) -> Message {
    Message { bytes, arrived_after: start.elapsed() }
}

fn ok(metadata: &MetadataMap, messages: Vec<Message>) -> Outcome {
    Outcome { code: Code::Ok, message: String::new(), metadata: map_of([metadata]), messages }
}

fn failed(status: &Status, initial: &MetadataMap, messages: Vec<Message>) -> Outcome {
    Outcome {
        code: status.code(),
        message: status.message().to_owned(),
        metadata: map_of([initial, status.metadata()]),
        messages,
    }
}

fn map_of<const N: usize>(parts: [&MetadataMap; N]) -> BTreeMap<String, Vec<u8>> {
    let pair = |field| match field {
        KeyAndValueRef::Ascii(name, value) => (name.to_string(), value.as_bytes().to_vec()),
        KeyAndValueRef::Binary(name, value) => (name.to_string(), value.to_bytes().unwrap().to_vec()),
    };
    parts.into_iter().flat_map(MetadataMap::iter).map(pair).collect()
}
