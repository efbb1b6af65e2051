"""Beam's in-process runner, with nothing looked for elsewhere first.

Beam's DirectRunner tries Prism before this runner, a binary that it fetches from the internet.
"""

from __future__ import annotations

from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.portable_runner import JobServiceHandle


class LocalBeamRunner(fn_runner.FnApiRunner):
    """FnApiRunner whose workers are told the pipeline's options, ``--beam_plugins`` too."""

    def run_pipeline(self, pipeline: Any, options: PipelineOptions) -> Any:
        """Run a pipeline in this process, or in workers as ``--direct_running_mode`` says."""
        encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
        self._provision_info = fn_runner.ExtendedProvisionInfo(
            beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
        )
        return super().run_pipeline(pipeline, options)
