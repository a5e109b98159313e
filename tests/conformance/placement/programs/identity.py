"""A real Keystone: made in a folder, and served on a free port of the loopback address until it is stopped.

Run with an interpreter that has keystone. Its database is SQLite, its tokens are Fernet's.

    python identity.py FOLDER PASSWORD

It prints its URL once it listens. The user ``admin`` of the project ``admin`` has the password and every role.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFIGURATION = """
[database]
connection = sqlite:///{folder}/keystone.sqlite
[fernet_tokens]
key_repository = {folder}/fernet-keys
[credential]
key_repository = {folder}/credential-keys
[cache]
# An answer that is remembered would tell of a token as it was.
enabled = false
"""


def manage(folder: Path, *arguments: str) -> None:
    program = Path(sys.executable).with_name("keystone-manage")
    subprocess.run(
        [str(program), "--config-file", str(folder / "keystone.conf"), *arguments], stdout=sys.stderr, check=True
    )


def main() -> None:
    folder, password = Path(sys.argv[1]), sys.argv[2]
    folder.mkdir()
    (folder / "keystone.conf").write_text(CONFIGURATION.format(folder=folder), encoding="utf-8")
    for name in ("fernet-keys", "credential-keys"):
        (folder / name).mkdir(mode=0o700)
    manage(folder, "db_sync")
    # Its keys are of whoever runs it.
    own = ["--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid())]
    manage(folder, "fernet_setup", *own)
    manage(folder, "credential_setup", *own)

    os.environ["OS_KEYSTONE_CONFIG_DIR"] = str(folder)
    from werkzeug.serving import WSGIRequestHandler, make_server

    WSGIRequestHandler.log_request = lambda *_arguments, **_more: None
    server = make_server("127.0.0.1", 0, lambda *_: [], threaded=True)
    url = f"http://127.0.0.1:{server.port}"
    more = [f"--bootstrap-{name}-url={url}/v3" for name in ("admin", "internal", "public")]
    manage(folder, "bootstrap", f"--bootstrap-password={password}", "--bootstrap-region-id=RegionOne", *more)

    # It reads arguments of its own.
    del sys.argv[1:]
    from keystone.wsgi.api import application

    server.app = application
    print(url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
