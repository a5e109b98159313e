"""The settings of the Keystone whose tokens are taken, a part of ``settings``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

#: A URL without user, password, query and fragment, or nothing.
_HTTP_URL = r"^(https?://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?(/[A-Za-z0-9._~/-]*)?)?$"


class KeystoneOptions(Struct, frozen=True, kw_only=True):
    """The Keystone whose tokens the placement service takes, beside access keys; none where `auth_url` is empty."""

    auth_url: Annotated[
        str,
        Meta(
            description="URL of its Identity API, version 3. Empty: there is no Keystone.",
            pattern=_HTTP_URL,
            extra={"bounds": "as in `https://keystone.example.org:5000/v3`"},
        ),
    ] = ""
    public_url: Annotated[
        str,
        Meta(
            description=(
                "The same as clients reach it, which those without a good token are told in `WWW-Authenticate`. Empty: "
                "`auth_url`."
            ),
            pattern=_HTTP_URL,
            extra={"bounds": "as in `https://keystone.example.org:5000`"},
        ),
    ] = ""
    username: Annotated[
        str,
        Meta(
            description="The user as whom Tenet asks Keystone; it has a role by which it may validate tokens.",
            min_length=1,
            max_length=255,
        ),
    ] = "placement"
    user_domain: Annotated[str, Meta(description="Name of the domain of that user.", min_length=1, max_length=255)] = (
        "Default"
    )
    project: Annotated[
        str, Meta(description="Name of the project in which that user has its role.", min_length=1, max_length=255)
    ] = "service"
    project_domain: Annotated[
        str, Meta(description="Name of the domain of that project.", min_length=1, max_length=255)
    ] = "Default"
    password_file: Annotated[
        str,
        Meta(
            description=(
                "File with the password of that user, which ends with the file or its line. It is read whenever Tenet "
                "needs a token of its own, so that a password can be changed without a restart."
            )
        ),
    ] = ""
    ca_file: Annotated[
        str,
        Meta(
            description=(
                "PEM file with the authorities that Keystone's certificate has to be from, read once. Empty: those of "
                "the system."
            )
        ),
    ] = ""
    plaintext: Annotated[
        bool,
        Meta(
            description=(
                "Speak http with a Keystone that is not on this machine: passwords and tokens can be read by whoever "
                "sees what is sent."
            )
        ),
    ] = False
    cache_s: Annotated[
        float,
        Meta(
            description=(
                "How long Keystone's answer about a token is believed, and so how long a revoked token is still taken, "
                "at the most. 0 asks Keystone for every request."
            ),
            ge=0,
            le=3_600,
            extra={"unit": "s"},
        ),
    ] = 60.0
    timeout_s: Annotated[
        float,
        Meta(
            description="How long asking about a token may take; after it, requests with that token get 503.",
            ge=0.1,
            le=30,
            extra={"unit": "s"},
        ),
    ] = 10.0
    admin_roles: Annotated[
        tuple[str, ...],
        Meta(
            description=(
                "Roles of Keystone that may do what the policies of placement keep for `admin`; upper and lower case "
                "are the same. In the environment: separated by commas."
            ),
            max_length=100,
        ),
    ] = ("admin",)
    service_roles: Annotated[
        tuple[str, ...],
        Meta(description="Those that may do what the policies keep for `service`.", max_length=100),
    ] = ("service",)
    reader_roles: Annotated[
        tuple[str, ...],
        Meta(
            description="Those that may do what the policies let `reader` do: see the usages of their own project.",
            max_length=100,
        ),
    ] = ("reader",)
