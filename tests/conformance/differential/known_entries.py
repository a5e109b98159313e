"""Every difference between Tenet and the peers that is known, why Tenet answers as it does, and what decides that.

The compatibility page prints this list. A difference that is on it twice is explained by the first entry.
"""

from __future__ import annotations

from tests.conformance.differential.compare import Difference
from tests.conformance.differential.known_differences import KnownDifference
from tests.conformance.differential.known_of_dynalite import OF_DYNALITE
from tests.conformance.differential.known_of_dynamodb_local import OF_DYNAMODB_LOCAL
from tests.conformance.differential.known_of_dynoxide import OF_DYNOXIDE
from tests.conformance.differential.known_of_legacy import OF_LEGACY
from tests.conformance.differential.known_of_limits import OF_LIMITS
from tests.conformance.differential.known_of_moto import OF_MOTO
from tests.conformance.differential.known_of_moto_statements import OF_MOTO_STATEMENTS
from tests.conformance.differential.known_of_settings import OF_SETTINGS
from tests.conformance.differential.known_of_several import OF_SEVERAL
from tests.conformance.differential.known_of_statements import OF_STATEMENTS
from tests.conformance.differential.known_of_streams import OF_STREAMS
from tests.conformance.differential.known_of_tables import OF_TABLES
from tests.conformance.differential.known_of_time_to_live import OF_TIME_TO_LIVE
from tests.conformance.differential.known_orders import OF_ORDERS

KNOWN_DIFFERENCES: tuple[KnownDifference, ...] = (
    *OF_STREAMS,
    *OF_SETTINGS,
    *OF_TABLES,
    *OF_TIME_TO_LIVE,
    *OF_LIMITS,
    *OF_LEGACY,
    *OF_STATEMENTS,
    *OF_MOTO_STATEMENTS,
    *OF_SEVERAL,
    *OF_DYNAMODB_LOCAL,
    *OF_DYNALITE,
    *OF_DYNOXIDE,
    *OF_MOTO,
    *OF_ORDERS,
)


def explain(difference: Difference) -> KnownDifference | None:
    """Returns the entry that explains a difference, or None."""
    return next((known for known in KNOWN_DIFFERENCES if known.explains(difference)), None)
