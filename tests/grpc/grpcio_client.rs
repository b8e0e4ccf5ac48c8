//! The caller in Python: runs `client.py` and reads what it prints.

use crate::caller::{Caller, Message, Outcome};
use bytes::Bytes;
use harness::repository;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tonic::Code;

pub(crate) fn unary_times(caller: &Caller<'_>, times: usize, method: &str, request: &Bytes) -> Vec<Outcome> {
    run(caller, &["--times", &times.to_string(), "unary", method], request)
}

pub(crate) fn stream(caller: &Caller<'_>, method: &str, request: &Bytes) -> Outcome {
    run(caller, &["stream", method], request).pop().unwrap()
}

/// The request goes to its standard input, messages come back as files, the rest as JSON.
fn run(caller: &Caller<'_>, arguments: &[&str], request: &Bytes) -> Vec<Outcome> {
    let python = harness::stack::target().join("python/bin/python");
    assert!(python.exists(), "{} is missing: run scripts/test, which makes it first", python.display());
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(python);
    command.arg(repository().join("tests/grpc/client.py"));
    command.arg("--target").arg(caller.edge.address()).arg("--messages").arg(folder.path());
    if let Some(path) = &caller.edge.root_certificate {
        command.arg("--root-certificate").arg(path);
    }
    for (name, value) in &caller.metadata {
        command.arg("--metadata").arg(format!("{name}={value}"));
    }
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(request).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "client.py: {errors}{}", caller.edge.stack.logs());
    let calls: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    calls.iter().map(|call| outcome(call, folder.path())).collect()
}

fn outcome(call: &Value, folder: &Path) -> Outcome {
    let message = |message: &Value| Message {
        bytes: std::fs::read(folder.join(message["file"].as_str().unwrap())).unwrap().into(),
        arrived_after: Duration::from_millis(message["arrived_after_ms"].as_u64().unwrap()),
    };
    let metadata = call["metadata"].as_array().unwrap().iter();
    let metadata: BTreeMap<String, Vec<u8>> =
        metadata.map(|field| serde_json::from_value(field.clone()).unwrap()).collect();
    Outcome {
        code: code(call["code"].as_str().unwrap()),
        message: call["message"].as_str().unwrap().to_owned(),
        metadata,
        messages: call["messages"].as_array().unwrap().iter().map(message).collect(),
    }
}

/// By the name of grpcio's own `grpc.StatusCode`.
fn code(name: &str) -> Code {
    match name {
        "OK" => Code::Ok,
        "CANCELLED" => Code::Cancelled,
        "UNAUTHENTICATED" => Code::Unauthenticated,
        "PERMISSION_DENIED" => Code::PermissionDenied,
        "RESOURCE_EXHAUSTED" => Code::ResourceExhausted,
        "UNAVAILABLE" => Code::Unavailable,
        "FAILED_PRECONDITION" => Code::FailedPrecondition,
        other => panic!("no test expects grpc.StatusCode.{other}"),
    }
}
