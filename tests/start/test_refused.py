"""What can't be done is refused with one line and exit code 2, and nothing is damaged."""

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from uuid_utils.compat import uuid7

from infra.data_dir import DataDir
from infra.embedded_postgres import ROLE, SUPERUSER, EmbeddedPostgres
from infra.first_start import first_admin
from infra.postgres_checks import check
from infra.server import bind, tls
from infra.settings import Settings, StartRefused
from tests.servers.certificates import Certificates, issue
from tests.start.processes import refusal, run, up


def test_a_busy_port(fresh_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        done = run("up", "--data-dir", fresh_dir, "--port", str(port))
    assert refusal(done) == f"cannot listen on 127.0.0.1:{port}: address already in use"
    assert not (fresh_dir / "postgres").exists(), "PostgreSQL was started for nothing"


def test_a_data_directory_that_cannot_be_made(fresh_dir: Path) -> None:
    fresh_dir.write_text("a file is in the way")
    assert refusal(run("up", "--data-dir", fresh_dir)) == f"{fresh_dir} is not a directory"
    with pytest.raises(StartRefused, match=str(fresh_dir)), DataDir(fresh_dir / "below"):
        pass
    assert fresh_dir.read_text() == "a file is in the way"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_data_directory_that_cannot_be_written(fresh_dir: Path) -> None:
    fresh_dir.mkdir(mode=0o500)
    assert "cannot write to" in refusal(run("up", "--data-dir", fresh_dir))


def test_a_file_system_that_takes_no_writes() -> None:
    folder = Path("/proc/mission-control")
    with pytest.raises(StartRefused, match=f"cannot write to {folder}"), DataDir(folder):
        pass


def test_a_data_directory_in_use(fresh_dir: Path) -> None:
    with DataDir(fresh_dir):
        said = refusal(run("up", "--data-dir", fresh_dir))
    assert said == f"the data directory {fresh_dir} is in use by process {os.getpid()}"


def test_a_data_directory_of_a_newer_version_is_not_touched(fresh_dir: Path) -> None:
    fresh_dir.mkdir()
    (fresh_dir / "VERSION").write_text("999\n")
    before = fresh_dir.stat()
    assert "999" in refusal(run("up", "--data-dir", fresh_dir))
    after = fresh_dir.stat()
    assert os.listdir(fresh_dir) == ["VERSION"]  # noqa: PTH208 - names alone
    assert (after.st_mtime_ns, after.st_mode) == (before.st_mtime_ns, before.st_mode)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MC_PORT", "http"),
        ("MC_PORT", "70000"),
        ("MC_LOG_FORMAT", "xml"),
        ("MC_LEASE_TTL_S", "0"),
        ("MC_DATABASE_URL", "mysql://ada:secret@localhost/x"),
        ("MC_DATABASE_URL", "postgresql://ada:hunter2@[/missions"),
        ("MC_READ_DATABASE_URL", "postgresql://u:my topsecret@host/x"),
        ("MC_READ_DATABASE_URL", "host=there password='topsecret"),
        ("MC_INFLUXDB_URL", "foo"),
        ("MC_INFLUXDB_URL", "ftp://there:8086"),
        ("MC_INFLUXDB_URL", "http://:8086"),
        ("MC_INFLUXDB_URL", "http://there:port"),
        ("MC_INFLUXDB_URL", "http://over there"),
        ("MC_INFLUXDB_URL", "http://the\nre"),
        ("MC_INFLUXDB_TOKEN", "ü"),
        ("MC_INFLUXDB_TOKEN", "two words"),
        ("MC_INFLUXDB_TOKEN", "a line\n"),
        ("MC_ELASTICSEARCH_API_KEY", "ü"),
        ("MC_REDIS_URL", "redis://127.0.0.1:1/abc"),
        ("MC_REDIS_URL", "redis://127.0.0.1:port"),
        ("MC_REDIS_URL", "redis://:secret@/0"),
        ("MC_TRUSTED_PROXIES", "garbage one"),
        ("MC_TRUSTED_PROXIES", "127.0.0.1,proxy.example.org"),
        ("MC_TRUSTED_PROXIES", "10.0.0.1/8"),
        ("MC_TRUSTED_PROXIES", "127.0.0.1,*"),
        ("MC_ALLOWED_ORIGINS", "not an origin"),
        ("MC_ALLOWED_ORIGINS", "localhost:8000"),
        ("MC_ALLOWED_ORIGINS", "https://example.org,https://example.org/missions"),
        ("MC_ALLOWED_ORIGINS", "https://Example.org"),
        ("MC_ALLOWED_ORIGINS", "https://example.org:443"),
        ("MC_ALLOWED_ORIGINS", "https://ada@example.org"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named_and_not_repeated(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StartRefused) as refused:
        Settings.load()
    assert str(refused.value).startswith(f"{name}: ")
    assert value not in str(refused.value)


def test_a_setting_that_makes_no_sense_is_one_line() -> None:
    assert refusal(run("up", MC_PORT="http")).startswith("MC_PORT: ")
    told = refusal(run("doctor", MC_READ_DATABASE_URL="postgresql://u:my topsecret@host/x"))
    assert told.startswith("MC_READ_DATABASE_URL: ") and "secret" not in told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MC_DATABASE_URL", "postgresql:///missions?host=%2Frun%2Fpostgresql"),
        ("MC_DATABASE_URL", "host=/run/postgresql dbname=missions password='with a space'"),
        ("MC_INFLUXDB_URL", "https://there/behind/a/proxy/"),
        ("MC_REDIS_URL", "rediss://user:p%2Fw@[::1]:6379/15"),
        ("MC_REDIS_URL", "redis://:a word@there"),
        ("MC_TRUSTED_PROXIES", "127.0.0.1, ::1, 10.1.0.0/16"),
        ("MC_TRUSTED_PROXIES", "*"),
        ("MC_ALLOWED_ORIGINS", "https://missions.example.org/, http://localhost:5173"),
        ("MC_ALLOWED_ORIGINS", "http://[::1]:443"),
    ],
)
def test_a_setting_that_makes_sense_is_taken(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MC_INFLUXDB_TOKEN", "Zg1-_9==")
    monkeypatch.setenv(name, value)
    Settings.load()


@pytest.mark.parametrize("host", ["999.1.1.1", "192.0.2.1", "no-such-host.invalid", "a..b"])
def test_a_host_that_nobody_can_listen_on_is_named(host: str) -> None:
    with pytest.raises(StartRefused, match=rf"^MC_HOST: cannot listen on {host}:0: "):
        bind(Settings.load(host=host, port=0, behind_proxy=True))
    with pytest.raises(StartRefused, match=rf"^MC_HOST: {host} can be reached from outside"):
        bind(Settings.load(host=host, port=0))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("admin_password", "short", "at least 8 characters"),
        ("admin_password", "long" * 65, "at most 256 characters"),
        ("admin_password", "long" * 300, "at most 256 characters"),
        ("admin_email", "garbage", "should match"),
        ("admin_email", "two words@example.org", "should match"),
        ("admin_email", f"{'long' * 80}@example.org", "at most 320 characters"),
    ],
)
def test_a_first_admin_who_could_not_sign_in_is_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(StartRefused, match=f"^MC_{name.upper()}: .*{said}") as refused:
        first_admin(Settings.load(**{name: value}))
    assert value not in str(refused.value)


def test_an_address_that_others_reach_needs_tls_or_a_proxy() -> None:
    everywhere = "0.0.0.0"  # noqa: S104 - the point of the test
    with pytest.raises(StartRefused, match="--behind-proxy"):
        bind(Settings.load(host=everywhere, port=0))
    bind(Settings.load(host=everywhere, port=0, behind_proxy=True)).close()


def test_a_certificate_without_its_key() -> None:
    with pytest.raises(StartRefused, match="MC_TLS_CERT and MC_TLS_KEY go together"):
        Settings.load(tls_cert="/etc/hostname")
    settings = Settings.load(tls_cert="/etc/hostname", tls_key="/none")
    with pytest.raises(StartRefused, match="/none: no such file or directory"):
        tls(settings)


def test_with_a_certificate_it_speaks_tls_1_3_and_nothing_older(
    data_dir: Path, certificates: Certificates
) -> None:
    words = ["--tls-cert", str(certificates.certificate), "--tls-key", str(certificates.key)]
    with up(data_dir, *words) as running:
        assert running.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(certificates.authority))
        assert running.get("/health/live", verify=trusting).status_code == 200
        trusting.maximum_version = ssl.TLSVersion.TLSv1_2
        address = urlsplit(running.url)
        with (
            socket.create_connection((address.hostname or "", address.port or 0)) as plain,
            pytest.raises(ssl.SSLError),
        ):
            trusting.wrap_socket(plain, server_hostname="127.0.0.1")
        assert running.end() == 0


def test_a_superuser_is_refused_with_the_statement_that_mends_it(
    data_dir: Path, postgres: EmbeddedPostgres, empty_database: str
) -> None:
    as_superuser = postgres.dsn(SUPERUSER, empty_database)
    said = refusal(run("up", "--data-dir", data_dir, MC_DATABASE_URL=as_superuser))
    role = f"other_{uuid7().hex}"
    statements = said.partition("connect as another one: ")[2].replace('"mission_control"', role)
    with psycopg.connect(as_superuser, autocommit=True) as connection:
        connection.execute(statements.replace("'...'", "'some password'").encode())
        sockets = postgres.cluster / "run"
        mended = f"host={sockets} dbname={empty_database} user={role} password='some password'"
        with up(data_dir, MC_DATABASE_URL=mended) as running:
            assert running.create_mission("mended")
            assert not (data_dir / "postgres").is_symlink()
            assert running.end() == 0
        connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))


def test_a_role_that_bypasses_row_level_security_is_refused(
    postgres: EmbeddedPostgres, empty_database: str
) -> None:
    with psycopg.connect(postgres.dsn(SUPERUSER, "postgres"), autocommit=True) as connection:
        name = f"bypassing_{uuid7().hex}"
        role = sql.Identifier(name)
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN BYPASSRLS PASSWORD 'pw'").format(role))
        dsn = f"host={postgres.cluster / 'run'} dbname={empty_database} password=pw"
        with pytest.raises(StartRefused, match=f"the role {name} bypasses row-level security"):
            check(f"{dsn} user={name}")
        connection.execute(sql.SQL("DROP ROLE {}").format(role))


def test_a_database_that_is_away_is_named_without_its_password() -> None:
    with pytest.raises(StartRefused, match=r"MC_DATABASE_URL: .*127\.0\.0\.1") as refused:
        check("postgresql://ada:hunter2@127.0.0.1:9/missions")
    assert "hunter2" not in str(refused.value)


@pytest.fixture
def empty_database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """The name of a database without anything in it."""
    name = f"empty_{uuid7().hex}"
    with psycopg.connect(postgres.dsn(SUPERUSER, "postgres"), autocommit=True) as connection:
        names = [sql.Identifier(name), sql.Identifier(ROLE)]
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
        yield name
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(names[0]))


@pytest.fixture(scope="session")
def certificates(open_folder: Path) -> Certificates:
    return issue(open_folder)
