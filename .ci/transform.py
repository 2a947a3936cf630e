"""Does to template.yaml what CloudFormation does with its Transform, once for each of some sets of
parameters, and leaves the outcomes in a folder for cfn-lint. Needs the SAM CLI's Python."""

import json
import logging
import pathlib
import sys

from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

CERTIFICATE = "certificate/00000000-0000-0000-0000-000000000000"

# Which conditions hold is decided later, by CloudFormation; cfn-lint goes through all of them by itself. What the transform
# sees of a parameter is its value alone.
COMBINATIONS = {
    "defaults": {},
    "least": {"Architecture": "x86_64", "DeletionProtection": "false", "Tracing": "PassThrough"},
    "everything": {
        "BedrockModel": "model",
        "ConnectConcurrency": "50",
        "CorsOrigins": "https://app.example.com,https://www.example.com",
        "DomainCertificateArn": f"arn:aws:acm:eu-west-1:123456789012:{CERTIFICATE}",
        "HostedZoneId": "Z0123456789ABCDEFGHIJ",
        "MessageConcurrency": "500",
        "OpenAiSecretName": "chat/openai",
        "RestConcurrency": "20",
        "RestDomainName": "api.example.com",
        "SharedCertificateArn": f"arn:aws:acm:us-east-1:123456789012:{CERTIFICATE}",
        "SharedDomainName": "chat.example.com",
        "WebSocketAccessLog": "new-account-role",
        "WebSocketDomainName": "ws.example.com",
    },
}


def transform(parameters):
    template = yaml_parse(pathlib.Path("template.yaml").read_text())
    declared = template["Parameters"]
    if unknown := parameters.keys() - declared.keys():
        sys.exit(f"template.yaml has no parameters {unknown}")
    # As after an upload, which is all that the transform knows.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    values = {name: str(parameter["Default"]) for name, parameter in declared.items()} | parameters
    return Translator({}, Parser()).translate(template, values)


# It warns of metrics that it has nobody to send to.
logging.disable(logging.WARNING)
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name, parameters in COMBINATIONS.items():
    outcome = transform(parameters)
    (folder / f"{name}.json").write_text(json.dumps(outcome, indent=1))
    print(f"{name}: {len(outcome['Resources'])} resources")
