"""What runs in the emulator's process: ministack, until the standard input ends.

The parent holds the other end of it, and lets go of it when it ends, however it does.
"""

import os
import signal
import sys
import threading
import time


def _end_with_parent() -> None:
    os.read(0, 1)  # gives nothing at its end, which is all that ever comes
    while True:  # once more if it was swallowed: before the data are loaded, SIGTERM just ends us
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from ministack.app import main

    sys.argv[1:] = []
    main()
