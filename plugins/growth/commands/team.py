"""What a team's Airflow needs before it starts: its secrets, and its people's passwords."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path

from growth.errors import UserError
from growth.local_airflow.api import how_to_log_in
from growth.private_file import write_private

# Bytes of each secret. A signature with SHA-512 wants as many as it has itself, a Fernet key has exactly 32.
SECRET_BYTES = {
    "METADATA_PASSWORD": 32,
    "WAREHOUSE_PASSWORD": 32,
    "REDIS_PASSWORD": 32,
    "FERNET_KEY": 32,
    "API_SECRET_KEY": 64,
    "JWT_SECRET": 64,
}


def made_up_secrets() -> dict[str, str]:
    """A secret of each name."""
    # Base64 of this kind has no character that would need an escape in an address.
    return {name: base64.urlsafe_b64encode(os.urandom(size)).decode() for name, size in SECRET_BYTES.items()}


def make_secrets(root: Path) -> int:
    """Write .env: the example with secrets. One that is there stays as it is. Raises UserError."""
    target = root / ".env"
    if target.exists():
        raise UserError(f"{target} is there already, and services were perhaps started with its secrets: edit it.")
    text = (root / ".env.example").read_text(encoding="utf-8")
    for name, secret in made_up_secrets().items():
        text = re.sub(rf"^{name}=$", f"{name}={secret}", text, flags=re.MULTILINE)
    write_private(target, text)
    print(f"{target} is written. Only you can read it; keep a copy where your passwords are.")
    return 0


def show_login(environment: Mapping[str, str] = os.environ) -> int:
    """Say how people log in; passwords that are missing are made up."""
    print(how_to_log_in(environment))
    return 0
