"""Airflow's configuration for this project, and the preparation of its home.

All of Airflow's settings are environment variables made here; there is no settings file to edit. A variable that the
operator has set is never changed.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from growth.errors import UserError
from growth.private_file import write_private

# ? and # end the path in the URI that SQLite's hook makes, % starts an escape there, Airflow expands $ in its settings,
# and : separates the folders of PYTHONPATH.
FORBIDDEN_IN_PATHS = "?#%$:"

# Airflow also reads a setting NAME from NAME_CMD or NAME_SECRET; an operator may use either.
OTHER_SPELLINGS = ("_CMD", "_SECRET")

# Airflow's own loggers, which at INFO write several lines for each task and request. Loggers of tasks are not listed.
QUIET_LOGGERS = (
    "alembic",
    "airflow.api_fastapi",
    "airflow.dag_processing",
    "airflow.models",
    "airflow.serialization",
    "http.access",
)

# Each `airflow` command advises to install packages that nothing here needs.
QUIET_WARNINGS = ("Could not import graphviz", "Using `httpx` with")


def airflow_environment(root: Path, base: Mapping[str, str]) -> dict[str, str]:
    """The environment for Airflow in this project: base, with a value for each setting that base does not have."""
    root = root.absolute()
    refuse_unusable_path(root)
    env = dict(base)
    if env.get("AIRFLOW_HOME"):
        # Processes with other working folders read it as well.
        env["AIRFLOW_HOME"] = str(Path(env["AIRFLOW_HOME"]).expanduser().absolute())
    for name, value in _defaults(root, Path(env.get("AIRFLOW_HOME") or root / ".airflow")).items():
        if not any(env.get(name + suffix) for suffix in ("", *OTHER_SPELLINGS)):
            env[name] = value

    plugins = str(root / "plugins")
    others = [folder for folder in env.get("PYTHONPATH", "").split(os.pathsep) if folder not in ("", plugins)]
    env["PYTHONPATH"] = os.pathsep.join([plugins, *others])

    # The components speak HTTP to each other, which must not go through a proxy. Any value also keeps macOS from asking
    # the system for proxies, which crashes after a fork.
    hosts = [host for host in (env.get("no_proxy") or env.get("NO_PROXY") or "").split(",") if host]
    hosts += [host for host in ("127.0.0.1", "localhost") if host not in hosts]
    env["no_proxy"] = env["NO_PROXY"] = ",".join(hosts)

    # Without bytecode each process compiles all of Airflow again, which costs seconds for each command and task.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env


def _defaults(root: Path, home: Path) -> dict[str, str]:
    defaults = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(root / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(root / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        # LocalExecutor forks this many workers at its start; Airflow's default of 32 takes 6 GB.
        "AIRFLOW__CORE__PARALLELISM": "4",
        # Airflow's default, the fully qualified name, changes with a laptop's network, and Airflow stops a task whose
        # host has changed its name.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": own_metadata_url(home),
        # The DAG processor finds a new or renamed file within seconds, not after 5 minutes.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__LOGGING__NAMESPACE_LEVELS": " ".join(f"{logger}=WARNING" for logger in QUIET_LOGGERS),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "SCARF_ANALYTICS": "false",
        "PYTHONWARNINGS": ",".join(f"ignore:{start}" for start in QUIET_WARNINGS),
        "AIRFLOW_CONN_GROWTH_WAREHOUSE": json.dumps(
            {"conn_type": "sqlite", "host": str(root / "data" / "saas_funnel.db")}
        ),
        "SAAS_GROWTH_SOURCE": "synthetic",
    }
    if sys.platform == "darwin":
        # Airflow forks processes that have used Apple's libraries; by default macOS lets such a child crash.
        defaults["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"
    return defaults


def refuse_unusable_path(root: Path) -> None:
    """Raise UserError where Airflow or its SQLite hook would misread the name of the project's folder."""
    if found := [character for character in FORBIDDEN_IN_PATHS if character in str(root)]:
        raise UserError(
            f"The folder {root} has {' and '.join(found)} in its name, which Airflow misreads; "
            f"move the project to a folder without any of {' '.join(FORBIDDEN_IN_PATHS)}."
        )


def own_metadata_url(home: Path) -> str:
    """Airflow's metadata as a file in its home; its path is absolute, hence the four slashes that SQLite needs."""
    return f"sqlite:///{home}/airflow.db"


def airflow_command() -> str:
    """The `airflow` of this interpreter: beside it in a virtual environment, else the first on PATH."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which("airflow", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))
    if found is None:
        raise UserError(f"Airflow is not installed for {sys.executable}; run make to install it.")
    return found


def prepare_airflow(root: Path, env: Mapping[str, str]) -> None:
    """Make the folders, the secrets and the metadata database that env names, where they are missing.

    Raises UserError. It takes no time where all of them exist, and may run in several processes at once and beside a
    running Airflow.
    """
    make_folders(root, env)
    home = Path(env["AIRFLOW_HOME"])
    with open(home / "prepare.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _write_secrets(home, env)
        _migrate(home, env, lock.fileno())


def make_folders(root: Path, env: Mapping[str, str]) -> None:
    """Airflow's home and the folder of the warehouse. Raises UserError."""
    home = Path(env["AIRFLOW_HOME"])
    for folder in (home, home / "logs", root.absolute() / "data"):
        _make_folder(folder)
    if home == root.absolute() / ".airflow":
        # It holds secrets with which one can log in as any user.
        home.chmod(0o700)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {folder} cannot be made: {error.strerror}.") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"The folder {folder} is not writable for user {os.getuid()}: change its owner or its mode.")


def _write_secrets(home: Path, env: Mapping[str, str]) -> None:
    """Write the keys that Airflow's components share.

    Airflow would write an airflow.cfg with these keys and with all its defaults, among them absolute paths; they would
    stay in it when the folder moves or Airflow is upgraded.
    """
    config = home / "airflow.cfg"
    if config.exists() or env.get("AIRFLOW_CONFIG"):
        return
    fernet_key, secret_key = (base64.urlsafe_b64encode(os.urandom(32)).decode() for _ in range(2))
    jwt_secret = base64.urlsafe_b64encode(os.urandom(64)).decode()
    write_private(
        config,
        "# Keys only: every setting is in the environment, see plugins/growth/local_airflow/environment.py.\n"
        f"[core]\nfernet_key = {fernet_key}\n\n"
        f"[api]\nsecret_key = {secret_key}\n\n"
        f"[api_auth]\njwt_secret = {jwt_secret}\n",
    )


def _migrate(home: Path, env: Mapping[str, str], lock: int) -> None:
    """Bring the metadata database to the version of Airflow that is installed."""
    if env.get("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN") != own_metadata_url(home):
        # An operator's own database: there is no file beside it that could hold its version.
        _run_migration(home, env, lock)
        return

    database, stamp = home / "airflow.db", home / "airflow.db.version"
    installed = version("apache-airflow-core")
    if database.exists() and stamp.exists() and stamp.read_text() == installed:
        return
    # A migration that is killed leaves a file that no later one can repair, so it works on a copy.
    new = home / "airflow.db.new"
    for suffix in ("", "-wal", "-shm"):
        new.with_name(new.name + suffix).unlink(missing_ok=True)
    if database.exists() and database.stat().st_size:
        _copy_database(database, new)
    print("Preparing Airflow's own database, once ...", flush=True)
    _run_migration(home, {**env, "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{new}"}, lock)
    new.replace(database)
    write_private(stamp, installed)


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def _run_migration(home: Path, env: Mapping[str, str], lock: int) -> None:
    log = home / "logs" / "migrate.log"
    with open(log, "w", encoding="utf-8") as output:
        # It inherits the lock: if this process is killed, the next one waits until the migration has ended.
        done = subprocess.run(
            [airflow_command(), "db", "migrate"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[lock],
        )
    if done.returncode:
        raise UserError(f"Airflow could not prepare its own database (exit status {done.returncode}); read {log}.")
