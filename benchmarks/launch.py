"""Start a command from a small process and write what it cost: ``launch.py COST LOG COMMAND...``.

The kernel counts into the peak memory of a child what its parent held when it forked, so the
parent must be small.
"""

import json
import os
import sys
import time
from pathlib import Path

cost, log, command = sys.argv[1], sys.argv[2], sys.argv[3:]
began = time.monotonic()
child = os.fork()
if child == 0:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.execv(command[0], command)
_, status, used = os.wait4(child, 0)
with Path(cost).open("w") as file:
    json.dump(
        {
            "exit": os.waitstatus_to_exitcode(status),
            "cpu_s": used.ru_utime + used.ru_stime,
            "wall_s": time.monotonic() - began,
            "peak_mb": used.ru_maxrss / 1024,
        },
        file,
    )
