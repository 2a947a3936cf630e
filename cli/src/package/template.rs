//! The template of a package: the workspace's template with each function's `CodeUri` set to its archive.

use anyhow::{Context, Result, bail};
use gateway::template::Template;
use serde_json::{Value, json};

use super::architecture::Architecture;

/// A template whose functions refer to archives beside it.
#[derive(Debug)]
pub(super) struct Packaged {
    pub(super) json: Value,
    /// The names of the functions, which are also those of their binaries.
    pub(super) functions: Vec<String>,
}

/// The file name of a function's archive.
pub(super) fn archive_name(function: &str) -> String {
    format!("{function}.zip")
}

/// Sets each function's `CodeUri`, and allows only the architecture that the binaries were built for.
pub(super) fn packaged(yaml: &str, architecture: Architecture) -> Result<Packaged> {
    let mut json = Template::json(yaml)?;
    let mut functions = Vec::new();
    let resources =
        json.get_mut("Resources").and_then(Value::as_object_mut).context("the template has no Resources")?;
    for (logical_id, resource) in resources {
        if resource["Type"] != "AWS::Serverless::Function" {
            continue;
        }
        let Some(binary) = resource.pointer("/Metadata/BuildProperties/Binary").and_then(Value::as_str) else {
            bail!("{logical_id} names no binary: add Metadata.BuildProperties.Binary");
        };
        let binary = binary.to_owned();
        resource["Properties"]["CodeUri"] = json!(archive_name(&binary));
        functions.push(binary);
    }
    if functions.is_empty() {
        bail!("the template has no functions");
    }
    if let Some(parameter) = json.pointer_mut("/Parameters/Architecture") {
        parameter["Default"] = json!(architecture.name());
        parameter["AllowedValues"] = json!([architecture.name()]);
    }
    Ok(Packaged { json, functions })
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "\
AWSTemplateFormatVersion: \"2010-09-09\"
Parameters: { Architecture: { Type: String, Default: arm64, AllowedValues: [arm64, x86_64] } }
Globals: { Function: { CodeUri: ., Architectures: [!Ref Architecture] } }
Resources:
  Table: { Type: AWS::DynamoDB::Table, Properties: { Size: 1 } }
  GreetFunction:
    Type: AWS::Serverless::Function
    Metadata: { BuildProperties: { Binary: greet } }
    Properties: { Role: !GetAtt Role.Arn, Name: !Sub \"${Table}-x\" }
";

    #[test]
    fn only_code_uri_and_architecture_change() {
        let packaged = packaged(YAML, Architecture::X86_64).expect("a template");
        assert_eq!(packaged.functions, ["greet"]);
        let binary = json!({ "BuildProperties": { "Binary": "greet" } });
        let properties = json!({
            "CodeUri": "greet.zip", "Role": { "Fn::GetAtt": ["Role", "Arn"] }, "Name": { "Fn::Sub": "${Table}-x" },
        });
        assert_eq!(
            packaged.json,
            json!({
                "AWSTemplateFormatVersion": "2010-09-09",
                "Parameters": {
                    "Architecture": { "Type": "String", "Default": "x86_64", "AllowedValues": ["x86_64"] },
                },
                "Globals": { "Function": { "CodeUri": ".", "Architectures": [{ "Ref": "Architecture" }] } },
                "Resources": {
                    "Table": { "Type": "AWS::DynamoDB::Table", "Properties": { "Size": 1 } },
                    "GreetFunction": {
                        "Type": "AWS::Serverless::Function", "Metadata": binary, "Properties": properties,
                    },
                },
            })
        );
    }

    #[test]
    fn function_without_a_binary_is_reported() {
        let error = packaged(&YAML.replace("Binary", "Handler"), Architecture::Arm64).expect_err("no binary");
        assert!(error.to_string().contains("GreetFunction"), "{error}");
    }
}
