"""Holds the policies of a stack's functions against what was asked of them, and prints the difference as JSON.

`denied` is what a function wanted and its policy lacks; `unused` is what a policy allows and its function never wanted.
Maintenance is called once before. Little of what it is there for is there to be done then, so what it left unused says
nothing.
"""

import argparse
import fnmatch
import json
import pathlib

from deploy import client

HOUSEKEEPING = "Maintenance"


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--endpoint", required=True)
    arguments.add_argument("--stack", required=True)
    arguments.add_argument("--decisions", required=True, type=pathlib.Path)
    options = arguments.parse_args()

    resources = client("cloudformation", options.endpoint).describe_stack_resources(StackName=options.stack)
    names = {resource["PhysicalResourceId"]: resource["LogicalResourceId"] for resource in resources["StackResources"]}
    [maintenance] = [physical for physical, logical in names.items() if logical == f"{HOUSEKEEPING}Function"]
    keep_house(options.endpoint, maintenance)
    asked = [json.loads(line) for line in options.decisions.read_text().splitlines()]
    # arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION
    asked = [(role_in(decision["by"]), decision) for decision in asked]
    asked = [(role, decision) for role, decision in asked if role in names]
    used = {(role, decision["action"], decision["resource"]) for role, decision in asked}

    def line(role, action, resource):
        for physical, logical in names.items():
            # What is shorter, such as a stage, is as readable as it is.
            resource = resource.replace(physical, logical) if len(physical) >= 8 else resource
        return f"{names[role]}: {action} on {resource.split(':', 5)[5]}"

    denied = {
        line(role, decision["action"], decision["resource"]) for role, decision in asked if decision["denied"]
    }
    unused = {
        line(role, action, resource)
        for role in names
        if names[role].endswith("Role") and names[role] != f"{HOUSEKEEPING}Role"
        for action, resource in allowed_to(options.endpoint, role)
        if not any(by == role and wanted == action and fnmatch.fnmatchcase(on, resource) for by, wanted, on in used)
    }
    print(json.dumps({"used": len(used), "denied": sorted(denied), "unused": sorted(unused)}))


def keep_house(endpoint, function):
    event = {"detail-type": "Scheduled Event", "source": "aws.events", "time": "2026-01-31T09:30:00Z", "detail": {}}
    answer = client("lambda", endpoint).invoke(FunctionName=function, Payload=json.dumps(event))
    if "FunctionError" in answer:
        raise SystemExit(f"maintenance failed: {answer['Payload'].read().decode()}")


def role_in(principal):
    kind, *rest = (principal or "").split("/")
    return rest[0] if kind.endswith(":assumed-role") else None


def allowed_to(endpoint, role):
    """Each action on each resource that the inline policies of a role allow, but those by which Lambda writes its logs."""
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
