module kfn.dev/benchmarks/goproxy

go 1.22
