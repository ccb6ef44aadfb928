"""URLs: what each form says, and the one error that names a mistake. No test here opens a connection."""

from __future__ import annotations

import ssl
import subprocess
import traceback
from pathlib import Path

import pytest

from redis_sessions import AsyncSessionCache, InvalidInput, SessionCache
from redis_sessions.engines import Engine, from_url
from tests.support.command_line import run

NONE = "none"


@pytest.mark.parametrize(
    ("url", "transport", "options"),
    [
        ("redis://h", "tcp", {"host": "h", "port": 6379}),
        ("REDIS://h:1/", "tcp", {"host": "h", "port": 1}),
        ("valkey://h:7000/3", "tcp", {"host": "h", "port": 7000, "db": 3}),
        ("valkeys://h?db=2", "tls", {"host": "h", "port": 6379, "db": 2}),
        ("redis://[::1]:1/0", "tcp", {"host": "::1", "port": 1, "db": 0}),
        ("redis://[fe80::1%25eth0]", "tcp", {"host": "fe80::1%eth0", "port": 6379}),
        ("redis://me:p%40ss%2Fword@h", "tcp", {"host": "h", "port": 6379, "username": "me", "password": "p@ss/word"}),
        ("redis://:p@ss@h", "tcp", {"host": "h", "port": 6379, "password": "p@ss"}),
        ("redis://h?username=me&password=a%2Bb%26c", "tcp", {"host": "h", "port": 6379, "username": "me", "password": "a+b&c"}),
        ("redis://h?client_name=web-1&protocol=2", "tcp", {"host": "h", "port": 6379, "client_name": "web-1", "protocol": "2"}),
        ("rediss://h?ssl_cert_reqs=CERT_NONE", "tls", {"host": "h", "port": 6379, "ssl_cert_reqs": NONE}),
        (
            "rediss://h?ssl_cert_reqs=Optional&ssl_check_hostname=no&ssl_min_version=1.3",
            "tls",
            {
                "host": "h", "port": 6379, "ssl_cert_reqs": "optional", "ssl_check_hostname": False,
                "ssl_min_version": ssl.TLSVersion.TLSv1_3,
            },
        ),
        ("unix://me:pw@/run/a%20b.sock?db=1", "unix", {"path": "/run/a b.sock", "username": "me", "password": "pw", "db": 1}),
    ],
)  # fmt: skip
def test_url_of_one_server_is_read(url: str, transport: str, options: dict[str, object]) -> None:
    """A URL of one server gives the transport and the options of a connection."""
    engine = from_url(url)
    assert (engine.transport, engine.options) == (transport, options)


def test_options_of_a_cache_are_read_from_the_query() -> None:
    """`timeout`, `retry_for` and `max_connections` of the URL bound the calls, and count more than the arguments."""
    cache = SessionCache.from_url("redis://h?timeout=250ms&retry_for=3&max_connections=7", timeout=60, retry_for=60)
    assert (cache._context.router.timeout, cache._executor.retry_for, cache._context.router._max_connections) == (
        0.25,
        3.0,
        7,
    )


@pytest.mark.parametrize("scheme", ["redis+cluster", "valkey+cluster", "rediss+cluster", "valkeys+cluster"])
def test_url_of_a_cluster_is_read(scheme: str) -> None:
    """A URL of a cluster gives all its hosts, and rules for addresses."""
    engine = from_url(f"{scheme}://:pw@a:1,[::1],b/0?address_remap=10.0.0.1:7001=localhost:17001,10.0.0.2=c,*:1=d:2")
    assert engine.transport == ("tls" if scheme in ("rediss+cluster", "valkeys+cluster") else "tcp")
    assert engine.nodes == (("a", 1), ("::1", 6379), ("b", 6379))
    assert engine.options["password"] == "pw"
    remap = engine.cache_options["address_remap"]
    assert remap(("10.0.0.1", 7001)) == ("localhost", 17001)
    assert remap(("10.0.0.2", 7002)) == ("c", 7002)
    assert remap(("x", 1)) == ("d", 2)
    assert remap(("x", 3)) == ("x", 3)


@pytest.mark.parametrize(
    ("url", "database", "transports", "sentinel_options"),
    [
        ("redis+sentinel://a,b:2/svc?db=3", 3, ("tcp", "tcp"), {}),
        ("valkey+sentinel://a,b:2/svc/4", 4, ("tcp", "tcp"), {}),
        (
            "redis+sentinel://u:p@a,b:2/svc?sentinel_username=s&sentinel_password=t", None, ("tcp", "tcp"),
            {"username": "s", "password": "t"},
        ),
        ("rediss+sentinel://a,b:2/svc?ssl_cert_reqs=none", None, ("tls", "tls"), {"ssl_cert_reqs": NONE}),
        ("rediss+sentinel://a,b:2/svc?ssl_cert_reqs=none&sentinel_ssl=false", None, ("tls", "tcp"), {}),
        (
            "redis+sentinel://a,b:2/svc?sentinel_ssl=true&sentinel_ssl_cert_reqs=optional", None, ("tcp", "tls"),
            {"ssl_cert_reqs": "optional"},
        ),
        (
            "rediss+sentinel://a,b:2/svc?ssl_check_hostname=false&sentinel_ssl_cert_reqs=none", None, ("tls", "tls"),
            {"ssl_cert_reqs": NONE},
        ),
    ],
)  # fmt: skip
def test_url_of_sentinels_is_read(
    url: str, database: int | None, transports: tuple[str, str], sentinel_options: dict[str, str]
) -> None:
    """A URL of sentinels gives the service, its database, and the sentinels' own credentials and TLS."""
    engine = from_url(url)
    assert (engine.service, engine.options.get("db")) == ("svc", database)
    assert engine.sentinels == (("a", 26379), ("b", 2))
    assert (engine.transport, engine.for_sentinels.transport) == transports
    assert engine.for_sentinels.options == sentinel_options


WRONG = [
    ("", "url"),
    ("localhost", "url"),
    ("http://u:hidden@h", "url"),
    ("u:hidden@h:6379", "url"),
    ("'redis://:hidden@h'", "url"),
    ("redis+unix://h", "url"),
    ("redis://", "url"),
    ("redis:///0", "url"),
    ("redis://:@h", "url"),
    ("redis://u:@h", "url"),
    ("redis://@h", "url"),
    ("redis://h,i", "url"),
    ("redis://h,", "url"),
    ("redis+cluster://a,b,", "url"),
    ("redis+cluster://,a", "url"),
    ("redis+cluster://a,,b", "url"),
    ("redis+cluster://a,a:6379", "url"),
    ("redis+cluster://u:hidden@a,u:hidden@b", "url"),
    ("redis+cluster://h/3", "url"),
    ("redis+cluster://h?db=1", "db"),
    ("redis+cluster://h?db=0", "db"),
    ("redis+sentinel://h", "url"),
    ("redis+sentinel://h/", "url"),
    ("redis+sentinel://h/svc/x", "url"),
    ("redis+sentinel://h,/svc", "url"),
    ("redis+sentinel://h/svc/1?db=1", "db"),
    ("redis+sentinel://h/svc?sentinel_ssl_cert_reqs=none", "sentinel_ssl_cert_reqs"),
    ("redis+sentinel://h/svc?sentinel_db=1", "sentinel_db"),
    ("redis+sentinel://h/svc?sentinel_password=", "sentinel_password"),
    ("redis://h?sentinel_password=hidden", "sentinel_password"),
    ("redis://:hid/den@h", "url"),
    ("redis://:hidden/@h", "url"),
    ("redis://:hid?den@h", "url"),
    ("redis://:hidden?a=b@h", "url"),
    ("redis://u:12/hidden?a=b@h", "url"),
    ("redis://:hid#den@h", "url"),
    ("redis://:hidden%@h", "password"),
    ("redis://:hidden%ff@h", "password"),
    ("redis://:hid den@h", "url"),
    ("redis://h\n", "url"),
    ("redis://h:0", "url"),
    ("redis://h:99999", "url"),
    ("redis://a..b:6379", "url"),
    ("redis://" + "h" * 64, "url"),
    ("redis://h\udcff", "url"),
    ("redis://h:", "url"),
    ("redis://u:hidden@h:port", "url"),
    ("redis://::1", "url"),
    ("redis://[::1", "url"),
    ("redis://[g]", "url"),
    ("redis://a..b", "url"),
    ("redis://.", "url"),
    ("redis+cluster://a," + "b" * 64, "url"),
    ("redis+sentinel://a..b/svc", "url"),
    ("redis://\ud800", "url"),
    ("redis://:hidden\ud800@h", "url"),
    ("embedded://a\0b", "url"),
    ("embedded://%00", "url"),
    ("embedded://~/data", "url"),
    ("redis://h/x", "url"),
    ("redis://h/1/2", "url"),
    ("redis://h/-1", "url"),
    ("redis://h/\u00b2", "url"),
    ("redis://h/99999999999", "url"),
    ("redis://h/1?db=1", "db"),
    ("redis://h?db=1&db=1", "db"),
    ("redis://h?db=", "db"),
    ("redis://h?db", "url"),
    ("redis://h?db=1&", "url"),
    ("redis://h?db=x", "db"),
    ("redis://h?db=-1", "db"),
    ("redis://u:hidden@h?password=hidden", "password"),
    ("redis://u@h?username=u", "username"),
    ("redis://h?password=hid+den", "password"),
    ("redis://h?password=hid&den", "url"),
    ("redis://h?passwort=hidden", "passwort"),
    ("redis://h?namespace=hidden", "namespace"),
    ("redis://h?socket_timeout=1", "socket_timeout"),
    ("redis://h?decode_responses=true", "decode_responses"),
    ("redis://h?timeout=soon", "timeout"),
    ("redis://h?retry_for=0", "retry_for"),
    ("redis://h?max_connections=0", "max_connections"),
    ("redis://h?max_connections=1.5", "max_connections"),
    ("redis://h?protocol=3", "protocol"),
    ("redis://h?client_name=a%20b", "client_name"),
    ("redis://h?address_remap=*=h", "address_remap"),
    ("redis+cluster://h?address_remap=a", "address_remap"),
    ("redis+cluster://h?address_remap=a=b,a=c", "address_remap"),
    ("redis+cluster://h?address_remap=a=*", "address_remap"),
    ("redis+cluster://h?address_remap=a=b:0", "address_remap"),
    ("redis://h?ssl_cert_reqs=none", "ssl_cert_reqs"),
    ("unix:///s?ssl_cert_reqs=none", "ssl_cert_reqs"),
    ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
    ("rediss://h?ssl_check_hostname=perhaps", "ssl_check_hostname"),
    ("rediss://h?ssl_check_hostname=true&ssl_cert_reqs=none", "ssl_check_hostname"),
    ("rediss://h?ssl_cert_reqs=none&ssl_ca_path=/", "ssl_ca_path"),
    ("redis+cluster://a:1,A:1", "url"),
    ("rediss://h?ssl_ca_certs=/missing", "ssl_ca_certs"),
    ("rediss://h?ssl_ca_certs=/etc/hostname", "ssl_ca_certs"),
    ("rediss://h?ssl_ca_path=/missing", "ssl_ca_path"),
    ("rediss://h?ssl_ca_data=hidden", "ssl_ca_data"),
    ("rediss://h?ssl_certfile=/missing", "ssl_certfile"),
    ("rediss://h?ssl_certfile=/etc/hostname", "ssl_certfile"),
    ("rediss://h?ssl_keyfile=/etc/hostname", "ssl_keyfile"),
    ("rediss://h?ssl_password=hidden", "ssl_password"),
    ("rediss://h?ssl_min_version=1.1", "ssl_min_version"),
    ("rediss://h?ssl_ciphers=none-such", "ssl_ciphers"),
    ("rediss://h?ssl_exclude_verify_flags=none-such", "ssl_exclude_verify_flags"),
    ("rediss+sentinel://h/svc?sentinel_ssl_ca_certs=/missing", "sentinel_ssl_ca_certs"),
    ("unix://run/s", "url"),
    ("unix:///", "url"),
    ("unix:///" + "x" * 120, "url"),
    ("fake://h", "url"),
    ("fake://?db=1", "db"),
]


@pytest.mark.parametrize(("url", "name"), WRONG)
def test_wrong_url_is_refused_by_name_without_secrets(url: str, name: str) -> None:
    """A wrong URL is refused before a connection is opened. The error names the option, and holds no part of a password."""
    with pytest.raises(InvalidInput) as refused:
        SessionCache.from_url(url)
    assert refused.value.name == name
    text = "".join(traceback.format_exception(refused.value)).partition("InvalidInput: ")[2]
    assert not {"hid", "den", "hidden"} & set(text.replace("'", " ").replace("=", " ").split())
    assert "hidden" not in text


@pytest.mark.parametrize("url", [None, 5, b"redis://:hidden@h"])
def test_url_that_is_not_text_is_refused(url: object) -> None:
    """A URL of another type is refused by its type."""
    with pytest.raises(InvalidInput, match=type(url).__name__) as refused:
        SessionCache.from_url(url)  # type: ignore[arg-type]
    assert "hidden" not in str(refused.value)


def test_unknown_option_is_answered_with_the_valid_ones() -> None:
    """The error of an unknown option lists the options that the URL takes."""
    with pytest.raises(InvalidInput, match=r"valid options of a redis://.* timeout, retry_for, .*client_name"):
        from_url("redis://h?retry=3")
    with pytest.raises(InvalidInput, match="sentinel_ssl_ca_certs"):
        from_url("redis+sentinel://h/svc?retry=3")


@pytest.mark.parametrize(
    "url",
    [
        "redis://worker:hidden@h?client_name=web",
        "redis+sentinel://hidden@h/svc?sentinel_password=hidden&sentinel_username=hidden",
        "redis://h?password=hidden%26x",
        "unix://:hidden@/s",
    ],
)
def test_texts_of_a_cache_hide_secrets(url: str) -> None:
    """`where`, the repr of the cache and the repr of its engine hold no secret."""
    with SessionCache.from_url(url) as cache:
        assert "hidden" not in f"{cache!r} {cache.where} {cache.engine!r}"


def test_key_without_its_password_is_refused_and_asks_no_terminal(tmp_path: Path) -> None:
    """An encrypted key is refused at once without `ssl_password`, and taken with it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-passout", "pass:hidden", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    url = f"rediss://h?ssl_certfile={certificate}&ssl_keyfile={key}"
    with pytest.raises(InvalidInput) as refused:
        from_url(url)
    assert refused.value.name == "ssl_certfile"
    assert isinstance(from_url(f"{url}&ssl_password=hidden"), Engine)


def test_address_remap_argument_is_checked() -> None:
    """`address_remap` takes a function or rules, for a cluster or Sentinel only."""
    for remap in ("a", 5, {"a": "b"}):
        with pytest.raises(InvalidInput, match="address_remap"):
            SessionCache.from_url("redis+cluster://h", address_remap=remap)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="one server"):
        AsyncSessionCache.from_url("redis://h", address_remap="*=h")
    cache = SessionCache.from_url("redis+cluster://h", address_remap=lambda address: "h")  # type: ignore[arg-type, return-value]
    with cache, pytest.raises(InvalidInput, match="must return"):
        cache.engine.reachable(("a", 1))


@pytest.mark.parametrize(
    "url", ["redis://:hid#den@h", "redis://h?ssl_cert_reqs=none", "rediss://h?ssl_ca_certs=/missing"]
)
def test_command_line_prints_one_line_for_a_wrong_url(url: str) -> None:
    """The command line prints one line without a traceback and without a secret, and exits with 2."""
    done = run("ls", "--url", url)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "hid" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
