"""A host in a process of its own, to be killed: creates a group with many members.

Arguments: the URL of DynamoDB, the stage. It says "ready", and begins when it is told to.
"""

import sys

from tests.emulator.hosts import BUCKET, Connections, Hosts

MEMBERS = [f"basicauth:{number:04d}" for number in range(300)]
GROUP = f"{BUCKET}/groups/crowd"

if __name__ == "__main__":
    url, stage = sys.argv[1:]
    client = Hosts(Connections(url), stage).start()
    print("ready", flush=True)  # to the test
    sys.stdin.readline()
    print(client.ask("PUT", GROUP, {"data": {"members": MEMBERS}}).status, flush=True)
