"""Lambda's resource types: layer version, function, function URL. See ``resources.py`` for the others."""
# ruff: noqa: ARG002 - every resource type answers the same calls; not each needs all that they hand over.

from collections.abc import Mapping
from typing import Any

import pulumi_aws as aws

from orchestrator.rehearsal.aws.cloud import Amazon
from orchestrator.rehearsal.aws.function_url import FunctionHost
from orchestrator.rehearsal.aws.resources import AwsResource, file_path, tags
from orchestrator.rehearsal.provider import RefusedError, ResourceType

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_DIRECT_UPLOAD_LIMIT = 50 * 1024 * 1024
_LIMITS = {"memorySize": (128, 10_240), "timeout": (1, 900)}


def resources(amazon: Amazon, functions: FunctionHost) -> dict[str, ResourceType]:
    """The resource types of this module, by the engine's type token."""
    return {
        "aws:lambda/layerVersion:LayerVersion": LayerVersion(amazon),
        "aws:lambda/function:Function": Function(amazon),
        "aws:lambda/functionUrl:FunctionUrl": FunctionUrl(amazon, functions),
    }


class LayerVersion(AwsResource):
    """A version of a layer."""

    service = "lambda"
    arguments = aws.lambda_.LayerVersionArgs
    known = frozenset(
        {
            "layerName", "code", "s3Bucket", "s3Key", "sourceCodeHash", "compatibleRuntimes",
            "compatibleArchitectures", "skipDestroy",
        }
    )  # fmt: skip
    name_input = "layerName"
    computed = ("arn", "version")
    not_stored = ("code",)

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://docs.aws.amazon.com/lambda/latest/api/API_PublishLayerVersion.html."""
        answer = self._ask(
            f"publishing Lambda Layer ({inputs['layerName']}) Version",
            self._client(configuration).publish_layer_version,
            LayerName=inputs["layerName"],
            Content=code(inputs),
            CompatibleRuntimes=inputs.get("compatibleRuntimes"),
            CompatibleArchitectures=inputs.get("compatibleArchitectures"),
        )
        return answer["LayerVersionArn"], {"arn": answer["LayerVersionArn"], "version": str(answer["Version"])}

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """GetLayerVersion."""
        call = self._client(configuration).get_layer_version
        return self._is_there(call, LayerName=state["layerName"], VersionNumber=int(state["version"]))

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """DeleteLayerVersion; ``skipDestroy`` leaves it behind, as the real provider does."""
        if state.get("skipDestroy"):
            return
        self._drop(
            f"deleting Lambda Layer Version ({resource_id})",
            self._client(configuration).delete_layer_version,
            LayerName=state["layerName"],
            VersionNumber=int(state["version"]),
        )


class Function(AwsResource):
    """A function from a zip archive."""

    service = "lambda"
    arguments = aws.lambda_.FunctionArgs
    known = frozenset(
        {
            "name", "runtime", "architectures", "handler", "role", "memorySize", "timeout", "code", "sourceCodeHash",
            "layers", "environment.variables", "loggingConfig.logFormat", "loggingConfig.logGroup",
            "useResourceTimeoutForPropagation",
        }
    )  # fmt: skip
    name_input = "name"
    computed = ("arn", "invokeArn")
    not_stored = ("code",)

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html."""
        name, role = inputs["name"], inputs["role"]
        doing = f"creating Lambda Function ({name})"
        for setting, (least, most) in _LIMITS.items():
            if not least <= inputs.get(setting, least) <= most:
                raise RefusedError(f"{doing}: {setting} must be from {least} to {most}, not {inputs[setting]}")
        logging = inputs.get("loggingConfig")
        if logging and logging.get("logGroup", f"/aws/lambda/{name}") != f"/aws/lambda/{name}":
            raise RefusedError(f"{doing}: the rehearsal's functions log to /aws/lambda/<name> only")
        if logging and logging.get("logFormat", "Text") != "Text":  # The bootstrap writes no other.
            raise RefusedError(f"{doing}: not supported in rehearsal: logFormat {logging['logFormat']}")
        answer = self._ask(
            doing,
            self._client(configuration).create_function,
            FunctionName=name,
            Runtime=inputs.get("runtime"),
            Role=role,
            Handler=inputs.get("handler"),
            Code=code(inputs),
            Timeout=inputs.get("timeout"),
            MemorySize=inputs.get("memorySize"),
            Environment=inputs.get("environment") and {"Variables": inputs["environment"]["variables"]},
            Layers=inputs.get("layers"),
            Architectures=inputs.get("architectures"),
            LoggingConfig=logging
            and {"LogFormat": logging.get("logFormat", "Text"), "LogGroup": f"/aws/lambda/{name}"},
            Tags=tags(configuration) or None,
        )
        if not self._amazon.lambda_may_assume(role):
            self._client(configuration).delete_function(FunctionName=name)
            raise RefusedError(f"{doing}: The role defined for the function cannot be assumed by Lambda.")
        arn = answer["FunctionArn"]
        region = configuration["region"]
        return name, {
            "arn": arn,
            "invokeArn": f"arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/{arn}/invocations",
        }

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """GetFunction."""
        return self._is_there(self._client(configuration).get_function, FunctionName=resource_id)

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """DeleteFunction; the warm process goes with it, and the URL."""
        doing = f"deleting Lambda Function ({resource_id})"
        self._drop(doing, self._client(configuration).delete_function, FunctionName=resource_id)


class FunctionUrl(AwsResource):
    """The function's URL."""

    service = "lambda"
    arguments = aws.lambda_.FunctionUrlArgs
    known = frozenset({"functionName", "authorizationType"})
    computed = ("functionArn", "functionUrl", "urlId")

    def __init__(self, amazon: Amazon, functions: FunctionHost) -> None:
        super().__init__(amazon)
        self._functions = functions

    def create(self, inputs: dict[str, Any], configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunctionUrlConfig.html."""
        name, region = inputs["functionName"], configuration["region"]
        if inputs["authorizationType"] != "AWS_IAM":
            raise RefusedError(f"creating Lambda Function URL ({name}): the rehearsal has no public function URLs")
        answer = self._ask(
            f"creating Lambda Function URL ({name})",
            self._client(configuration).create_function_url_config,
            FunctionName=name,
            AuthType="AWS_IAM",
        )
        url = self._functions.open_url(region, name)
        self._amazon.function(region, name).url_config.url = url  # What GetFunctionUrlConfig says from now on.
        return name, {"functionArn": answer["FunctionArn"], "functionUrl": url, "urlId": name}

    def exists(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> bool:
        """GetFunctionUrlConfig."""
        call = self._client(configuration).get_function_url_config
        return self._is_there(call, FunctionName=state["functionName"])

    def delete(self, resource_id: str, state: Mapping[str, Any], configuration: Mapping[str, Any]) -> None:
        """DeleteFunctionUrlConfig."""
        doing = f"deleting Lambda Function URL ({resource_id})"
        call = self._client(configuration).delete_function_url_config
        self._drop(doing, call, FunctionName=state["functionName"])


def code(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """A function's or layer's code for the API: uploaded, or by its place in S3."""
    if "code" not in inputs and not {"s3Bucket", "s3Key"} <= set(inputs):
        raise RefusedError("either the code or its place in S3 (bucket and key) must be given")
    if "code" not in inputs:
        return {"S3Bucket": inputs["s3Bucket"], "S3Key": inputs["s3Key"]}
    content = file_path(inputs, "code").read_bytes()
    if len(content) > _DIRECT_UPLOAD_LIMIT:
        raise RefusedError(
            f"the zip has {len(content)} bytes; a direct upload must not have more than {_DIRECT_UPLOAD_LIMIT}: use S3"
        )
    return {"ZipFile": content}
