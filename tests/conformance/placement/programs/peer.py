"""The reference service, openstack-placement, in a process of its own: fills its database by its API, and asks it.

Run with an interpreter that has openstack-placement. Each line of the standard input is a JSON list of requests
``[method, path, microversion, body]``; each is answered by a line with the list of ``[status, document]``. The database
is SQLite in a file that is given as the argument; whoever reads may do no auth (``noauth2``).
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import webob
from oslo_config import cfg
from oslo_policy import opts as policy_opts
from placement import conf, db_api, deploy


def main() -> None:
    logging.disable(logging.CRITICAL)
    answers, sys.stdout = sys.stdout, sys.stderr
    options = cfg.ConfigOpts()
    conf.register_opts(options)
    policy_opts.set_defaults(options)
    options.set_override("auth_strategy", "noauth2", group="api")
    options.set_override("connection", f"sqlite:///{sys.argv[1]}", group="placement_database")
    options.set_override("sync_on_startup", override=True, group="placement_database")
    options([], project="placement", default_config_files=[])
    db_api.configure(options)
    application = deploy.loadapp(options)
    for line in sys.stdin:
        answers.write(json.dumps([ask(application, *request) for request in json.loads(line)]) + "\n")
        answers.flush()


def ask(application: Any, method: str, path: str, version: str, body: Any) -> tuple[int, Any]:
    request = webob.Request.blank(path, method=method)
    request.headers["x-auth-token"] = "admin"
    request.headers["openstack-api-version"] = f"placement {version}"
    if body is not None:
        request.content_type = "application/json"
        request.body = json.dumps(body).encode()
    answer = request.get_response(application)
    return answer.status_int, json.loads(answer.body) if answer.body else None


if __name__ == "__main__":
    main()
