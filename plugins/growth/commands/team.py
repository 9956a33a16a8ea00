"""What a team's Airflow needs before it starts: its secrets, and the passwords of its users.

`python -m growth.commands.team` writes the secrets with nothing installed but Python: a machine that only runs
containers has no virtual environment.
"""

from __future__ import annotations

import base64
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from growth.errors import UserError
from growth.private_file import write_private

# Bytes of each secret. A signature with SHA-512 wants a key of its own length; a Fernet key has exactly 32.
SECRET_BYTES = {
    "METADATA_PASSWORD": 32,
    "WAREHOUSE_PASSWORD": 32,
    "REDIS_PASSWORD": 32,
    "FERNET_KEY": 32,
    "API_SECRET_KEY": 64,
    "JWT_SECRET": 64,
}


def made_up_secrets() -> dict[str, str]:
    """A random secret of each name."""
    # In this form of base64 no character needs an escape in an address.
    return {name: base64.urlsafe_b64encode(os.urandom(size)).decode() for name, size in SECRET_BYTES.items()}


def make_secrets(root: Path) -> int:
    """Write .env: the example with secrets filled in. Raises UserError where there is one already."""
    target = root / ".env"
    if target.exists():
        raise UserError(f"{target} exists, and services may have been started with its secrets: edit it.")
    text = (root / ".env.example").read_text(encoding="utf-8")
    for name, secret in made_up_secrets().items():
        text = re.sub(rf"^{name}=$", f"{name}={secret}", text, flags=re.MULTILINE)
    write_private(target, text)
    print(f"{target} is written. Only you can read it; keep a copy where your passwords are.")
    return 0


def show_login(environment: Mapping[str, str]) -> int:
    """Print how people log in; passwords that are missing are made up."""
    from growth.local_airflow.api import how_to_log_in

    print(how_to_log_in(environment))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(make_secrets(Path(__file__).parents[3]))
    except UserError as error:
        sys.exit(str(error))
