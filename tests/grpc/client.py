"""A gRPC caller in Python, for the end-to-end tests (grpcio_client.rs runs it).

The request is read from standard input as it is; each message of an answer is written to a file in the folder
`--messages`; what happened is printed as JSON, one object a call:

    {"code": "OK", "message": "", "metadata": [["name", [bytes]], ...], "messages": [{"file": ..., "arrived_after_ms": ...}]}

`code` is the name of grpcio's own status code. Messages are bytes, so no schema is needed.
"""

import argparse
import json
import pathlib
import sys
import time

import grpc

TIMEOUT_S = 30
OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]


def channel(arguments):
    if arguments.root_certificate is None:
        return grpc.insecure_channel(arguments.target, OPTIONS)
    credentials = grpc.ssl_channel_credentials(root_certificates=arguments.root_certificate.read_bytes())
    return grpc.secure_channel(arguments.target, credentials, OPTIONS)


def fields(metadata):
    values = ((name, value if isinstance(value, bytes) else value.encode()) for name, value in metadata or ())
    return [[name, list(value)] for name, value in values]


def call(answers_to, request, metadata, folder, number):
    """Makes one call and reads it to its end; `answers_to` gives the call and its messages."""
    start, messages = time.monotonic(), []
    try:
        made, answers = answers_to(request, metadata)
        for message in answers:
            arrived_after_ms = int((time.monotonic() - start) * 1000)
            file = f"{number}-{len(messages)}"
            (folder / file).write_bytes(message)
            messages.append({"file": file, "arrived_after_ms": arrived_after_ms})
    except grpc.RpcError as error:
        made = error
    return {
        "code": made.code().name,
        "message": made.details() or "",
        "metadata": fields(made.initial_metadata()) + fields(made.trailing_metadata()),
        "messages": messages,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", required=True)
    parser.add_argument("--root-certificate", type=pathlib.Path)
    parser.add_argument("--metadata", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--messages", type=pathlib.Path, required=True)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("kind", choices=["unary", "stream"])
    parser.add_argument("method")
    arguments = parser.parse_args()

    request = sys.stdin.buffer.read()
    metadata = [tuple(field.split("=", 1)) for field in arguments.metadata]
    with channel(arguments) as open_channel:
        # The connection is part of no call's time.
        grpc.channel_ready_future(open_channel).result(TIMEOUT_S)
        if arguments.kind == "unary":
            unary = open_channel.unary_unary(arguments.method)

            def answers_to(request, metadata):
                message, made = unary.with_call(request, metadata=metadata, timeout=TIMEOUT_S)
                return made, [message]
        else:
            stream = open_channel.unary_stream(arguments.method)

            def answers_to(request, metadata):
                made = stream(request, metadata=metadata, timeout=TIMEOUT_S)
                return made, made

        calls = [
            call(answers_to, request, metadata, arguments.messages, number) for number in range(arguments.times)
        ]
    json.dump(calls, sys.stdout)


main()
