"""One cold start: `python starting.py MODULE FOLDER...`, with API Gateway's event as its input.

Prints what it took to import the module, and to have its `app` answer after that: of each CPU and
wall time in ms; then the status of the answer. It imports nothing that a module could need.
"""

import sys
import time

module_name, *folders = sys.argv[1:]
sys.path[:0] = folders
began = time.process_time(), time.perf_counter()

application = __import__(module_name).app

started = time.process_time(), time.perf_counter()

import json  # noqa: E402
from types import SimpleNamespace  # noqa: E402

event = json.load(sys.stdin)
context = SimpleNamespace(
    aws_request_id="b2f5c1a0-0000-4000-8000-000000000000",
    get_remaining_time_in_millis=lambda: 29_000,
)
asked = time.process_time(), time.perf_counter()
answer = application(event, context)
answered = time.process_time(), time.perf_counter()

spans = zip((*began, *asked), (*started, *answered), strict=True)
figures = [(end - start) * 1000 for start, end in spans]
sys.stdout.write(json.dumps([*figures, answer["statusCode"]]) + "\n")
