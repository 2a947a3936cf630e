"""Starts each function that `sam build` built in AWS's Runtime Interface Emulator and sends it one request.

Run it with the SAM CLI's Python, which includes the emulator: start.py .aws-sam/build. It requires target/debug/chat,
which runs DynamoDB Local.
"""

import json
import pathlib
import platform
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import samcli
from samcli.yamlhelper import yaml_parse

MACHINE = platform.machine().replace("aarch64", "arm64")
EMULATOR = pathlib.Path(samcli.__file__).parent / "local" / "rapid" / f"aws-lambda-rie-{MACHINE}"
ATTEMPTS = 100


def environment(dynamodb):
    """The variables that Lambda sets, and those that the template sets for any function."""
    return {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb,
        "TENANTS_TABLE": "TenantsTable",
        "CHATS_TABLE": "ChatsTable",
        "CONNECTIONS_TABLE": "ConnectionsTable",
        "MANAGEMENT_ENDPOINT": "http://127.0.0.1:9",
        "WEBSOCKET_URL": "wss://example.com/live",
        "DEFAULT_AGENT": "echo",
        "CONFIGURED_AGENTS": "echo",
        "MAX_TOKENS": "4096",
        "ECHO_TOKENS_PER_SECOND": "0",
        "CONTEXT_TOKENS": "8000",
        "FRAME_INTERVAL_MS": "100",
        "GENERATIONS_PER_TENANT": "50",
        "MESSAGES_PER_MINUTE": "600",
        "TOKENS_PER_DAY": "none",
        "TOKENS_PER_MONTH": "none",
        "CONNECTS_PER_MINUTE": "300",
        "CONNECTIONS_PER_CHAT": "10",
    }


def rest(function):
    """A request without a key, to a path without a route."""
    http = {"method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": function}
    context = {"accountId": "0", "apiId": "a", "domainName": "d", "domainPrefix": "d", "http": http, "requestId": "r",
               "routeKey": "$default", "stage": "$default", "time": "", "timeEpoch": 0}
    return {"version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "", "headers": {},
            "requestContext": context, "isBase64Encoded": False}


def websocket(kind):
    """An event of an unknown connection."""
    route = "$default" if kind == "MESSAGE" else f"${kind.lower()}"
    context = {"routeKey": route, "eventType": kind, "connectionId": "unknown", "requestId": "r", "stage": "live",
               "apiId": "a", "domainName": "d", "requestTimeEpoch": 1, "connectedAt": 1, "identity": {"sourceIp": "::1"}}
    return {"requestContext": context, "body": '{"type":"ping"}', "isBase64Encoded": False}


# The event and the expected status. They prove that a function has read its environment, the event and the tables.
EXPECTED = {
    "fallback": (rest, 404),
    "maintenance": (lambda _: {}, "no body"),
    "ws-connect": (lambda _: websocket("CONNECT"), 401),
    "ws-disconnect": (lambda _: websocket("DISCONNECT"), 200),
    "ws-message": (lambda _: websocket("MESSAGE"), 403),
}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def invoke(port, event):
    url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    for attempt in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=30) as response:
                return json.load(response)
        except urllib.error.URLError as error:
            # The emulator does not listen yet.
            if attempt + 1 == ATTEMPTS or not isinstance(error.reason, ConnectionRefusedError):
                raise
            time.sleep(0.1)


def respond(function, bootstrap, dynamodb):
    """Starts a function and returns its response."""
    port = free_port()
    command = [EMULATOR, "--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{free_port()}", bootstrap]
    emulator = subprocess.Popen(command, env=environment(dynamodb), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        event, _ = EXPECTED.get(function, (rest, 401))
        return invoke(port, event(function))
    finally:
        emulator.kill()
        emulator.wait()


def main(build):
    template = yaml_parse((build / "template.yaml").read_text())
    functions = {name: resource for name, resource in template["Resources"].items()
                 if resource["Type"] == "AWS::Serverless::Function"}
    database = subprocess.Popen(["target/debug/chat", "dynamodb"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    dynamodb = json.loads(database.stdout.readline())["dynamodb_endpoint"]
    failed = 0
    for name, resource in functions.items():
        function = resource["Metadata"]["BuildProperties"]["Binary"]
        bootstrap = build / name / "bootstrap"
        _, expected = EXPECTED.get(function, (rest, 401))
        response = respond(function, bootstrap, dynamodb)
        # A failed function returns an error type instead of a status.
        status = "no body" if response is None else response.get("statusCode", response.get("errorType"))
        failed += status != expected
        note = "" if status == expected else f", expected {expected}"
        print(f"{function:16} {bootstrap.stat().st_size / 1e6:5.1f} MB, returns {status}{note}")
    database.stdin.close()
    database.wait()
    sys.exit(f"{failed} functions failed" if failed else 0)


main(pathlib.Path(sys.argv[1]).absolute())
