"""Every test of the suite, to be imported whole: ``from tenet.store.suite.contract_tests import *``."""

from tenet.store.suite.adds import TestAdds, TestAddsTogether, TestBounds
from tenet.store.suite.commits import TestChecks, TestCommits, TestConflicts
from tenet.store.suite.durability import TestDurability
from tenet.store.suite.histories import TestLongHistories, TestSmallHistories
from tenet.store.suite.lifecycle import TestDeadlines, TestDiscard, TestEngine, TestWatches
from tenet.store.suite.limits import TestLimitsOfCells, TestLimitsOfCommits, TestLimitsOfKeys, TestLimitsOfReads
from tenet.store.suite.logs import TestLogOrder, TestLogs, TestTrimming
from tenet.store.suite.machine import TestMachine
from tenet.store.suite.queries import TestOrder, TestPages, TestQueriesWhileWriting
from tenet.store.suite.records import TestKeys, TestRecords, TestVersions
from tenet.store.suite.scans import TestScans, TestScansWhileWriting
from tenet.store.suite.settle import TestLate, TestSentTwice, TestSettle
from tenet.store.suite.spaces import TestDroppedSpaces, TestSpaces
from tenet.store.suite.stamps import TestBuckets, TestPhantoms, TestStamps
from tenet.store.suite.together import TestTogether

__all__ = [
    "TestAdds",
    "TestAddsTogether",
    "TestBounds",
    "TestBuckets",
    "TestChecks",
    "TestCommits",
    "TestConflicts",
    "TestDeadlines",
    "TestDiscard",
    "TestDroppedSpaces",
    "TestDurability",
    "TestEngine",
    "TestKeys",
    "TestLate",
    "TestLimitsOfCells",
    "TestLimitsOfCommits",
    "TestLimitsOfKeys",
    "TestLimitsOfReads",
    "TestLogOrder",
    "TestLogs",
    "TestLongHistories",
    "TestMachine",
    "TestOrder",
    "TestPages",
    "TestPhantoms",
    "TestQueriesWhileWriting",
    "TestRecords",
    "TestScans",
    "TestScansWhileWriting",
    "TestSentTwice",
    "TestSettle",
    "TestSmallHistories",
    "TestSpaces",
    "TestStamps",
    "TestTogether",
    "TestTrimming",
    "TestVersions",
    "TestWatches",
]
