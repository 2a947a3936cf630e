"""Holds the policies of a stack's functions against what was asked of them, and prints the difference as JSON.

`denied` is what a function wanted and its policy lacks; `unused` is what a policy allows and its function never wanted.
"""

import argparse
import fnmatch
import json
import pathlib

from deploy import client


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--endpoint", required=True)
    arguments.add_argument("--stack", required=True)
    arguments.add_argument("--decisions", required=True, type=pathlib.Path)
    options = arguments.parse_args()

    roles = roles_of(options.endpoint, options.stack)
    decisions = [json.loads(line) for line in options.decisions.read_text().splitlines()]
    asked = set()
    for decision in decisions:
        # arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION
        parts = (decision["by"] or "").split("/")
        if parts[0].endswith(":assumed-role") and parts[1] in roles:
            asked.add((parts[1], decision["action"], decision["resource"], decision["denied"]))

    allowed = [
        (role, action, resource) for role in roles for action, resource in allowed_to(options.endpoint, role)
    ]
    unused = [
        f"{roles[role]}: {action} on {resource}"
        for role, action, resource in allowed
        if not any(by == role and wanted == action and fnmatch.fnmatchcase(on, resource) for by, wanted, on, _ in asked)
    ]
    denied = [f"{roles[role]}: {action} on {resource}" for role, action, resource, denied in asked if denied]
    print(json.dumps({"asked": len(asked), "denied": sorted(denied), "unused": sorted(unused)}))


def roles_of(endpoint, stack):
    """The roles of the stack by their names, and the logical ids that they have in the template."""
    resources = client("cloudformation", endpoint).describe_stack_resources(StackName=stack)["StackResources"]
    return {
        resource["PhysicalResourceId"]: resource["LogicalResourceId"]
        for resource in resources
        if resource["ResourceType"] == "AWS::IAM::Role"
    }


def allowed_to(endpoint, role):
    """Each action on each resource that the inline policies of a role allow. Logging, which is managed by AWS, is not."""
    iam = client("iam", endpoint)
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        for statement in iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]:
            for action in listed(statement["Action"]):
                for resource in listed(statement["Resource"]):
                    yield action, resource


def listed(value):
    return value if isinstance(value, list) else [value]


if __name__ == "__main__":
    main()
