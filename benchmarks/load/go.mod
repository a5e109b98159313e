module tenet/benchmarks/load

go 1.22
