"""Deploys template.yaml to ministack as CloudFormation does to AWS, and prints the stack's outputs as JSON.

Beside creating the stack it does the work of `sam build` and `sam package`, and what the emulator omits; docs/OPERATIONS.md
lists each point.
"""

import argparse
import io
import json
import pathlib
import re
import zipfile

import boto3
from botocore.exceptions import WaiterError
from samtranslator.yaml_helper import yaml_parse

REGION = "us-east-1"
BUCKET = "code"
API_HOST = re.compile(r"(https|wss)://(\$\{\w+\})\.execute-api\.\$\{AWS::Region\}\.\$\{AWS::URLSuffix\}")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--endpoint", required=True)
    arguments.add_argument("--template", required=True, type=pathlib.Path)
    arguments.add_argument("--code", required=True, type=pathlib.Path, help="folder with a folder for each function")
    arguments.add_argument("--stack", required=True)
    arguments.add_argument("--parameter", action="append", default=[], metavar="NAME=VALUE")
    arguments.add_argument("--without", action="append", default=[], metavar="FUNCTION/ACTION",
                           help="an action to remove from a function's policy")
    options = arguments.parse_args()

    template = yaml_parse(options.template.read_text())
    functions = {
        name: resource
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    upload(options.endpoint, options.code, functions)
    for removal in options.without:
        binary, action = removal.split("/")
        [function] = [function for function in functions.values() if binary_of(function) == binary]
        remove_action(role_of(function, template["Resources"]), action)
    remove_unsupported(template["Resources"])
    body = with_local_addresses(json.dumps(template), options.endpoint)
    client("s3", options.endpoint).put_object(Bucket=BUCKET, Key="template.json", Body=body)

    cloudformation = client("cloudformation", options.endpoint)
    parameters = [parameter.split("=", 1) for parameter in options.parameter]
    cloudformation.create_stack(
        StackName=options.stack,
        TemplateURL=f"{options.endpoint}/{BUCKET}/template.json",
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters],
        OnFailure="DO_NOTHING",
    )
    wait_until_created(cloudformation, options.stack)
    import_routes(options.endpoint, cloudformation, options.stack)
    stack = cloudformation.describe_stacks(StackName=options.stack)["Stacks"][0]
    print(json.dumps({output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}))


def client(service, endpoint):
    # ministack treats twelve digits as the root user of that account.
    return boto3.client(service, endpoint_url=endpoint, region_name=REGION,
                        aws_access_key_id="000000000000", aws_secret_access_key="root")


def binary_of(function):
    return function["Metadata"]["BuildProperties"]["Binary"]


def upload(endpoint, folder, functions):
    """Does the work of `sam package`."""
    s3 = client("s3", endpoint)
    s3.create_bucket(Bucket=BUCKET)
    for name, function in functions.items():
        s3.put_object(Bucket=BUCKET, Key=f"{name}.zip", Body=archive_of(name, binary_of(function), folder))
        function["Properties"]["CodeUri"] = f"s3://{BUCKET}/{name}.zip"


def archive_of(name, binary, folder):
    """`chat package` writes archives; `sam build` names folders after functions, `cargo lambda build` after binaries."""
    archive = folder / f"{binary}.zip"
    if archive.exists():
        return archive.read_bytes()
    for bootstrap in (folder / name / "bootstrap", folder / binary / "bootstrap"):
        if bootstrap.exists():
            return zipped(bootstrap)
    raise SystemExit(f"{folder} has no program for {name}: neither {binary}.zip nor {name}/ or {binary}/bootstrap")


def zipped(bootstrap):
    file = zipfile.ZipInfo("bootstrap")
    file.external_attr = 0o755 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(file, bootstrap.read_bytes())
    return buffer.getvalue()


def role_of(function, resources):
    """The role of a function: `!GetAtt NAME.Arn`."""
    name = function["Properties"]["Role"]["Fn::GetAtt"][0]
    return resources[name]["Properties"]


def remove_action(role, action):
    statements = [statement for policy in role["Policies"] for statement in policy["PolicyDocument"]["Statement"]]
    named = [statement for statement in statements if action in statement.get("Action", [])]
    if not named:
        raise SystemExit(f"no policy of the function's role allows {action}")
    for statement in named:
        actions = statement["Action"]
        # A statement requires an action; no function uses this one.
        left = [other for other in actions if other != action] if isinstance(actions, list) else []
        statement["Action"] = left or ["dynamodb:DescribeLimits"]


def remove_unsupported(resources):
    """Removes what the emulator cannot create: alarms with metric math."""
    for name, resource in list(resources.items()):
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]:
            del resources[name]


def with_local_addresses(body, endpoint):
    """The emulator serves all APIs at its own address, without DNS."""
    host = endpoint.removeprefix("http://")
    scheme = {"https": "http", "wss": "ws"}
    body, count = API_HOST.subn(lambda found: f"{scheme[found[1]]}://{host}/_aws/execute-api/{found[2]}", body)
    if not count:
        raise SystemExit("no address of an API in the template: adapt the pattern in this script")
    return body


def wait_until_created(cloudformation, stack):
    try:
        waiter = cloudformation.get_waiter("stack_create_complete")
        waiter.wait(StackName=stack, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    except WaiterError:
        events = cloudformation.describe_stack_events(StackName=stack)["StackEvents"]
        failures = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
        reasons = [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in failures]
        raise SystemExit("\n".join(["failed to create the stack", *reasons]))


def import_routes(endpoint, cloudformation, stack):
    """CloudFormation imports the OpenAPI body of an HTTP API, the emulator does not."""
    gateway = client("apigatewayv2", endpoint)
    resources = cloudformation.describe_stack_resources(StackName=stack)["StackResources"]
    ids = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}
    processed = cloudformation.get_template(StackName=stack, TemplateStage="Processed")["TemplateBody"]
    for name, resource in processed["Resources"].items():
        body = resource["Properties"].get("Body") if resource["Type"] == "AWS::ApiGatewayV2::Api" else None
        for path, methods in (body or {"paths": {}})["paths"].items():
            for method, operation in methods.items():
                import_route(gateway, ids, ids[name], path, method, operation)


def import_route(gateway, ids, api, path, method, operation):
    integration = operation["x-amazon-apigateway-integration"]
    function = re.search(r"\$\{(\w+)\.Arn\}", integration["uri"]["Fn::Sub"])[1]
    created = gateway.create_integration(
        ApiId=api,
        IntegrationType="AWS_PROXY",
        IntegrationUri=f"arn:aws:lambda:{REGION}:000000000000:function:{ids[function]}",
        PayloadFormatVersion=integration["payloadFormatVersion"],
    )
    keys = ["$default"] if operation.get("isDefaultRoute") else [f"{method.upper()} {path}"]
    # On AWS {proxy+} matches the bare slash too; in the emulator it requires a character.
    keys += [key.removesuffix("{proxy+}") for key in keys if key.endswith("/{proxy+}")]
    for key in keys:
        gateway.create_route(ApiId=api, RouteKey=key, Target=f"integrations/{created['IntegrationId']}")


if __name__ == "__main__":
    main()
