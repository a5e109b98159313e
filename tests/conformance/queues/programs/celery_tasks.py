"""Tasks of a Celery application whose broker is a queue; results lie in files."""

import os
import pathlib
from urllib.parse import quote, urlsplit

import kombu.asynchronous.aws.connection
from celery import Celery, Task

address = urlsplit(os.environ["AWS_ENDPOINT_URL"])
if address.scheme == "https":
    # Workers receive by a client of their own, which asks this function alone for authorities.
    kombu.asynchronous.aws.connection.get_cert_path = lambda _verify: os.environ["AWS_CA_BUNDLE"]
key, secret = (quote(os.environ[name], safe="") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
app = Celery("celery_tasks", broker=f"sqs://{key}:{secret}@{address.netloc}")
app.conf.update(
    task_default_queue=os.environ["QUEUE"],
    broker_transport_options={
        "region": os.environ["AWS_DEFAULT_REGION"],
        "is_secure": address.scheme == "https",
        "queue_name_prefix": "celery-",
        "wait_time_seconds": 2,
        "polling_interval": 0.1,
        "visibility_timeout": 30,
    },
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    worker_prefetch_multiplier=4,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
)
FOLDER = pathlib.Path(os.environ["RESULTS"])


@app.task(bind=True, max_retries=3)
def work(self: Task, number: int) -> None:
    """Does a piece of work, some of it at the second attempt only."""
    if number % 7 == 3 and self.request.retries == 0:
        raise self.retry(countdown=1)
    with (FOLDER / str(number)).open("a", encoding="utf-8") as file:
        file.write(f"{self.request.retries}\n")


if __name__ == "__main__":
    for number in range(30):
        work.delay(number)
    work.apply_async((100,), countdown=2)
