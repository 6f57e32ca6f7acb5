"""An authority and certificates of its own, made with the `openssl` program: for tests only, good for nothing else."""

import shutil
import subprocess
from pathlib import Path

import pytest

SERVED = "localhost"


def _openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


class Authority:
    """Signs for whoever asks. `file` is what a peer has to trust."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("the openssl program, which makes the tests' certificates, is not installed")
        self._folder = folder / "authority"
        self._folder.mkdir()
        self.file = self._folder / "authority.pem"
        (self._folder / "index.txt").touch()
        (self._folder / "serial").write_text("01\n")
        (self._folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca = d\n[d]\ndatabase = index.txt\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\n"
            "policy = p\nunique_subject = no\n[p]\ncommonName = supplied\n")
        _openssl(self._folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-keyout", "authority.key", "-out", "authority.pem", "-days", "3650", "-subj", "/CN=authority")

    def sign(
        self, folder: Path, names: str = f"DNS:{SERVED}", start: str = "20200101000000Z", end: str = "20491231000000Z"
    ) -> tuple[Path, Path]:
        """A certificate (with its issuer's behind it) and its key, as fullchain.pem and privkey.pem of the folder."""
        certificate, key = folder / "fullchain.pem", folder / "privkey.pem"
        (self._folder / "ext").write_text(f"subjectAltName = {names}\n")
        _openssl(self._folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-keyout", "new.key", "-out", "new.csr", "-subj", "/CN=server")
        _openssl(self._folder, "ca", "-batch", "-config", "ca.cnf", "-in", "new.csr", "-cert", "authority.pem",
                 "-keyfile", "authority.key", "-startdate", start, "-enddate", end, "-extfile", "ext", "-notext",
                 "-out", "new.pem")
        key.write_bytes((self._folder / "new.key").read_bytes())
        certificate.write_bytes((self._folder / "new.pem").read_bytes() + self.file.read_bytes())
        return certificate, key
