"""boto3 encrypts and decrypts with a key, from several threads, until standard input ends. Nothing is tried again.

Standard output: a line when every thread has done its first round, then what became of the calls, as JSON.
"""

import json
import sys
import threading

import boto3
from botocore.config import Config

THREADS = 4
ONCE = Config(retries={"total_max_attempts": 1}, max_pool_connections=THREADS)


class Load:
    def __init__(self, key):
        self.kms = boto3.client("kms", config=ONCE)
        self.key = key
        self.first = self.kms.encrypt(KeyId=key, Plaintext=b"before all of it")["CiphertextBlob"]
        self.stop = threading.Event()
        self.going = threading.Barrier(THREADS + 1)
        self.lock = threading.Lock()
        self.calls = 0
        self.failures = []

    def run(self):
        self.round()
        self.going.wait()
        while not self.stop.is_set():
            self.round()

    def round(self):
        try:
            sealed = self.kms.encrypt(KeyId=self.key, Plaintext=b"under load")["CiphertextBlob"]
            assert self.kms.decrypt(CiphertextBlob=sealed)["Plaintext"] == b"under load"
            # What was sealed before any rotation opens after each.
            assert self.kms.decrypt(CiphertextBlob=self.first)["Plaintext"] == b"before all of it"
        except Exception as error:
            with self.lock:
                self.failures.append(repr(error))
        with self.lock:
            self.calls += 3


def main():
    load = Load(sys.argv[1])
    threads = [threading.Thread(target=load.run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    load.going.wait()
    print("going", flush=True)
    sys.stdin.read()
    load.stop.set()
    for thread in threads:
        thread.join()
    json.dump({"calls": load.calls, "failures": load.failures}, sys.stdout)


main()
