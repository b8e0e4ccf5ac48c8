//! The gRPC server behind the edge.

use crate::bytes_codec::BytesCodec;
use bytes::Bytes;
use harness::ports::Port;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;
use tonic::body::Body;
use tonic::codegen::tokio_stream::{StreamExt, iter, once};
use tonic::codegen::{BoxFuture, BoxStream, Service, http};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::server::{Grpc, ServerStreamingService};
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};

/// Answers the request.
pub(crate) const ECHO: &str = "/suiftly.test.Service/Echo";
/// Answers a JSON object of the metadata that it saw: name to the list of its values.
pub(crate) const SEEN: &str = "/suiftly.test.Service/Seen";
/// Answers the request as often as its first byte says, with `PAUSE` before each further one.
pub(crate) const REPEAT: &str = "/suiftly.test.Service/Repeat";
/// Takes any pattern and answers one of `LARGE_ANSWER_BYTES`.
pub(crate) const LARGE: &str = "/suiftly.test.Service/Large";
/// Fails at once with `failure()`.
pub(crate) const FAIL: &str = "/suiftly.test.Service/Fail";
/// Answers the request twice, then fails with `failure()`.
pub(crate) const FAIL_LATE: &str = "/suiftly.test.Service/FailLate";

pub(crate) const PAUSE: Duration = Duration::from_secs(1);
pub(crate) const LARGE_ANSWER_BYTES: usize = 20 * 1024 * 1024;
/// No client and no server here takes a larger message: above all that the tests send.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Not ASCII and with a percent sign: `grpc-message` is percent-encoded on the wire.
pub(crate) const FAILURE_MESSAGE: &str = "100 % zu spät";
pub(crate) const FAILURE_DETAILS: [u8; 4] = [0, 1, 0x80, 0xff];

/// What the server answers when it fails.
fn failure() -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("failed-step", MetadataValue::from_static("third"));
    metadata.insert_bin("failure-bin", MetadataValue::from_bytes(&FAILURE_DETAILS));
    Status::with_metadata(Code::FailedPrecondition, FAILURE_MESSAGE, metadata)
}

/// Bytes in which a lost or swapped piece shows: the period divides no frame or buffer.
pub(crate) fn pattern(len: usize) -> Bytes {
    (0..=250).cycle().take(len).collect()
}

/// A gRPC server on a port of its own; it ends, with all its connections, when it is dropped.
pub(crate) struct Server {
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves on this port.
    pub(crate) fn start(port: &Port) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.number()));
        let (end, ended) = tokio::sync::oneshot::channel();
        let (bound, when_bound) = std::sync::mpsc::channel();
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let incoming = TcpIncoming::bind(address).unwrap().with_nodelay(Some(true));
                bound.send(()).unwrap();
                let serving = tonic::transport::Server::builder().serve_with_incoming(Methods, incoming);
                tokio::select! {
                    ended = serving => panic!("the server ended by itself: {ended:?}"),
                    _ = ended => {}
                }
            });
            // The runtime ends here and its tasks with it: connections are not waited for.
        };
        let thread = std::thread::Builder::new().name("grpc-server".to_owned()).spawn(serve).unwrap();
        when_bound.recv().expect("the server listens");
        Self { end: Some(end), thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "the gRPC server has panicked");
    }
}

/// Finds the method by its path, as generated code does.
#[derive(Clone)]
struct Methods;

impl Service<http::Request<Body>> for Methods {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let method = match request.uri().path() {
                ECHO => echo,
                SEEN => seen,
                REPEAT => repeat,
                LARGE => large,
                FAIL => |_| Err(failure()),
                FAIL_LATE => fail_late,
                _ => |_| Err(Status::unimplemented("no such method")),
            };
            let mut grpc = Grpc::new(BytesCodec).max_decoding_message_size(MESSAGE_BYTES_MAX);
            Ok(grpc.server_streaming(Method(method), request).await)
        })
    }
}

type Answer = Result<BoxStream<Bytes>, Status>;

/// On the wire a unary answer is a stream of one message, so all methods have this shape.
struct Method(fn(Request<Bytes>) -> Answer);

impl ServerStreamingService<Bytes> for Method {
    type Response = Bytes;
    type ResponseStream = BoxStream<Bytes>;
    type Future = Ready<Result<Response<BoxStream<Bytes>>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        ready((self.0)(request).map(Response::new))
    }
}

fn echo(request: Request<Bytes>) -> Answer {
    Ok(Box::pin(once(Ok(request.into_inner()))))
}

fn seen(request: Request<Bytes>) -> Answer {
    let fields = request.metadata().clone().into_headers();
    let values = |name: &http::HeaderName| {
        let texts = fields.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into());
        (name.to_string(), serde_json::Value::Array(texts.collect()))
    };
    let report: serde_json::Map<_, _> = fields.keys().map(values).collect();
    Ok(Box::pin(once(Ok(serde_json::to_vec(&report).unwrap().into()))))
}

fn repeat(request: Request<Bytes>) -> Answer {
    let message = request.into_inner();
    let times = *message.first().ok_or_else(|| Status::invalid_argument("an empty request"))?;
    Ok(Box::pin(iter(0..times).then(move |number| {
        let message = message.clone();
        async move {
            if number > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            Ok(message)
        }
    })))
}

fn large(request: Request<Bytes>) -> Answer {
    let message = request.into_inner();
    if message != pattern(message.len()) {
        return Err(Status::data_loss("the request is not what was sent"));
    }
    Ok(Box::pin(once(Ok(pattern(LARGE_ANSWER_BYTES)))))
}

fn fail_late(request: Request<Bytes>) -> Answer {
    let message = request.into_inner();
    Ok(Box::pin(iter([Ok(message.clone()), Ok(message), Err(failure())])))
}
