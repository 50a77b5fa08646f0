"""What celery runs: each task issues 400 IDs in four threads, and some are killed in the middle of that."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from celery import Celery
from issuers import ROOT, issue

for folder in ["queue", "done", "control"]:
    os.makedirs(ROOT / folder, exist_ok=True)

app = Celery("tasks")
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={
        "data_folder_in": str(ROOT / "queue"),
        "data_folder_out": str(ROOT / "queue"),
        "processed_folder": str(ROOT / "done"),
        "control_folder": str(ROOT / "control"),
        "store_processed": False,
    },
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
)


@app.task(name="tasks.many")
def many() -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(issue, [100] * 4))


@app.task(name="tasks.killed")
def killed() -> None:
    def kill() -> None:
        time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=kill).start()
    while True:
        many()
