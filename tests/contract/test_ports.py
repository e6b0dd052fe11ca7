"""The suites, on each adapter."""

from __future__ import annotations

from grantlog.testing.contracts.bundles import BundleContract
from grantlog.testing.contracts.change_log import ChangeLogContract, TenantLogContract
from grantlog.testing.contracts.copying import CopyContract
from grantlog.testing.contracts.epochs import EpochContract
from grantlog.testing.contracts.following import ProjectionContract
from grantlog.testing.contracts.past import PastContract
from grantlog.testing.contracts.reading import ListerContract, ReaderContract
from grantlog.testing.contracts.reversing import ReverseContract
from grantlog.testing.contracts.writing import SchemaAndTenantContract, WriterContract


class TestWriter(WriterContract):
    pass


class TestSchemasAndTenants(SchemaAndTenantContract):
    pass


class TestPast(PastContract):
    pass


class TestBundles(BundleContract):
    pass


class TestReader(ReaderContract):
    pass


class TestEpochs(EpochContract):
    pass


class TestLister(ListerContract):
    pass


class TestReverse(ReverseContract):
    pass


class TestChangeLog(ChangeLogContract):
    pass


class TestProjection(ProjectionContract):
    pass


class TestTenantLog(TenantLogContract):
    pass


class TestCopying(CopyContract):
    pass
