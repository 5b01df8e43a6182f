"""Imports everything that a function's process may need, so that a forked child finds it there: 20 ms of a cold start.

Importing this starts no thread and no event loop. The warm parent imports it; a process of its own does not.
"""

import asyncio
import concurrent.futures.thread
import contextvars
import ipaddress
import json
import logging
import pathlib
import queue
import random
import signal
import traceback
import urllib.parse

import httptools

import kfn.function.faults
import kfn.function.kinds.asgi
import kfn.function.kinds.knative
import kfn.function.kinds.plain
import kfn.function.kinds.wsgi
import kfn.function.loader
import kfn.function.main
import kfn.function.server
import kfn.function.threads

MODULES = (
    asyncio, concurrent.futures.thread, contextvars, ipaddress, json, logging, pathlib, queue, random, signal, traceback,
    urllib.parse, httptools, kfn.function.faults, kfn.function.kinds.asgi, kfn.function.kinds.knative, kfn.function.kinds.plain,
    kfn.function.kinds.wsgi, kfn.function.loader, kfn.function.main, kfn.function.server, kfn.function.threads,
)  # fmt: skip
