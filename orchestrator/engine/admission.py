"""A program that may run, but in which nothing is made before its run is admitted.

An engine that has its program knows the providers: their plugins are fetched, started and told their configuration, and
the program is all read, while the clouds are still asked whether the run may be. All else waits in the SDK, before the
engine hears of it.
"""

from collections.abc import Callable
from concurrent.futures import Future

import pulumi

from stacks import live

_PROVIDERS = "pulumi:providers:"


def held(program: Callable[[], None], admitted: "Future[None]") -> Callable[[], None]:
    """The program, whose resources wait for ``admitted``, and fail as it does; those that are providers do not wait."""

    def waiting() -> None:
        nothing = live.output(admitted).apply(lambda _: list[pulumi.Resource]())

        def wait(resource: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
            if resource.type_.startswith(_PROVIDERS):
                return None
            options = pulumi.ResourceOptions.merge(resource.opts, pulumi.ResourceOptions(depends_on=nothing))
            return pulumi.ResourceTransformationResult(resource.props, options)

        pulumi.runtime.register_stack_transformation(wait)
        program()

    return waiting
