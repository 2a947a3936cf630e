"""Runs ministack until stdin ends, then ends it with its functions; so they end with the parent process, however it ends.

Records every policy decision as a line of JSON in the file `decisions` below TMPDIR.
"""

import json
import os
import pathlib
import shutil
import signal
import sys
import threading

from ministack import app
from ministack.core import iam_evaluator, responses

SCRATCH = pathlib.Path(os.environ["TMPDIR"])


def end_with_stdin():
    sys.stdin.buffer.read()
    shutil.rmtree(SCRATCH, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def record(enforce, file):
    def enforcing(access_key, action, service, region, resource_arn="*", **context):
        denied = enforce(access_key, action, service, region, resource_arn=resource_arn, **context)
        principal = iam_evaluator.resolve_principal(access_key or "", responses.get_account_id())
        line = {"by": getattr(principal, "arn", None), "action": action, "resource": resource_arn, "denied": bool(denied)}
        file.write(json.dumps(line) + "\n")
        return denied

    return enforcing


os.setpgid(0, 0)
threading.Thread(target=end_with_stdin, daemon=True).start()
iam_evaluator.enforce = record(iam_evaluator.enforce, open(SCRATCH / "decisions", "a", buffering=1))
sys.argv = ["ministack"]
app.main()
