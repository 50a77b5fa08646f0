"""multiprocessing's fork: workers of four threads, some of which are killed."""

import multiprocessing
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor

from issuers import issue


def work(ready) -> None:
    with ThreadPoolExecutor(4) as threads:
        ready.set()
        list(threads.map(issue, [50] * 80))


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    rng = random.Random(15)
    for _ in range(5):
        workers = []
        for _ in range(4):
            ready = context.Event()
            worker = context.Process(target=work, args=(ready,))
            worker.start()
            workers.append((worker, ready))
        for worker, ready in workers:
            assert ready.wait(30)
        issue(500)
        time.sleep(0.3)
        for worker, _ in rng.sample(workers, 1):
            os.kill(worker.pid, signal.SIGKILL)
        for worker, _ in workers:
            worker.join(60)
            assert worker.exitcode in (0, -signal.SIGKILL), worker.exitcode
    print("done")
