"""A Celery app whose worker sends itself jobs that mark.

Messages are files below ``ENDS_FOLDER``, so that no broker has to be started.
"""

from __future__ import annotations

import os

import redis
from celery import Celery
from celery.signals import worker_ready

from .ends import mark_one

folder = os.environ["ENDS_FOLDER"]
celery = Celery("ends", broker="filesystem://")
celery.conf.broker_transport_options = {
    "data_folder_in": folder,
    "data_folder_out": folder,
    "control_folder": folder,
    "polling_interval": 0.02,
}


@celery.task
def job(user: int) -> None:
    mark_one(user)
    with redis.Redis.from_url(os.environ["ENDS_REDIS_URL"]) as client:
        client.sadd("done", user)


@worker_ready.connect
def send(**_: object) -> None:
    for user in range(20):
        job.delay(user)
