"""Codes of OpenAI Responses that come with 200, and the statuses that they stand for."""

from __future__ import annotations

from typing import Final

# Of a request that stays as it is.
STATUS_OF: Final = dict.fromkeys(
    (
        "data_residency_mismatch",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
        "image_file_too_large",
        "image_parse_error",
        "image_too_large",
        "image_too_small",
        "invalid_base64_image",
        "invalid_image",
        "invalid_image_format",
        "invalid_image_mode",
        "invalid_image_url",
        "unsupported_image_media_type",
    ),
    400,
)
