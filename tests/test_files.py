import subprocess
import sys

import pytest

from aiida_limsm.files import disk_errors, sha256_of, whole_file

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import h5py, numpy as np
from aiida_limsm.files import whole_file

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    with whole_file(Path(sys.argv[1])) as temporary, h5py.File(temporary, "w") as file:
        file["x"] = np.zeros(100_000)
except OSError as error:
    print(error.errno, error.filename, str(error).count("\\n"))
"""


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.txt"
    with whole_file(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"

    def interrupted():
        with whole_file(path) as temporary:
            temporary.write_text("sec")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "first"
    assert sha256_of(path).startswith("a7937b64b8caa58f03721bb6bacf5c78")


@pytest.mark.parametrize("room", [0, 50_000])
def test_a_disk_that_is_full_is_said_in_one_line(tmp_path, room):
    """A real failed write of HDF5: when the file is made, and when it is closed."""
    path = tmp_path / "a.h5"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(room)], capture_output=True, text=True
    )
    assert done.stdout.split() == ["27", str(path), "0"], done.stderr  # EFBIG
    assert list(tmp_path.iterdir()) == []


def test_other_errors_stay_what_they_are(tmp_path):
    for error in (RuntimeError("no disk"), FileNotFoundError(2, "No such file", "b"), KeyError()):
        with pytest.raises(type(error)) as caught, disk_errors(tmp_path / "a"):
            raise error
        assert caught.value is error
