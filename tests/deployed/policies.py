"""Compares the policies of a stack's functions with the recorded decisions, and prints the difference as JSON.

`denied`: actions that a function used and its policy lacks. `unused`: actions that a policy allows and its function never
used. Maintenance runs once before, with little to do, so its unused actions are ignored.
"""

import argparse
import fnmatch
import json
import pathlib

from deploy import client

MAINTENANCE = "Maintenance"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--endpoint", required=True)
    arguments.add_argument("--stack", required=True)
    arguments.add_argument("--decisions", required=True, type=pathlib.Path)
    options = arguments.parse_args()

    resources = client("cloudformation", options.endpoint).describe_stack_resources(StackName=options.stack)
    names = {resource["PhysicalResourceId"]: resource["LogicalResourceId"] for resource in resources["StackResources"]}
    [maintenance] = [physical for physical, logical in names.items() if logical == f"{MAINTENANCE}Function"]
    run_maintenance(options.endpoint, maintenance)
    decisions = [json.loads(line) for line in options.decisions.read_text().splitlines()]
    # arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION
    decisions = [(role_in(decision["by"]), decision) for decision in decisions]
    decisions = [(role, decision) for role, decision in decisions if role in names]
    used = {(role, decision["action"], decision["resource"]) for role, decision in decisions}

    def line(role, action, resource):
        for physical, logical in names.items():
            # A shorter id, such as a stage, is readable as it is.
            resource = resource.replace(physical, logical) if len(physical) >= 8 else resource
        return f"{names[role]}: {action} on {resource.split(':', 5)[5]}"

    denied = {
        line(role, decision["action"], decision["resource"]) for role, decision in decisions if decision["denied"]
    }
    unused = {
        line(role, action, resource)
        for role in names
        if names[role].endswith("Role") and names[role] != f"{MAINTENANCE}Role"
        for action, resource in allowed_to(options.endpoint, role)
        if not any(by == role and name == action and fnmatch.fnmatchcase(on, resource) for by, name, on in used)
    }
    print(json.dumps({"used": len(used), "denied": sorted(denied), "unused": sorted(unused)}))


def run_maintenance(endpoint, function):
    event = {"detail-type": "Scheduled Event", "source": "aws.events", "time": "2026-01-31T09:30:00Z", "detail": {}}
    response = client("lambda", endpoint).invoke(FunctionName=function, Payload=json.dumps(event))
    if "FunctionError" in response:
        raise SystemExit(f"maintenance failed: {response['Payload'].read().decode()}")


def role_in(principal):
    kind, *rest = (principal or "").split("/")
    return rest[0] if kind.endswith(":assumed-role") else None


def allowed_to(endpoint, role):
    """Each action on each resource in the inline policies of a role, without those of Lambda's logs."""
    iam = client("iam", endpoint)
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]:
            for action in listed(statement["Action"]):
                if action.startswith("logs:"):
                    continue
                for resource in listed(statement["Resource"]):
                    yield action, resource


def listed(value):
    return value if isinstance(value, list) else [value]


if __name__ == "__main__":
    main()
