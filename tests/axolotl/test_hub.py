"""The tests that need the package ``datasets``: this environment has it, the workflow's own has not."""

from __future__ import annotations

from test_mixes_foreign import test_a_hub_dataset_is_fetched_whole_and_read
from test_prompts_hub import test_a_real_dataset_folder_is_streamed

__all__ = ["test_a_hub_dataset_is_fetched_whole_and_read", "test_a_real_dataset_folder_is_streamed"]
