"""Compares the AWS operations in each function that `sam build` built with the actions of its role. Both must be equal.

The linker removes unreachable code, and a request contains the name of its operation. So a release build contains exactly
the names of the operations that it can send. Run it with the SAM CLI's Python: actions.py .aws-sam/build.
"""

import pathlib
import sys

from samcli.yamlhelper import yaml_parse

# The operation's name in the program, and the IAM action that allows it. For connections, the resource has the method.
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html
OPERATIONS = {
    "ConverseStream": "bedrock:InvokeModelWithResponseStream",
    "DeleteConnection": "execute-api:ManageConnections/DELETE",
    "GetConnection": "execute-api:ManageConnections/GET",
    "PostToConnection": "execute-api:ManageConnections/POST",
    "GetSecretValue": "secretsmanager:GetSecretValue",
} | {
    f"DynamoDB_20120810.{name}": f"dynamodb:{name}"
    for name in ["BatchGetItem", "BatchWriteItem", "DeleteItem", "DescribeTable", "GetItem", "PutItem", "Query", "Scan",
                 "TransactGetItems", "TransactWriteItems", "UpdateItem"]
}
# IAM authorizes a transaction by the actions in it, which the program does not reveal.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
TRANSACTION = "dynamodb:TransactWriteItems"
IN_TRANSACTIONS = {f"dynamodb:{name}" for name in ["ConditionCheckItem", "DeleteItem", "PutItem", "UpdateItem"]}


def as_list(value):
    return value if isinstance(value, list) else [value]


def used_actions(program):
    """The actions that a program can use."""
    return {action for name, action in OPERATIONS.items() if name.encode() in program}


# Lambda itself uses these with the function's role: it writes the log and sends failed invocations to the queue.
USED_BY_LAMBDA = ("logs:", "sqs:")


def allowed_actions(role):
    """The actions that a role allows for the program itself."""
    actions = set()
    for statement in role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]:
        statement = statement["Fn::If"][1] if "Fn::If" in statement else statement
        for action in as_list(statement["Action"]):
            if action == "execute-api:ManageConnections":
                actions |= {f"{action}/{resource['Fn::Sub'].split('/')[2]}" for resource in as_list(statement["Resource"])}
            elif not action.startswith(USED_BY_LAMBDA):
                actions.add(action)
    return actions


def main(build):
    resources = yaml_parse((build / "template.yaml").read_text())["Resources"]
    differences = 0
    for name, resource in resources.items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        role = resource["Properties"]["Role"]["Fn::GetAtt"][0]
        allowed = allowed_actions(resources[role])
        used = used_actions((build / name / "bootstrap").read_bytes())
        missing = used - allowed - {TRANSACTION}
        unused = allowed - used - (IN_TRANSACTIONS if TRANSACTION in used else set())
        for kind, actions in (("lacks", missing), ("does not use", unused)):
            for action in sorted(actions):
                print(f"{role} {kind} {action}")
                differences += 1
        print(f"{name:22} uses {len(used)} actions: {' '.join(sorted(used))}")
    sys.exit(f"{differences} actions differ" if differences else 0)


main(pathlib.Path(sys.argv[1]))
