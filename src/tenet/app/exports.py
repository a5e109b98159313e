"""The lines that point a client at this server: for a shell, and for clients that find it in ways of their own."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

#: Java reads a trust store with a password or not at all; this one protects nothing, for the store holds no secret.
TRUST_STORE_PASSWORD: Final = "changeit"  # noqa: S105 (as its comment says)


#: What a shell may have left of a session with AWS, and SDKs put beside or before the credentials that are set here: a
#: token that belongs to another key, and profiles. ``AWS_SECURITY_TOKEN`` and ``AWS_DEFAULT_PROFILE`` are the former
#: names that botocore still reads (botocore 1.43: ``credentials.EnvProvider``, ``configprovider``).
LEFT_OVER: Final = ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")


#: The same of a session with OpenStack: another cloud, another way to show who one is, and names beside the user's that
#: ``http_basic`` refuses (keystoneauth1 5.18: ``loading._plugins.http_basic``; openstacksdk 4.22: ``config.loader``).
LEFT_OVER_OF_OPENSTACK: Final = (
    *("OS_CLOUD", "OS_AUTH_TYPE", "OS_AUTH_URL", "OS_TOKEN", "OS_USERNAME", "OS_USER_ID", "OS_PASSWORD", "OS_PASSCODE"),
    *("OS_USER_DOMAIN_ID", "OS_USER_DOMAIN_NAME", "OS_PROJECT_ID", "OS_PROJECT_NAME", "OS_PROJECT_DOMAIN_ID"),
    *("OS_PROJECT_DOMAIN_NAME", "OS_TENANT_ID", "OS_TENANT_NAME", "OS_DOMAIN_ID", "OS_DOMAIN_NAME"),
    *("OS_DEFAULT_DOMAIN", "OS_DEFAULT_DOMAIN_ID", "OS_DEFAULT_DOMAIN_NAME", "OS_SYSTEM_SCOPE", "OS_TRUST_ID"),
    *("OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME", "OS_APPLICATION_CREDENTIAL_SECRET"),
    *("OS_REGION_NAME", "OS_INTERFACE", "OS_ENDPOINT", "OS_ENDPOINT_TYPE", "OS_PLACEMENT_ENDPOINT_OVERRIDE"),
    *("OS_CACERT", "OS_CERT", "OS_KEY"),
)
#: The newest microversion of the Placement API that is spoken (``tenet.placement.rules.microversions``).
MICROVERSION: Final = "1.39"


class Access(Struct, frozen=True):
    """What a client needs to know.

    Args:
        endpoint: URL of the listener.
        access_key_id: of the key that it signs with.
        secret_access_key: of that key.
        region: that it signs for.
        ca_file: PEM file of the certificate authority to trust; None where http is spoken, or the certificate is the
            operator's own.
        trust_store: the same as a PKCS #12 trust store for Java; None as well.
        placement_path: of the placement service, behind the endpoint.
        placement_asks_nobody: whether placement believes everybody.
    """

    endpoint: str
    access_key_id: str
    secret_access_key: str
    region: str
    ca_file: Path | None = None
    trust_store: Path | None = None
    placement_path: str = "/placement"
    placement_asks_nobody: bool = False


def exports(access: Access, client: str = "python", shell: str = "sh") -> str:
    """Returns the lines that point a client here, and take away first what points it elsewhere.

    Args:
        access: what the client needs to know.
        client: what it is written in, or ``openstack``.
        shell: that will read the lines.
    """
    if client == OPENSTACK:
        return lines(openstack_variables(access), shell, without=LEFT_OVER_OF_OPENSTACK)
    return lines(variables(access, client), shell, without=LEFT_OVER)


def openstack_variables(access: Access) -> Mapping[str, str]:
    """Returns the environment variables for the ``openstack`` command and openstacksdk.

    There is no Keystone: the access key is user and password of HTTP basic. ``OS_PLACEMENT_API_VERSION`` is read by
    osc-placement, ``OS_PLACEMENT_DEFAULT_MICROVERSION`` by openstacksdk; without them both speak older versions.

    Args:
        access: what the client needs to know.
    """
    if access.placement_asks_nobody:
        found = {"OS_AUTH_TYPE": "admin_token", "OS_TOKEN": "admin"}
    else:
        found = {
            "OS_AUTH_TYPE": "http_basic",
            "OS_USERNAME": access.access_key_id,
            "OS_PASSWORD": access.secret_access_key,
        }
    found["OS_ENDPOINT"] = access.endpoint + access.placement_path
    found |= {"OS_PLACEMENT_API_VERSION": MICROVERSION, "OS_PLACEMENT_DEFAULT_MICROVERSION": MICROVERSION}
    return found if access.ca_file is None else found | {"OS_CACERT": str(access.ca_file)}


def variables(access: Access, runtime: str = "python") -> Mapping[str, str]:
    """Returns the environment variables for a runtime.

    ``AWS_ENDPOINT_URL`` and the credentials are read by every current AWS SDK (AWS SDKs and Tools Reference Guide).
    ``AWS_CA_BUNDLE`` is read by those for Python and Go and by the AWS CLI; Node.js reads ``NODE_EXTRA_CA_CERTS``, and
    Java a trust store.

    Args:
        access: what the client needs to know.
        runtime: ``python``, ``go``, ``node`` or ``java``.
    """
    found = {
        "AWS_ENDPOINT_URL": access.endpoint,
        "AWS_ACCESS_KEY_ID": access.access_key_id,
        "AWS_SECRET_ACCESS_KEY": access.secret_access_key,
        "AWS_DEFAULT_REGION": access.region,
        "AWS_REGION": access.region,
    }
    if access.ca_file is not None:
        found["AWS_CA_BUNDLE"] = str(access.ca_file)
    if access.ca_file is not None and runtime == "node":
        found["NODE_EXTRA_CA_CERTS"] = str(access.ca_file)
    if access.trust_store is not None and runtime == "java":
        options = (
            f"-Djavax.net.ssl.trustStore={access.trust_store}",
            "-Djavax.net.ssl.trustStoreType=PKCS12",
            f"-Djavax.net.ssl.trustStorePassword={TRUST_STORE_PASSWORD}",
        )
        # The JVM splits the variable at white space, takes what stands in '' or "" as it is, and knows no other way to
        # quote (JVM TI 17, "The JAVA_TOOL_OPTIONS Environment Variable"): `shlex.join` uses just these two.
        found["JAVA_TOOL_OPTIONS"] = shlex.join(options)
    return found


def lines(found: Mapping[str, str], shell: str = "sh", *, without: Sequence[str] = ()) -> str:
    """Returns the lines that set the variables in a shell.

    Args:
        found: the variables.
        shell: ``sh``, ``fish`` or ``powershell``.
        without: names of variables that are taken away first, whether there are such or not.
    """
    spoken = SHELLS[shell]
    removing = [spoken.unset(without)] if without else []
    return "\n".join([*removing, *(spoken.set(name, value) for name, value in found.items())])


def _sh(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _fish(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{escaped}'"


def _powershell(name: str, value: str) -> str:
    escaped = value.replace("'", "''")
    return f"$Env:{name} = '{escaped}'"


def _sh_unset(names: Sequence[str]) -> str:
    return f"unset {' '.join(names)}"


def _fish_unset(names: Sequence[str]) -> str:
    return f"set -e {' '.join(names)}"


def _powershell_unset(names: Sequence[str]) -> str:
    return "; ".join(f"$Env:{name} = $null" for name in names)


class Shell(Struct, frozen=True):
    """How a shell is told about variables.

    Args:
        set: returns the line that sets one.
        unset: returns the line that takes some away.
    """

    set: Callable[[str, str], str]
    unset: Callable[[Sequence[str]], str]


SHELLS: Final[Mapping[str, Shell]] = {
    "sh": Shell(_sh, _sh_unset),
    "fish": Shell(_fish, _fish_unset),
    "powershell": Shell(_powershell, _powershell_unset),
}
RUNTIMES: Final = ("python", "go", "node", "java")
OPENSTACK: Final = "openstack"
