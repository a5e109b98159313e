"""The resource classes that come with Tenet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from tenet.placement.model import SHARES
from tenet.placement.rules.resources.contract import ResourceClass
from tenet.placement.rules.resources.quantities import Composite, Counted, Partitioned, Quantity
from tenet.placement.rules.resources.units import BITS_PER_S, BYTES, Units

_CPUS: Final = Units("cpu", {"cpu": 1})
_KILOBITS: Final = Units("kbit/s", BITS_PER_S)


class Cpu(Quantity):
    """Processors that consumers share, as far as the ratio says."""

    summary = "Processors that consumers share as far as the ratio says."
    resource_class = "VCPU"
    units = _CPUS


class DedicatedCpu(Quantity):
    """Processors of which each belongs to one consumer."""

    summary = "Processors of which each belongs to one consumer."
    resource_class = "PCPU"
    units = _CPUS
    is_exclusive = True


class Memory(Quantity):
    """Memory, in whole MiB."""

    summary = "Memory, in whole MiB."
    resource_class = "MEMORY_MB"
    units = Units("MiB", BYTES)


class Disk(Quantity):
    """Disk, in whole GiB, which is what ``DISK_GB`` means."""

    summary = "Disk, in whole GiB."
    resource_class = "DISK_GB"
    units = Units("GiB", BYTES)


class Egress(Quantity):
    """Bandwidth out of a network interface, in whole kbit/s; larger steps are described for each provider."""

    summary = "Bandwidth out of a network interface, in whole kbit/s."
    resource_class = "NET_BW_EGR_KILOBIT_PER_SEC"
    units = _KILOBITS


class Ingress(Quantity):
    """Bandwidth into a network interface."""

    summary = "Bandwidth into a network interface, in whole kbit/s."
    resource_class = "NET_BW_IGR_KILOBIT_PER_SEC"
    units = _KILOBITS


class PciDevice(Counted):
    """PCI devices by the ids of vendor and product, each for one consumer. The names are those that Nova uses."""

    summary = "PCI devices by vendor and product, each for one consumer."
    unit = "device"
    example = "8086:1572"
    prefix = "CUSTOM_PCI_"
    pattern = "[0-9a-f]{4}:[0-9a-f]{4}"
    separator = ":"


class Licence(Counted):
    """Licences by product: a pool that is shared with all trees that have an aggregate in common with its provider."""

    summary = "Licences by product, a pool for all providers of the same aggregates."
    unit = "licence"
    example = "acme-db"
    prefix = "CUSTOM_LICENCE_"
    pattern = "[a-z0-9]+(-[a-z0-9]+){0,7}"
    separator = "-"
    traits = (SHARES,)


class NumaCell(Composite):
    """A NUMA cell: processors and memory that lie beside each other. Each cell is a provider below its host."""

    summary = "Processors and memory of one NUMA cell, which is a provider below its host."
    parts: ClassVar[Mapping[str, Quantity]] = {"cpu": Cpu(), "dedicated_cpu": DedicatedCpu(), "memory": Memory()}
    traits = ("HW_NUMA_ROOT",)


class A100(Partitioned):
    """An NVIDIA A100 of 40 GB in MIG mode. Source: NVIDIA MIG user guide, "A100 MIG profiles"."""

    summary = "Partitions of an NVIDIA A100 of 40 GB in MIG mode; a provider is one device."
    prefix = "CUSTOM_GPU_A100_40GB_"
    slices: ClassVar[Mapping[str, int]] = {"compute": 7, "memory": 8}
    partitions: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "1g.5gb": {"compute": 1, "memory": 1},
        "1g.10gb": {"compute": 1, "memory": 2},
        "2g.10gb": {"compute": 2, "memory": 2},
        "3g.20gb": {"compute": 3, "memory": 4},
        "4g.20gb": {"compute": 4, "memory": 4},
        "7g.40gb": {"compute": 7, "memory": 8},
    }


class H100(Partitioned):
    """An NVIDIA H100 of 80 GB in MIG mode. Source: NVIDIA MIG user guide, "H100 MIG profiles"."""

    summary = "Partitions of an NVIDIA H100 of 80 GB in MIG mode; a provider is one device."
    prefix = "CUSTOM_GPU_H100_80GB_"
    slices: ClassVar[Mapping[str, int]] = {"compute": 7, "memory": 8}
    partitions: ClassVar[Mapping[str, Mapping[str, int]]] = {
        "1g.10gb": {"compute": 1, "memory": 1},
        "1g.20gb": {"compute": 1, "memory": 2},
        "2g.20gb": {"compute": 2, "memory": 2},
        "3g.40gb": {"compute": 3, "memory": 4},
        "4g.40gb": {"compute": 4, "memory": 4},
        "7g.80gb": {"compute": 7, "memory": 8},
    }


#: By the names that claims and descriptions use.
RESOURCE_CLASSES: Final[Mapping[str, Callable[[], ResourceClass]]] = {
    "bandwidth_egress": Egress,
    "bandwidth_ingress": Ingress,
    "cpu": Cpu,
    "dedicated_cpu": DedicatedCpu,
    "disk": Disk,
    "gpu_a100_40gb": A100,
    "gpu_h100_80gb": H100,
    "licence": Licence,
    "memory": Memory,
    "numa_cell": NumaCell,
    "pci_device": PciDevice,
}
