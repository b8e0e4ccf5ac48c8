"""The variants: which program with which configuration, and what it is sent."""

import sys

import changes
from machine import REPOSITORY, cores, free_port
from rounds import Variant
from state import JWT_SECRET
from transform import NotFound, together

# What HAProxy is without any of ours: one proxy and, where `log` says so, its standard HTTP log to the same target.
BARE = """global
    nbthread 1
    log "${{SUIFTLY_LOG}}" len 8192 format raw daemon
    stats socket "${{SUIFTLY_STATE}}/haproxy.sock" mode 600 level admin
defaults
    mode http
    log global
    {log}
    option dontlognull
    timeout http-request 5s
    timeout http-keep-alive 60s
    timeout client 30s
    timeout connect 1s
    timeout server 30s
    timeout queue 1s
frontend edge
    bind "${{SUIFTLY_EDGE_LISTEN}}:${{SUIFTLY_EDGE_PORT}}" {tls}
    default_backend service
backend service
    {answer}
"""
SERVER = 'server s1 "${SUIFTLY_UPSTREAM}" check inter 1s fall 2 rise 1 maxconn 1000'


class Variants:
    """Makes variants for one HAProxy and one state folder."""

    def __init__(self, haproxy, state, backend_port):
        self.haproxy, self.state, self.backend_port = haproxy, state, backend_port
        self.port, self.files = free_port(), 0
        self.ours_text = (REPOSITORY / "haproxy/haproxy.cfg").read_text()
        self.environment = {
            "SUIFTLY_HOME": str(REPOSITORY),
            "SUIFTLY_STATE": str(state.folder),
            "SUIFTLY_MODULES": str(state.folder / "modules"),
            "SUIFTLY_EDGE_LISTEN": "127.0.0.1",
            "SUIFTLY_EDGE_PORT": str(self.port),
            "SUIFTLY_STATS_PORT": str(free_port()),
            "SUIFTLY_UPSTREAM_PORT": str(backend_port),
            "SUIFTLY_UPSTREAM": f"127.0.0.1:{backend_port}",
            "SUIFTLY_LOG": "stdout",
            # The peers write one log, too.
            "SUIFTLY_REQUEST_LOG": "none",
        }

    def written(self, text):
        """A file of its own for every configuration: two tables have variants of the same name."""
        self.files += 1
        path = self.state.folder / f"variant-{self.files}.conf"
        path.write_text(text)
        return path

    def variant(self, name, text, credentials=None, **how):
        # haproxy.cfg speaks TLS as soon as it is given a certificate.
        environment = {**self.environment, "SUIFTLY_EDGE_CERT": str(self.state.certificate) if how.get("tls") else ""}
        return Variant(name, [self.haproxy, "-db", "-f", str(self.written(text))], environment, self.port,
                       credentials or self.state.one, **how)

    def bare(self, name, real, log=True, tls=False):
        text = BARE.format(log="option httplog" if log else "no log",
                           answer=SERVER if real else "http-request " + changes.ANSWER,
                           tls=f"ssl crt {self.state.certificate} alpn h2,http/1.1" if tls else "")
        return self.variant(name, text, refused=200, tls=tls, logs=log)

    def ours(self, name, real, *what, credentials=None, refused=401, tls=False, logs=True):
        steps = [changes.one_thread, *what]
        if not real:
            steps.append(changes.answered_by_haproxy)
        try:
            text = together(*steps)(self.ours_text)
        except NotFound as error:
            sys.exit(f"{name}: {error}; haproxy.cfg has changed, so benches/end_to_end/changes.py must follow it")
        return self.variant(name, text, credentials, refused=refused, tls=tls, logs=logs)

    def constant(self):
        return changes.everybody_is(self.state.sample.packed())

    def does_nothing(self, name, real):
        path = self.state.folder / "nothing.lua"
        return self.ours(name, real, changes.does_nothing(path, self.state.sample.packed()), refused=200)

    def native_map(self, name, real):
        return self.ours(name, real, changes.native_map)

    def native_jwt(self, name, real):
        # Without a token nothing is set, which our rules answer as a module that failed.
        return self.ours(name, real, changes.native_jwt(JWT_SECRET), credentials=self.state.tokens, refused=503)

    def part(self, name, real=False):
        change = changes.PARTS[name] or self.constant()
        return self.ours(name if "instead" in name else "without " + name, real, change,
                         refused=changes.REFUSED.get(name, 401), logs=name != "log")

    def nginx(self, name, template, core=None, port=None, **values):
        port = port or self.port
        text = (REPOSITORY / "benches/end_to_end" / template).read_text()
        values = {"folder": self.state.folder, "port": port, "backend_port": self.backend_port,
                  "keys": self.state.map_file, **values}
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        return Variant(name, ["nginx", "-c", str(self.written(text))], {}, port, self.state.one, core=core)

    def nginx_lua(self, name, real):
        answer = ("proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection ''; "
                  "proxy_set_header Authorization ''; proxy_set_header X-Suiftly-Customer $customer; "
                  "proxy_set_header X-Suiftly-Service seal; proxy_set_header X-Request-Id $request_id;"
                  if real else "content_by_lua_block { ngx.print('ok') }")
        return self.nginx(name, "nginx_lua.conf", answer=answer)

    def null(self, name):
        """Answers at once: what the client and the machine cost by themselves."""
        variant = self.nginx(name, "nginx_backend.conf")
        variant.refused, variant.logs = 200, False
        return variant

    def backend(self):
        """The real backend: beside the client, away from the core that is measured."""
        variant = self.nginx("backend", "nginx_backend.conf", core=cores()[1], port=self.backend_port)
        variant.refused, variant.logs = 200, False
        return variant
