from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import boto3
import pytest
from moto.server import ThreadedMotoServer

from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.io import objects
from ml_tasks.result import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def test_a_written_object_is_read_listed_and_deleted(tmp_path: Path) -> None:
    uri = (tmp_path / "a folder" / "x.txt").as_uri()
    assert not objects.exists(uri)
    objects.write_text(uri, "one")
    objects.write_text(uri, "two")
    assert objects.read_text(uri) == "two"
    assert [o.size for o in objects.find(tmp_path.as_uri())] == [3]
    objects.delete(uri)
    objects.delete(uri)
    assert not objects.exists(uri)


def test_a_refused_write_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BackendError, match="cannot be written"):
        objects.write_bytes((tmp_path / "file" / "x").as_uri(), b"")
    assert (tmp_path / "file").read_text() == "in the way"


def test_of_many_who_create_an_object_one_does(tmp_path: Path) -> None:
    uri = (tmp_path / "folder" / "x").as_uri()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: objects.create_bytes(uri, str(n).encode()), range(32)))
    assert made.count(True) == 1
    assert objects.read_text(uri) == str(made.index(True))
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["x"]


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A bucket of a server that speaks S3."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    told = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        **dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x"),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="own")
        yield "s3://own"
    server.stop()


def test_an_object_is_created_once_on_s3(s3: str) -> None:
    uri = f"{s3}/a folder/x"
    assert objects.create_bytes(uri, b"one")
    assert not objects.create_bytes(uri, b"two")
    assert objects.read_text(uri) == "one"
    with pytest.raises(BackendError, match=r"s3://nowhere/x: cannot be written: .*NoSuchBucket"):
        objects.create_bytes("s3://nowhere/x", b"")


@pytest.mark.parametrize(
    ("ask", "done"),
    [
        (objects.read_bytes, "read"),
        (objects.opened, "read"),
        (objects.exists, "looked at"),
        (objects.find, "listed"),
        (objects.delete, "removed"),
        (lambda uri: objects.write_bytes(uri, b""), "written"),
        (lambda uri: objects.create_bytes(uri, b""), "written"),
    ],
)
def test_a_store_that_refuses_is_said_so(
    ask: Callable[[str], object], done: str, tmp_path: Path
) -> None:
    with pytest.raises(BackendError, match=rf"cannot be {done}: .*File name too long"):
        ask((tmp_path / ("x" * 300)).as_uri())


def test_a_missing_object(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        objects.read_bytes((tmp_path / "x").as_uri())
    assert objects.find((tmp_path / "nowhere").as_uri()) == []


def test_an_address_of_another_kind() -> None:
    with pytest.raises(ConfigError, match="wanted file:///… or s3://"):
        objects.read_bytes("ftp://host/x")


def test_results(tmp_path: Path) -> None:
    result = Result(task="t", pipeline="p", run="r")
    objects.write_result((tmp_path / "r.json").as_uri(), result)
    assert objects.read_result((tmp_path / "r.json").as_uri()) == result
