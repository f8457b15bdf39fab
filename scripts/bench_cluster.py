"""What the measurements on the test cluster share: a broker that Pods reach, an operator on this machine, a pipeline, its
requests and the number of its processors. Not a program; see bench-burst, bench-reactions and bench-scale-in."""
import base64
import contextlib
import datetime
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.request

PORT, HOST = 18099, os.environ.get("WARREN_TEST_HOST", "10.88.0.1")


def kubectl(*arguments, text=None, check=True):
    return subprocess.run(["kubectl", *arguments], input=text, check=check, capture_output=True, text=True).stdout


def forward(port):
    """Makes the broker of this machine reachable from Pods."""
    listener = socket.create_server((HOST, 0), backlog=256)

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept():
        while True:
            client, _ = listener.accept()
            broker = socket.create_connection(("127.0.0.1", port))
            for ends in ((client, broker), (broker, client)):
                threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


class Watch:
    """Every number of replicas that is asked for, with when it was seen."""

    def __init__(self, namespace, pipeline):
        self.seen, self.ready = [], 0
        template = "{.spec.replicas} {.status.readyReplicas}{\"\\n\"}"
        self.process = subprocess.Popen(["kubectl", "get", "deployment", f"{pipeline}-processor", "-n", namespace,
                                         "-w", "-o", f"jsonpath={template}"], stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            numbers = line.split()
            self.ready = int(numbers[1]) if len(numbers) > 1 else 0
            if not self.seen or self.seen[-1][1] != int(numbers[0]):
                self.seen.append((time.time(), int(numbers[0])))

    def wanted(self):
        return self.seen[-1][1] if self.seen else -1

    def first(self, since, reaches):
        return next((at for at, number in self.seen if at >= since and reaches(number)), None)

    def pod_seconds(self, since, until):
        total, (at, number) = 0.0, (since, [n for t, n in self.seen if t <= since][-1])
        for next_at, next_number in [one for one in self.seen if since < one[0] <= until] + [(until, 0)]:
            total, at, number = total + (next_at - at) * number, next_at, next_number
        return total


def wait(what, condition, patience=180):
    end = time.time() + patience
    while not condition():
        if time.time() > end:
            sys.exit(f"{what}: not within {patience} s")
        time.sleep(0.02)


def submit(host, count):
    """On one connection; when the first was accepted, and the ids."""
    connection, first, ids = http.client.HTTPConnection(host), None, []
    for _ in range(count):
        connection.request("POST", "/api/v1/processData", '{"data":"x"}', {"content-type": "application/json"})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        if answer.status != 202:
            sys.exit(f"refused: {body}")
        first = first or time.time()
        ids.append(body["requestId"])
    return first, ids


def get(host, path):
    with urllib.request.urlopen(f"http://{host}{path}") as answer:
        return answer.read().decode()


def figure(text, name):
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))


def seconds(stamp):
    stamp = re.sub(r"(\.\d{6})\d*", r"\1", stamp.replace("Z", "+00:00"))
    return datetime.datetime.fromisoformat(stamp).timestamp()


def records(host, ids):
    found, cursor = {}, ""
    while True:
        page = json.loads(get(host, f"/api/v1/requests?limit=500{cursor}"))
        found |= {record["requestId"]: record for record in page["requests"] if record["requestId"] in ids}
        if len(found) == len(ids) or not page.get("nextCursor"):
            return found
        cursor = f"&cursor={page['nextCursor']}"


@contextlib.contextmanager
def site(operator, namespace, pipeline, spec):
    """An operator with one pipeline, ready; the host of its web side. All of it goes afterwards."""
    amqp = os.environ["WARREN_TEST_AMQP_URL"]
    port = forward(int(re.search(r":(\d+)(/|$)", amqp)[1]))
    reachable = re.sub(r"@[^/]+", f"@{HOST}:{port}", amqp) if "@" in amqp else f"amqp://{HOST}:{port}"
    kubectl("apply", "--server-side", "-f", "crds")
    kubectl("delete", "namespace", namespace, "--ignore-not-found")
    kubectl("create", "namespace", namespace)
    kubectl("create", "secret", "generic", "rabbitmq", "-n", namespace, f"--from-literal=url={reachable}")
    log = open(f"/tmp/{namespace}.log" if os.environ.get("VERBOSE") else os.devnull, "w")
    process = subprocess.Popen([operator, "run", "--leader-election=false", f"--listen=127.0.0.1:{PORT}",
                                f"--watch-namespace={namespace}"], stdout=log, stderr=log)
    try:
        kubectl("apply", "-f", "-", text=json.dumps({
            "apiVersion": "warren.dev/v1alpha1", "kind": "ProcessingPipeline",
            "metadata": {"name": pipeline, "namespace": namespace},
            "spec": {"broker": {"secretRef": {"name": "rabbitmq", "key": "url"}}} | spec}))
        kubectl("wait", "--for=condition=Ready", f"pp/{pipeline}", "-n", namespace, "--timeout=120s")
        yield kubectl("get", "service", f"{pipeline}-web", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
    finally:
        process.terminate()
        process.wait()
        kubectl("delete", "namespace", namespace, "--wait=false", check=False)


def management(method, kind, *path):
    """Asks RabbitMQ's management API about things of the virtual host in use; the answer, if there is one."""
    address = os.environ["WARREN_TEST_MANAGEMENT_URL"].rstrip("/")
    user = re.search(r"//(.*)@", address)
    virtual_host = re.sub(r".*:\d+/?", "", os.environ["WARREN_TEST_AMQP_URL"]) or "%2f"
    url = "/".join([re.sub("//.*@", "//", address), "api", kind, virtual_host, *path])
    request = urllib.request.Request(url, method=method)
    credentials = base64.b64encode((user[1] if user else "guest:guest").encode()).decode()
    request.add_header("Authorization", "Basic " + credentials)
    with urllib.request.urlopen(request) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def own_figure(name):
    """A figure of the operator."""
    return figure(get(f"127.0.0.1:{PORT}", "/metrics"), name)
