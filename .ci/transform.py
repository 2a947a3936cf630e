"""Applies the SAM transform to template.yaml with several sets of parameters, and writes the results for cfn-lint.

Run it with the SAM CLI's Python: transform.py FOLDER.
"""

import json
import logging
import pathlib
import sys

from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

CERTIFICATE = "certificate/00000000-0000-0000-0000-000000000000"

# The transform reads only parameter values. CloudFormation evaluates conditions later, and cfn-lint checks all of them.
COMBINATIONS = {
    "defaults": {},
    "least": {"Architecture": "x86_64", "DeletionProtection": "false", "Tracing": "PassThrough"},
    "everything": {
        "BedrockModel": "model",
        "BedrockModelArns": "arn:aws:bedrock:eu-west-1::foundation-model/other",
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
    # The transform expects uploaded code.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
    values = {name: str(parameter["Default"]) for name, parameter in declared.items()} | parameters
    return Translator({}, Parser()).translate(template, values)


# Hides its warning that it cannot send usage metrics.
logging.disable(logging.WARNING)
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name, parameters in COMBINATIONS.items():
    transformed = transform(parameters)
    (folder / f"{name}.json").write_text(json.dumps(transformed, indent=1))
    print(f"{name}: {len(transformed['Resources'])} resources")
