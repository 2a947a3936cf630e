"""Holds what each function that `sam build` has built can ask of AWS against what its role lets it ask: no more, no less. The
linker throws away what a program cannot reach, and an operation's name is part of its request, so the names that are left in
a release build are those of the operations that it can send. Needs the SAM CLI's Python."""

import pathlib
import sys

from samcli.yamlhelper import yaml_parse

# What a program has in it, and the action that allows it: of connections, with the method that is part of the resource.
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
# A transaction is allowed by the actions that are in it, and which these are is not to be seen.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
TRANSACTION = "dynamodb:TransactWriteItems"
IN_TRANSACTIONS = {f"dynamodb:{name}" for name in ["ConditionCheckItem", "DeleteItem", "PutItem", "UpdateItem"]}


def listed(value):
    return value if isinstance(value, list) else [value]


def asks(program):
    """The actions that a program can ask for."""
    return {action for name, action in OPERATIONS.items() if name.encode() in program}


# What Lambda asks for in the function's name: it writes its log, and tells of its failed runs where the template says so.
LAMBDAS = ("logs:", "sqs:")


def may(role):
    """The actions that a role allows to the program itself."""
    actions = set()
    for statement in role["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]:
        statement = statement["Fn::If"][1] if "Fn::If" in statement else statement
        for action in listed(statement["Action"]):
            if action == "execute-api:ManageConnections":
                actions |= {f"{action}/{resource['Fn::Sub'].split('/')[2]}" for resource in listed(statement["Resource"])}
            elif not action.startswith(LAMBDAS):
                actions.add(action)
    return actions


def main(build):
    resources = yaml_parse((build / "template.yaml").read_text())["Resources"]
    wrong = 0
    for name, resource in resources.items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        role = resource["Properties"]["Role"]["Fn::GetAtt"][0]
        allowed = may(resources[role])
        asked = asks((build / name / "bootstrap").read_bytes())
        missing = asked - allowed - {TRANSACTION}
        unused = allowed - asked - (IN_TRANSACTIONS if TRANSACTION in asked else set())
        for kind, actions in (("misses", missing), ("has no use for", unused)):
            for action in sorted(actions):
                print(f"{role} {kind} {action}")
                wrong += 1
        print(f"{name:22} asks for {len(asked)} actions: {' '.join(sorted(asked))}")
    sys.exit(f"{wrong} actions are wrong" if wrong else 0)


main(pathlib.Path(sys.argv[1]))
