"""A peer: Envoy with its own API-key filter and local rate limit. It knows the customer of a key and one bucket for
all; it has no revocations, no tiers by customer and no refusal with a body."""

import json
import shutil

from rounds import Variant


def program():
    return shutil.which("envoy")


def text_field(value):
    return {"inline_string": value}


def filters(keys):
    return [
        {"name": "envoy.filters.http.api_key_auth", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
            "credentials": [{"key": key, "client": customer} for key, customer in keys],
            # Takes "Bearer " off by itself.
            "key_sources": [{"header": "Authorization"}],
            "forwarding": {"header": "X-Suiftly-Customer", "hide_credentials": True},
        }},
        {"name": "envoy.filters.http.local_ratelimit", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
            "stat_prefix": "limit",
            "token_bucket": {"max_tokens": 1000000, "tokens_per_fill": 1000000, "fill_interval": "1s"},
            "filter_enabled": {"default_value": {"numerator": 100}},
            "filter_enforced": {"default_value": {"numerator": 100}},
        }},
        {"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}},
    ]


def access_log():
    fields = {"id": "%REQ(X-REQUEST-ID)%", "time": "%START_TIME%", "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
              "customer": "%REQ(X-SUIFTLY-CUSTOMER)%", "status": "%RESPONSE_CODE%", "received_bytes": "%BYTES_RECEIVED%",
              "sent_bytes": "%BYTES_SENT%", "total_ms": "%DURATION%", "method": "%REQ(:METHOD)%", "path": "%PATH(NQ)%"}
    return [{"name": "envoy.access_loggers.stdout", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        "log_format": {"json_format": fields}}}]


def configuration(port, backend_port, keys, real):
    direct = {"direct_response": {"status": 200, "body": text_field("ok")}}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    backend = {"socket_address": {"address": "127.0.0.1", "port_value": backend_port}}
    connections = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "access_log": access_log(),
        "http_filters": filters(keys),
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, **({"route": {"cluster": "service"}} if real else direct)}]}]},
    }
    return {"static_resources": {
        "listeners": [{"address": address, "filter_chains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": connections}]}]}],
        "clusters": [{"name": "service", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {
            "cluster_name": "service",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": backend}}]}]}}],
    }}


def variant(name, variants, real):
    state = variants.state
    keys = []
    with open(state.map_file) as lines:
        for line in lines:
            key, packed = line.split()
            keys.append((key, str(int(packed) & 0xFFFFFFFF)))
    text = json.dumps(configuration(variants.port, variants.backend_port, keys, real))
    path = variants.written(text).rename(state.folder / f"envoy-{variants.files}.json")
    command = [program(), "-c", str(path), "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    return Variant(name, command, {}, variants.port, state.one, logs=None)
